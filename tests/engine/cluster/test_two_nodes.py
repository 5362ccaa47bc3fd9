"""Curation on two machines that share nothing but an object store gives the files that one machine gives."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders import curation
from builders.nodes import PORT, Node, two_nodes

BUCKET = "import boto3, sys; boto3.client('s3').create_bucket(Bucket=sys.argv[1], CreateBucketConfiguration={'LocationConstraint': 'eu-west-1'})"
KEYS = "import boto3, sys; print('\\n'.join(e['Key'] for page in boto3.client('s3').get_paginator('list_objects_v2').paginate(Bucket=sys.argv[1]) for e in page.get('Contents', ())))"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Node, Node]]:
    with two_nodes(tmp_path_factory.mktemp("nodes")) as both:
        both[0].python(BUCKET, "lake")
        yield both


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[list[object]]]:
    """What one machine makes of the corpus on its disk."""
    folder = tmp_path_factory.mktemp("alone")
    curation.write(folder)
    found: dict[str, list[list[object]]] = json.loads(
        json.dumps(curation.run(folder, str(folder / "artifacts")))
    )
    return found


def curate(node: Node, artifacts: str) -> dict[str, list[list[object]]]:
    """What curation makes of the corpus on a node's disk, on the cluster."""
    corpus = str(node.disk / "corpus")
    node.run(sys.executable, "-m", "builders.curation", "write", corpus)
    address = f"{node.address}:{PORT}"
    printed = node.run(sys.executable, "-m", "builders.curation", "run", corpus, artifacts, address)
    found: dict[str, list[list[object]]] = json.loads(printed.splitlines()[-1])
    return found


def test_two_nodes_with_nothing_shared_give_one_machines_files_run_after_run(
    nodes: tuple[Node, Node], expected: dict[str, list[list[object]]]
) -> None:
    head, other = nodes
    for attempt in range(2):
        found = curate(head, f"s3://lake/run{attempt}")
        assert found.keys() == expected.keys()
        for stage, files in expected.items():
            assert found[stage] == files, stage
    used = other.python(
        "import pathlib, sys; print(sum(p.is_file() for p in pathlib.Path(sys.argv[1]).rglob('*.parquet')))",
        str(other.disk / "scratch" / "copies"),
    )
    assert int(used) > 0, "the other node has read partitions"
    left = [key for key in head.python(KEYS, "lake").split() if ".work/" in key]
    assert not left
