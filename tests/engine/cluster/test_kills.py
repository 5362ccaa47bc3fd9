"""A node or the driver that is killed in the middle of a stage changes nothing about what curation gives."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders.gate import Gate
from builders.nodes import Node, can_be_apart, gated_nodes, join, with_its_group

Contents = dict[str, list[list[object]]]
EVERY_KILL = "MASHBILL_EVERY_KILL"
Nodes = tuple[Node, Node, Gate]
ORDER = ("ingest", "filter", "deduplicate", "score", "select", "tokenize")
STAGES = ORDER[1:]
PIECES = {
    "ingest": (".work/", "/pieces/", ".json"),
    "deduplicate": (".work/", "/hashes-"),
    "tokenize": (".work/", "/tokenized/"),
}
"""What the keys hold of that which stages write of a finished piece, with which a rerun goes on."""
MIDDLES = (
    ("ingest", "lost", 1, ".work/", "/documents/"),
    ("ingest", "late", 1, *PIECES["ingest"]),
    ("deduplicate", "lost", 0, "/signatures/"),
    ("deduplicate", "late", 1, *PIECES["deduplicate"]),
    ("score", "late", 1, "/scores/"),
    ("tokenize", "lost", 6, "put", ".work/", "/shards/"),
    ("tokenize", "late", 1, *PIECES["tokenize"]),
)
MORE_MIDDLES = (
    ("filter", "late", 1, "/documents/"),
    ("deduplicate", "late", 0, "/links-"),
    ("deduplicate", "lost", 1, "/documents/"),
    ("select", "late", 1, "/documents/"),
    ("tokenize", "late", 1, "copy", "/shards/"),
)
"""Others, which are tried where MASHBILL_EVERY_KILL is set."""
ENDS = (
    ("filter", 0, "put", "/manifest.json"),
    ("deduplicate", 0, "put", "/manifest.json"),
    ("tokenize", 0, "delete"),
)
"""Where a driver is stopped: a stage, how many requests pass, and what the kinds and keys of these hold; and
whether those that were stopped arrive late or never."""
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
prefix, words, seconds = sys.argv[1], sys.argv[2].split(","), 1_000
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
LEFT = """
import json, pathlib, sys
work = pathlib.Path(sys.argv[1])
print(json.dumps([str(path.relative_to(work)) for path in work.rglob("*") if path.is_file()]))
"""
PRINTED = """
import subprocess, sys
with open(sys.argv[1], "w") as file:
    sys.exit(subprocess.run(sys.argv[2:], stdout=file).returncode)
"""
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    with gated_nodes(tmp_path_factory.mktemp("nodes"), apart=can_be_apart()) as (head, other, gate):
        assert gate is not None
        head.python(BUCKET, "lake")
        yield head, other, gate


@pytest.fixture(scope="module")
def corpus(nodes: Nodes) -> str:
    """The corpus, on the first node's disk."""
    folder = str(nodes[0].disk / "corpus")
    nodes[0].run(sys.executable, "-m", "builders.curation", "write", folder)
    return folder


@pytest.fixture(scope="module")
def expected(nodes: Nodes, corpus: str) -> Contents:
    """What one machine makes of the corpus."""
    arguments = ("run", corpus, str(nodes[0].disk / "alone"))
    printed = nodes[0].run(sys.executable, "-m", "builders.curation", *arguments)
    found: Contents = json.loads(printed.splitlines()[-1])
    return found


def begin(head: Node, corpus: str, root: str) -> tuple[subprocess.Popen[bytes], Path]:
    """A run of curation on the cluster, under way; and where it will say what it made."""
    place = head.log.with_name(f"{root.rpartition('/')[2]}.json")
    words = (sys.executable, "-m", "builders.curation", "run", corpus, root, head.cluster)
    return head.start(sys.executable, "-c", PRINTED, str(place), *words), place


def ended(process: subprocess.Popen[bytes], place: Path, head: Node) -> Contents:
    """What a run made, once it has ended."""
    assert process.wait(1_800) == 0, head.log.read_text()[-4_000:]
    head.started.remove(process)
    found: Contents = json.loads(place.read_text().splitlines()[-1])
    return found


def test_a_node_killed_in_the_middle_of_each_stage_changes_nothing(
    nodes: Nodes, corpus: str, expected: Contents
) -> None:
    head, other, _ = nodes
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


def killed(process: subprocess.Popen[bytes], head: Node) -> None:
    """The driver is gone at once, with all that it started on its node."""
    assert process.poll() is None, head.log.read_text()[-4_000:]
    with_its_group(process)
    head.started.remove(process)
    assert process.returncode == -signal.SIGKILL


def left_on(node: Node) -> list[str]:
    """Files that runs left in a node's workspace."""
    found: list[str] = json.loads(node.python(LEFT, str(node.disk / "scratch" / "work")))
    return found


def finished_pieces(gate: Gate, root: str) -> set[str]:
    """Pieces whose record has gone through."""
    return {
        about
        for about in gate.written()
        for stage, words in PIECES.items()
        if f"/{root}/{stage}/" in about and all(word in about for word in words)
    }


def test_a_driver_killed_in_the_middle_of_each_stage_goes_on_with_what_is_finished(
    nodes: Nodes, corpus: str, expected: Contents
) -> None:
    """Each driver is killed while requests of its own or of its tasks are under way, which then arrive, or
    do not."""
    head, _, gate = nodes
    finished: set[str] = set()
    middles = MIDDLES + (MORE_MIDDLES if EVERY_KILL in os.environ else ())
    for stage, then, after, *words in sorted(middles, key=lambda one: ORDER.index(one[0])):
        process, _ = begin(head, corpus, "s3://lake/middles")
        with gate.stopped_at(f"middles/{stage}/", *words, after=after, by=process, lost=then == "lost"):
            finished |= finished_pieces(gate, "middles")
            killed(process, head)
    assert {about.split("/middles/")[1].partition("/")[0] for about in finished} == PIECES.keys()
    assert ended(*begin(head, corpus, "s3://lake/middles"), head) == expected
    assert {about: gate.written()[about] for about in finished} == dict.fromkeys(finished, 1)
    assert not head.python(STRANGERS, "middles/").split()
    assert [left_on(node) for node in nodes[:2]] == [[], []]


def test_of_a_driver_killed_as_it_ends_a_stage_nothing_stays(
    nodes: Nodes, corpus: str, expected: Contents
) -> None:
    """Its last request, which names the result, is under way, or it is when what was shared is removed."""
    head, _, gate = nodes
    for stage, after, *words in ENDS:
        process, _ = begin(head, corpus, "s3://lake/ends")
        with gate.stopped_at(f"ends/{stage}/", *words, after=after, by=process):
            killed(process, head)
    assert ended(*begin(head, corpus, "s3://lake/ends"), head) == expected
    assert not head.python(STRANGERS, "ends/").split()
    assert [left_on(node) for node in nodes[:2]] == [[], []]
