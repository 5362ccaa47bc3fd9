"""A cluster a test, with two nodes of four GPUs each."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from builders.cluster import Cluster, Machine, cluster, unsharing

MACHINES = (Machine("node-a", gpus=4), Machine("node-b", gpus=4))


@pytest.fixture
def c(tmp_path: Path) -> Iterator[Cluster]:
    if not unsharing():
        pytest.skip("pods need namespaces of their own here: root, or a kernel that lets users have them")
    with cluster(tmp_path / "cluster", MACHINES) as here:
        yield here
