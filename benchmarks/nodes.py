"""Two nodes that share nothing but an object store, beside one of them alone: the same curation and files.

    python benchmarks/nodes.py [--gigabytes 0.8]

The nodes are this machine's: namespaces with disks of their own as in tests/engine/cluster, one core each for
tasks, and moto's S3 server between them, which takes its share of the same cores. So what is measured is a
floor: on machines of their own the store costs the nodes nothing.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from object_store import IN_MEMORY
from page import ROOT, Page
from scale import write_corpus

sys.path.insert(0, str(ROOT / "tests"))
from builders.nodes import Node, can_be_apart, two_nodes

STAGES = ("ingest", "filter", "deduplicate", "score", "select", "tokenize")
BUCKETS = 100_000  # of the classifier
BUCKET = """
import boto3
place = {"LocationConstraint": "eu-west-1"}
boto3.client("s3").create_bucket(Bucket="lake", CreateBucketConfiguration=place)
"""
RUN = """
import json, sys, time
from mashbill.config import load_config
from mashbill.stages import job_of, stages_up_to
overrides = {"artifacts": sys.argv[2], "engine.runner": "ray", "engine.ray_address": sys.argv[3]}
config, done, seconds = load_config(sys.argv[1], overrides), {}, {}
for stage in stages_up_to("tokenize"):
    started = time.perf_counter()
    done[stage.name] = job_of(stage, config, done).run()
    seconds[stage.name] = time.perf_counter() - started
sums = [file.sha256 for name in done for file in done[name].manifest.files]
print(json.dumps({"seconds": seconds, "sums": sums, "text": done["ingest"].manifest.counts["bytes_out"]}))
"""


def measured(nodes: AbstractContextManager[tuple[Node, Node]], corpus: Path, *, both: bool) -> dict[str, Any]:
    """What curation takes on both nodes, or on the head alone."""
    with nodes as (head, other):
        if not both:
            other.kill()
        head.python(BUCKET)
        head.run("cp", "-r", str(corpus), str(head.disk / "corpus"))
        config = str(head.disk / "corpus" / "config.toml")
        printed = head.run(
            sys.executable, "-c", RUN, config, "s3://lake/artifacts", head.cluster, timeout=3_000
        )
        found: dict[str, Any] = json.loads(printed.splitlines()[-1])
        return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=0.8)
    arguments = parser.parse_args()
    os.environ.update(IN_MEMORY)  # nodes' disks are small
    with tempfile.TemporaryDirectory() as name:
        corpus = Path(name, "corpus")
        corpus.mkdir()
        write_corpus(corpus, arguments.gigabytes, BUCKETS)
        runs = {}
        for what, both in (("one node", False), ("two nodes", True)):
            folder = Path(name, "nodes")  # the same for both, as documents name their files
            folder.mkdir()
            runs[what] = measured(two_nodes(folder, apart=can_be_apart()), corpus, both=both)
            shutil.rmtree(folder, ignore_errors=True)
            time.sleep(1)
    if runs["one node"]["sums"] != runs["two nodes"]["sums"]:
        sys.exit("the nodes made other files")
    page = Page("nodes", f"Two nodes with nothing shared, {runs['one node']['text'] / 1e9:.2f} GB of text")
    page.table(["seconds", *STAGES, "in all"])
    for what, found in runs.items():
        seconds = [found["seconds"][stage] for stage in STAGES]
        page.row([what, *(f"{one:.1f}" for one in seconds), f"{sum(seconds):.1f}"])
    one, two = (sum(found["seconds"].values()) for found in runs.values())
    page.say(f"Two nodes are {one / two:.2f} times as fast as one, with the same files.", ratio=one / two)
    page.save()


if __name__ == "__main__":
    main()
