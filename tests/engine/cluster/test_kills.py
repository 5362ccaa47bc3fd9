"""A node or the driver that is killed in the middle of a stage changes nothing about what curation gives."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders.nodes import PORT, Node, can_be_apart, join, two_nodes, with_its_group

Contents = dict[str, list[list[object]]]
STAGES = ("filter", "deduplicate", "score", "select", "tokenize")
BUCKET = """
import boto3, sys
place = {"LocationConstraint": "eu-west-1"}
boto3.client("s3").create_bucket(Bucket=sys.argv[1], CreateBucketConfiguration=place)
"""
STRANGERS = """
import boto3, json, sys
client = boto3.client("s3")
pages = client.get_paginator("list_objects_v2").paginate(Bucket="lake", Prefix=sys.argv[1])
keys = {entry["Key"] for page in pages for entry in page.get("Contents", ())}
named = set()
for key in [key for key in keys if key.endswith("/manifest.json")]:
    made = json.loads(client.get_object(Bucket="lake", Key=key)["Body"].read())
    folder = key.removesuffix("manifest.json") + made["attempt"]
    named |= {key, *(f"{folder}/{file['path']}" for file in made.get("files", []))}
print(*sorted(keys - named), sep="\\n")
"""
REACHED = """
import boto3, sys, time
prefix, words, seconds = sys.argv[1], sys.argv[2].split(","), 120
client, until = boto3.client("s3"), time.monotonic() + seconds
while time.monotonic() < until:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket="lake", Prefix=prefix)
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", ())]
    if any(all(word in key for word in words) for key in keys):
        sys.exit(0)
    time.sleep(0.02)
sys.exit(1)
"""
"""Waits until a run has written something whose key holds some words."""
WRITTEN = """
import boto3, sys
pages = boto3.client("s3").get_paginator("list_objects_v2").paginate(Bucket="lake", Prefix=sys.argv[1])
for page in pages:
    for entry in page.get("Contents", ()):
        if sys.argv[2] in entry["Key"]:
            print(entry["Key"], entry["LastModified"].timestamp())
"""
PRINTED = """
import subprocess, sys
with open(sys.argv[1], "w") as file:
    sys.exit(subprocess.run(sys.argv[2:], stdout=file).returncode)
"""
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Node, Node]]:
    with two_nodes(tmp_path_factory.mktemp("nodes"), apart=can_be_apart()) as both:
        both[0].python(BUCKET, "lake")
        yield both


@pytest.fixture(scope="module")
def corpus(nodes: tuple[Node, Node]) -> str:
    """The corpus, on the first node's disk."""
    folder = str(nodes[0].disk / "corpus")
    nodes[0].run(sys.executable, "-m", "builders.curation", "write", folder)
    return folder


@pytest.fixture(scope="module")
def expected(nodes: tuple[Node, Node], corpus: str) -> Contents:
    """What one machine makes of the corpus."""
    arguments = ("run", corpus, str(nodes[0].disk / "alone"))
    printed = nodes[0].run(sys.executable, "-m", "builders.curation", *arguments)
    found: Contents = json.loads(printed.splitlines()[-1])
    return found


def begin(head: Node, corpus: str, root: str) -> tuple[subprocess.Popen[bytes], Path]:
    """A run of curation on the cluster, under way; and where it will say what it made."""
    place = head.log.with_name(f"{root.rpartition('/')[2]}.json")
    words = (sys.executable, "-m", "builders.curation", "run", corpus, root, f"{head.address}:{PORT}")
    return head.start(sys.executable, "-c", PRINTED, str(place), *words), place


def ended(process: subprocess.Popen[bytes], place: Path, head: Node) -> Contents:
    """What a run made, once it has ended."""
    assert process.wait(300) == 0, head.log.read_text()[-4_000:]
    head.started.remove(process)
    found: Contents = json.loads(place.read_text().splitlines()[-1])
    return found


def test_a_node_killed_in_the_middle_of_each_stage_changes_nothing(
    nodes: tuple[Node, Node], corpus: str, expected: Contents
) -> None:
    head, other = nodes
    process, place = begin(head, corpus, "s3://lake/nodes")
    for stage in STAGES:
        head.python(REACHED, f"nodes/{stage}/", "")
        other.kill()
        join(other, head)
    found = ended(process, place, head)
    assert found.keys() == expected.keys()
    for stage, files in expected.items():
        assert found[stage] == files, stage
    assert not head.python(STRANGERS, "nodes/").split()


@pytest.mark.parametrize("stage, reached", [("deduplicate", ".work/,hashes-")])
def test_a_driver_killed_in_the_middle_goes_on_with_what_is_finished(
    stage: str, reached: str, nodes: tuple[Node, Node], corpus: str, expected: Contents
) -> None:
    head, _ = nodes
    root = f"driver-{stage}"
    process, _ = begin(head, corpus, f"s3://lake/{root}")
    head.python(REACHED, f"{root}/{stage}/", reached)
    with_its_group(process)
    head.started.remove(process)
    assert process.returncode == -signal.SIGKILL
    kept = dict(line.split() for line in head.python(WRITTEN, f"{root}/{stage}/", ".work/").splitlines())
    pieces = {key for key in kept if "/hashes-" in key or "/tokenized/" in key}
    assert pieces
    watched, place = begin(head, corpus, f"s3://lake/{root}")
    again: dict[str, str] = {}
    while watched.poll() is None and len(again.keys() & pieces) < len(pieces):
        again |= dict(
            line.split() for line in head.python(WRITTEN, f"{root}/{stage}/", ".work/").splitlines()
        )
        time.sleep(0)
    assert all(kept[key] == again[key] for key in again.keys() & pieces), "finished pieces are not made again"
    found = ended(watched, place, head)
    assert found == expected
    assert not head.python(STRANGERS, f"{root}/").split()
