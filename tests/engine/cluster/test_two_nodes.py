"""Curation on two machines that share nothing but an object store gives the files that one machine gives."""

import json
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from builders.checkout import DOCS
from builders.nodes import ADDRESSES, BINARIES, PORT, Node, can_be_apart, two_nodes

BUCKET = """
import boto3, sys
place = {"LocationConstraint": "eu-west-1"}
boto3.client("s3").create_bucket(Bucket=sys.argv[1], CreateBucketConfiguration=place)
"""
KEYS = """
import boto3, sys
pages = boto3.client("s3").get_paginator("list_objects_v2").paginate(Bucket=sys.argv[1])
print("\\n".join(entry["Key"] for page in pages for entry in page.get("Contents", ())))
"""
COPIES = """
import pathlib, sys
print(sum(path.is_file() for path in pathlib.Path(sys.argv[1]).rglob("*.parquet")))
"""
JOINED = """
import json, ray
ray.init(address="auto", logging_level="ERROR")
print(json.dumps([ray.get_runtime_context().gcs_address, len([n for n in ray.nodes() if n["Alive"]])]))
"""
BUCKETS = """
import boto3
print(*(bucket["Name"] for bucket in boto3.client("s3").list_buckets()["Buckets"]))
"""
WRITE = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text(sys.argv[2])"
Contents = dict[str, list[list[object]]]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Node, Node]]:
    """In namespaces of their own; with folders of their own where those need rights that are not there."""
    with two_nodes(tmp_path_factory.mktemp("nodes"), apart=can_be_apart()) as both:
        for bucket in ("lake", "texts"):
            both[0].python(BUCKET, bucket)
        yield both


@pytest.fixture(scope="module")
def expected(nodes: tuple[Node, Node]) -> Contents:
    """What one machine makes of the corpus, a domain of which is on its disk and another in a bucket."""
    nodes[0].run(sys.executable, "-m", "builders.curation", "write", str(nodes[0].disk / "corpus"), "texts")
    return curate(nodes[0], str(nodes[0].disk / "alone"))


def curate(node: Node, artifacts: str, *more: str) -> Contents:
    """What curation makes of the corpus on a node's disk."""
    corpus = str(node.disk / "corpus")
    printed = node.run(sys.executable, "-m", "builders.curation", "run", corpus, artifacts, *more)
    found: Contents = json.loads(printed.splitlines()[-1])
    return found


def test_two_nodes_with_nothing_shared_give_one_machines_files_run_after_run(
    nodes: tuple[Node, Node], expected: Contents
) -> None:
    head, other = nodes
    for attempt in range(2):
        found = curate(head, f"s3://lake/run{attempt}", head.cluster)
        assert found.keys() == expected.keys()
        for stage, files in expected.items():
            assert found[stage] == files, stage
    used = other.python(COPIES, str(other.disk / "scratch" / "copies"))
    assert int(used) > 0, "the other node has read partitions"
    left = [key for key in head.python(KEYS, "lake").split() if ".work/" in key]
    assert not left


def test_the_pages_commands_run_as_they_stand(nodes: tuple[Node, Node], expected: Contents) -> None:
    head, _ = nodes
    page = (DOCS / "how-to" / "cluster.md").read_text(encoding="utf-8")
    (snippet,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    plain, engine = snippet.split("[engine]")
    config = head.run("cat", str(head.disk / "corpus" / "config.toml"))
    corpus = config.removeprefix('artifacts = "artifacts"\n')
    head.python(WRITE, str(head.disk / "corpus" / "my.toml"), f"{plain}{corpus}\n[engine]{engine}")
    commands = re.findall(r"^    (mashbill .*--config my\.toml.*)$", page, re.MULTILINE)
    assert [command.split()[1] for command in commands] == ["check", "run", "run"]
    for command in commands:
        inside = f"cd {head.disk}/corpus && {BINARIES}/{command}"
        head.run("sh", "-c", inside)
    found = curate(head, "s3://lake/artifacts")
    assert found == expected, "the page's run made what one machine makes"


def test_two_clusters_on_one_machine_at_once_are_apart(tmp_path: Path) -> None:
    names = ("first", "second")
    with ExitStack() as both:
        heads = [both.enter_context(two_nodes(tmp_path / name, apart=False))[0] for name in names]
        for head, name in zip(heads, names, strict=True):
            head.python(BUCKET, name)
        joined = [head.python(JOINED) for head in heads]
        found = [json.loads(one) for one in joined]
        ports = [(address.rpartition(":")[2], nodes) for address, nodes in found]
        assert ports == [(str(head.ports.ray), 2) for head in heads]
        assert [head.python(BUCKETS).split() for head in heads] == [[name] for name in names]


def test_the_pages_ray_is_started_as_here() -> None:
    page = (DOCS / "how-to" / "cluster.md").read_text(encoding="utf-8")
    lines = re.findall(r"^    ray start (.*)$", page, re.MULTILINE)
    assert [line.split() for line in lines] == [
        ["--head", f"--port={PORT}", "--num-cpus=16"],
        [f"--address={ADDRESSES[0]}:{PORT}", "--num-cpus=16"],
    ]
