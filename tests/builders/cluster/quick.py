"""A cluster of two machines that a test's own process reaches by KUBECONFIG, looked at often."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from builders.cluster.cluster import Cluster, cluster
from builders.cluster.nodes import Machine
from builders.cluster.sandbox import unsharing
from mashbill.launch.kubernetes import following, streams

MACHINES = (Machine("node-a", gpus=4), Machine("node-b", gpus=4))


@contextmanager
def own_cluster(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """The cluster; the test is skipped where pods cannot run."""
    if not unsharing():
        pytest.skip("pods need namespaces of their own here: root, or a kernel that lets users have them")
    monkeypatch.setattr(streams, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(following, "LOOK_AGAIN", 0.5)
    with cluster(folder, MACHINES) as here:
        monkeypatch.setenv("KUBECONFIG", str(here.kubeconfig))
        monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
        yield here
