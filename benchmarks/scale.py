"""How the whole path grows with the text: time, memory and disk, and whether what was planted is found.

    python benchmarks/scale.py [--gigabytes 1 4] [--folder FOLDER] [--store]

The text is made from the demo's: each document is some of its sentences, drawn by a seed. A twentieth of the
documents are exact copies of others, in the second of two domains; a twentieth are copies with some words
exchanged, so that the Jaccard similarity of their 5-grams lies anywhere between a half and one. The path is
read, filter, deduplicate, score, select and tokenize, with a classifier and a tokenizer that are given; each
size runs in a process of its own. CPU seconds are the system's for it and its children.

With --store the artifacts are in an object store, moto's S3, and tasks are Ray's, on this machine: it shows
how much disk a node needs beside the store and its copies.
"""

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from made_text import Text
from measure import peak_bytes, sample
from object_store import object_store
from page import Page
from whole_path import prepare

from mashbill.artifacts import Artifact
from mashbill.config import DeduplicationConfig, load_config
from mashbill.dedup.minhash import match_probability
from mashbill.documents import DUPLICATES, DocumentStore
from mashbill.stages import job_of, stages_up_to

PROSE = ("licenses", "scripture", "speeches", "web", "wikipedia")
DISK_SECONDS = 2.0
NO_WORK = ("output-", "copies")
HASH_BYTES = 16
TERABYTES, NODES = (1, 10, 100), 8
NODE = "m7i.16xlarge: 64 virtual cores, 3.1 GB/s of network, $3.23 an hour"
NODE_CORES, NODE_NETWORK, NODE_DOLLARS = 64, 3.1e9, 3.23
CONFIG = """
artifacts = "artifacts"
[corpus]
domains = [
  { name = "first", sources = [{ path = "first/*.parquet", id_field = "id" }] },
  { name = "second", sources = [{ path = "second/*.parquet", id_field = "id" }] },
]
[filters]
apply = ["gopher_repetition", "gopher_quality"]
[quality]
classifier = "model.bin"
[bootstrap]
models = 0
[selection]
keep_share = 0.6
[tokens]
tokenizer = "tokenizer.json"
"""


def write_corpus(folder: Path, gigabytes: float, buckets: int = 2_000_000) -> dict[str, Any]:
    """Files of both domains, a classifier and a tokenizer; what was planted."""
    documents = sample(20, only=PROSE)
    prepare(folder, documents, buckets)
    (folder / "config.toml").write_text(CONFIG)
    pieces = (s.strip() for d in documents for s in re.split(r"(?<=[.!?])\s+", d["text"]))
    text = Text([piece for piece in pieces if 40 < len(piece) < 400])
    planted = {"e": 0, "n": 0, "g": 0}
    for number, (ids, texts) in enumerate(text.files(int(gigabytes * 1e9))):
        place = folder / ("first", "second")[number % 2]
        place.mkdir(exist_ok=True)
        pq.write_table(
            pa.table({"id": ids, "text": texts}), place / f"{number:05}.parquet", compression="zstd"
        )
        for one in ids:
            planted[one[0]] += 1
    return {"planted": planted, "similar": text.similar}


class Disk:
    """Watches how much stages work with in a folder, at its most: not what will be a result, which is the
    store's, nor copies, which have a limit of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.most, self.done = folder, 0, threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def _watch(self) -> None:
        while not self.done.wait(DISK_SECONDS):
            self.most = max(self.most, taken(self.folder))

    def stop(self) -> int:
        """Bytes at the most."""
        self.done.set()
        self.thread.join()
        return self.most


def taken(folder: Path) -> int:
    """Bytes of work under a folder, a file that has several names once; those that go meanwhile are not
    counted."""
    sizes: dict[int, int] = {}
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(NO_WORK)]
        for name in names:
            try:
                found = Path(parent, name).stat()
            except OSError:
                continue
            sizes[found.st_ino] = found.st_size
    return sum(sizes.values())


def run_path(folder: Path, *, in_store: bool) -> dict[str, Any]:
    """The whole path, and what it took."""
    far = {}
    if in_store:
        from ray.cluster_utils import Cluster

        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": os.cpu_count()})
        far = {"artifacts": "s3://lake/artifacts", "scratch": str(folder / "scratch")}
        far |= {"engine.runner": "ray", "engine.ray_address": cluster.address}
    config = load_config(folder / "config.toml", far)
    disk = Disk(folder / "scratch" if in_store else folder / "artifacts" / ".work")
    stages: dict[str, float] = {}
    done: dict[str, Artifact] = {}
    for stage in stages_up_to("tokenize"):
        started = time.process_time()
        done[stage.name] = job_of(stage, config, done).run()
        stages[stage.name] = time.process_time() - started
    use, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "cpu": sum(one.ru_utime + one.ru_stime for one in (use, children)),
        "peak": peak_bytes(),
        "disk": disk.stop(),
        "stages": stages,
        "text": done["ingest"].manifest.counts["bytes_out"],
        "tokenized": done["tokenize"].manifest.counts["bytes_in"],
        "traffic": traffic(done),
        "passed": passed_filters(done["filter"]),
        "removed": removed(done["deduplicate"]),
    }


def traffic(done: dict[str, Artifact]) -> int:
    """Bytes over nodes' networks if every stage read and wrote an object store: what stages write, what each
    reads of it (deduplication twice), and hashes, there and back."""
    size = {
        name: sum(file.bytes for file in one.manifest.files if file.rows is not None or name == "tokenize")
        for name, one in done.items()  # of what has rows: a classifier is read once
    }
    rows = done["filter"].manifest.counts["documents_out"] * (1 + DeduplicationConfig().bands) * HASH_BYTES
    sources = size["ingest"]  # both are parquet of the same text
    read = size["ingest"] + 2 * size["filter"] + 2 * size["deduplicate"] + 3 * size["score"] + size["select"]
    return sources + read + sum(size.values()) + 2 * rows


def passed_filters(artifact: Artifact) -> dict[str, int]:
    """Documents of each kind that filters left."""
    return _kinds(artifact, "documents")


def removed(artifact: Artifact) -> dict[str, int]:
    """Documents of each kind that deduplication removed."""
    return _kinds(artifact, "removed")


def _kinds(artifact: Artifact, what: str) -> dict[str, int]:
    store, found = DocumentStore.of(artifact), {"e": 0, "n": 0, "g": 0}
    kind = {} if what == "documents" else {"kind": DUPLICATES}
    for partition in store.partitions("first", "second", **kind):
        for one in partition.read(["id"])["id"].to_pylist():
            found[one[0]] += 1
    return found


def measure(folder: Path, gigabytes: float, *, in_store: bool) -> dict[str, Any]:
    """What one size takes."""
    made = write_corpus(folder, gigabytes)
    command = [sys.executable, __file__, "--run", str(folder), *(["--store"] if in_store else [])]
    where: AbstractContextManager[dict[str, str]] = object_store() if in_store else nullcontext({})
    with where as told:
        started = time.perf_counter()
        environment = {**os.environ, **told}
        process = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    found: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    return {**found, **made, "wall": time.perf_counter() - started}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, nargs="+", default=[1, 4])
    parser.add_argument("--folder", type=Path, help="where the text and its artifacts are; removed again")
    parser.add_argument("--store", action="store_true", help="artifacts in an object store, tasks by Ray")
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        print(json.dumps(run_path(arguments.run, in_store=arguments.store)))
        return
    if arguments.store:
        page = Page("scale-store", "The whole path from an object store, one machine, tasks by Ray")
    else:
        page = Page("scale", "The whole path from a gigabyte on, one machine, local disk")
    results = {}
    for gigabytes in arguments.gigabytes:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
            results[gigabytes] = measure(Path(name), gigabytes, in_store=arguments.store)
        shown = {key: value for key, value in results[gigabytes].items() if key != "similar"}
        print(json.dumps(shown), file=sys.stderr, flush=True)
    if arguments.store:
        tell_disk(page, results)
        page.save()
        return
    tell(page, results)
    page.save()
    largest = results[max(results)]
    cost = Page("scale-cost", f"What more text would cost, by what {largest['text'] / 1e9:.1f} GB took")
    project(cost, largest)
    cost.save()


def tell_disk(page: Page, results: dict[float, dict[str, Any]]) -> None:
    """Print what a node needs beside the store: Ray's workers are no children, whose CPU would be counted."""
    page.table(["text", "wall seconds", "work on disk"])
    for found in results.values():
        cells = [f"{found['wall']:.0f}", f"{found['disk'] / 1e6:.0f} MB"]
        page.row([f"{found['text'] / 1e9:.2f} GB", *cells])


def tell(page: Page, results: dict[float, dict[str, Any]]) -> None:
    """Print the tables."""
    page.table(["text", "wall seconds", "CPU seconds a GB", "peak memory", "work on disk", "tokenized"])
    for found in results.values():
        size = found["text"] / 1e9
        share = f"{found['tokenized'] / found['text']:.0%}"
        cells = [f"{found['wall']:.0f}", f"{found['cpu'] / size:.0f}", f"{found['peak'] / 1e9:.2f} GB"]
        page.row([f"{size:.2f} GB", *cells, f"{found['disk'] / 1e9:.2f} GB", share])
    names = list(next(iter(results.values()))["stages"])
    page.table(["CPU seconds a GB", *names])
    for found in results.values():
        size = found["text"] / 1e9
        page.row([f"{size:.2f} GB", *(f"{found['stages'][name] / size:.1f}" for name in names)])
    page.table(["text", "exact copies found", "near copies found", "expected by the curve", "others removed"])
    for found in results.values():
        chances = [match_probability(s, DeduplicationConfig()) for s in found["similar"]]
        expected, spread = np.mean(chances), 2 * np.std(chances) / np.sqrt(len(chances))
        shares = {kind: found["removed"][kind] / max(1, found["passed"][kind]) for kind in "eng"}
        cells = [f"{shares['e']:.2%}", f"{shares['n']:.1%}", f"{expected:.1%} (±{spread:.1%})"]
        page.row([f"{found['text'] / 1e9:.2f} GB", *cells, f"{shares['g']:.3%}"])


def project(page: Page, found: dict[str, Any]) -> None:
    """What more text would cost at the rate of the largest that was measured."""
    page.table(
        [f"on {NODES} nodes ({NODE})", "hours of a core", "hours by cores", "hours by network", "dollars"]
    )
    for terabytes in TERABYTES:
        times = terabytes * 1e12 / found["text"]
        core = found["cpu"] * times / 3_600
        hours = core / NODES / NODE_CORES
        network = found["traffic"] * times / NODES / NODE_NETWORK / 3_600
        dollars = max(hours, network) * NODES * NODE_DOLLARS
        cells = [f"{core:,.0f}", f"{hours:.2f}", f"{network:.2f}", f"{dollars:,.0f}"]
        page.row([f"{terabytes} TB", *cells])


if __name__ == "__main__":
    main()
