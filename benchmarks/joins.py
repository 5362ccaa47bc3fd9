"""The shuffle and the joins of deduplication, ours beside Daft's: rows of hashes to the earliest document of
each group.

python benchmarks/joins.py [--documents 400000 1600000] [--repeats 3]

Each document has 15 keys, as with 14 bands and a hash of its text; a tenth share half of theirs with others
of their group. Ours sends rows by hash to buckets of bounded memory, matches them, and joins links by
union-find where they fit, or by alternating stars. Daft does it by group-by and joins (native runner), stars
among them. Each run is a process of its own, whose time and peak memory are the system's.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from measure import peak_bytes
from page import Page

from mashbill.config import DeduplicationConfig, EngineConfig
from mashbill.dedup.components import Stars, distinct
from mashbill.dedup.matches import Matching, join, match
from mashbill.dedup.numbers import Numbered, Numbering
from mashbill.partitions import buckets_for, scattered, spread
from mashbill.storage import open_storage

KEYS, PARTITION, GROUP = 15, 100_000, 50
ROW_BYTES = 16


def write_rows(folder: Path, documents: int) -> None:
    """Rows of (document, key), a file for each partition of documents."""
    random = np.random.default_rng(0)
    groups = random.integers(1, 2**62, (documents // GROUP, KEYS), dtype=np.int64)
    for part, first in enumerate(range(0, documents, PARTITION)):
        number = np.arange(first, min(first + PARTITION, documents))
        keys = random.integers(1, 2**62, (len(number), KEYS), dtype=np.int64)
        planted, group = random.random(len(number)) < 0.1, random.integers(0, len(groups), len(number))
        shared = planted[:, None] & (random.random(keys.shape) < 0.5)
        keys = np.where(shared, groups[group], keys) & ~np.int64(1)
        table = pa.table({"document": np.repeat(number, KEYS), "key": keys.reshape(-1)})
        pq.write_table(table, folder / f"{part:05}.parquet")


def ours(folder: Path, memory: int, *, stars: bool) -> tuple[int, int]:
    """Documents that go, and the sum of those that stand for them."""
    files = sorted(folder.glob("*.parquet"))
    rows = [pq.read_metadata(file).num_rows // KEYS for file in files]
    starts = np.cumsum([0, *rows]).tolist()
    numbered = [Numbered(i, "all", file, starts[i], rows[i], held_out=False) for i, file in enumerate(files)]
    config, engine = DeduplicationConfig(max_memory_bytes=memory), EngineConfig()
    with tempfile.TemporaryDirectory() as scratch:
        buckets = buckets_for(starts[-1] * KEYS * ROW_BYTES, memory)
        numbering = Numbering(numbered, min(buckets, len(files)))
        matching = Matching(config, engine, numbering, open_storage(scratch, Path(scratch)), buckets)
        list(spread(engine, partial(send, matching), numbered))
        links = sum(spread(engine, partial(match, matching), range(buckets)))
        if stars:
            settled = Stars(engine, matching.shared, "stars").settle(matching.links)
            found = [settled.arrays(bucket) for bucket in range(buckets)]
            pairs = [distinct(one["document"], one["earlier"]) for one in found]
            return sum(len(d) for d, _ in pairs), sum(int(head.sum()) for _, head in pairs)
        join(matching, links)
        heads = [matching.heads.arrays(range_) for range_ in range(numbering.ranges)]
        return sum(len(one["head"]) for one in heads), sum(int(one["head"].sum()) for one in heads)


def send(matching: Matching, partition: Numbered) -> None:
    """Send the rows of a file by their keys."""
    table = pq.read_table(str(partition.source))
    key = table["key"].to_numpy().astype(np.uint64)
    bucket = scattered(key, matching.buckets)
    matching.hashes.put(partition.name, bucket, key=key, document=table["document"].to_numpy())


def by_daft(folder: Path) -> tuple[int, int]:
    """The same by group-by and joins."""
    import daft
    from daft import col

    rows = daft.read_parquet(f"{folder}/*.parquet")
    first = rows.groupby("key").agg(col("document").min().alias("head"))
    links = rows.join(first, on="key").where(col("document") != col("head"))
    edges = links.select("document", "head").distinct().collect()
    before: dict[str, list[Any]] = {}
    while True:
        least = edges.groupby("document").agg(col("head").min().alias("least"))
        near = edges.join(least, on="document").select(
            col("head").alias("document"), col("least").alias("head")
        )
        near = near.where(col("document") != col("head"))
        small = near.concat(least.select("document", col("least").alias("head"))).distinct()
        turned = small.select(col("head").alias("document"), col("document").alias("head"))
        both = small.concat(turned)
        lowest = both.groupby("document").agg(col("head").min().alias("least"))
        lower = daft.functions.when(col("document") < col("least"), col("document")).otherwise(col("least"))
        later = both.where(col("head") > col("document")).join(
            lowest.with_column("least", lower), on="document"
        )
        edges = later.select(col("head").alias("document"), col("least").alias("head")).distinct().collect()
        sums = (col("document").count().alias("count"), col("document").sum().alias("documents"))
        now = edges.agg(*sums, col("head").sum().alias("heads")).to_pydict()
        if now == before:
            return int(now["count"][0]), int(now["heads"][0])
        before = now


WAYS = {
    "ours, as deduplicate runs it": partial(ours, stars=False),
    "ours, by stars alone": partial(ours, stars=True),
}


def measured(way: str, folder: Path, memory: int) -> dict[str, Any]:
    """What one way takes, in a process of its own."""
    command = [sys.executable, __file__, "--way", way, "--folder", str(folder), "--memory", str(memory)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def run_one(way: str, folder: Path, memory: int) -> None:
    """Do it once and print what it took."""
    started = time.perf_counter()
    found = by_daft(folder) if way == "Daft" else WAYS[way](folder, memory)
    wall = time.perf_counter() - started
    use = resource.getrusage(resource.RUSAGE_SELF)
    figures = {"wall": wall, "cpu": use.ru_utime + use.ru_stime, "peak": peak_bytes()}
    print(json.dumps({**figures, "found": found}))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", type=int, nargs="+", default=[400_000, 1_600_000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory", type=int, default=1_000_000_000, help="max_memory_bytes of ours")
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        run_one(arguments.way, arguments.folder, arguments.memory)
        return
    page = Page("joins", f"Hashes to groups of duplicates, {KEYS} keys a document")
    page.table(["documents, way", "seconds (spread)", "CPU seconds", "peak memory", "documents that go"])
    for documents in arguments.documents:
        with tempfile.TemporaryDirectory() as name:
            write_rows(Path(name), documents)
            answers = set()
            for way in (*WAYS, "Daft"):
                runs = [measured(way, Path(name), arguments.memory) for _ in range(arguments.repeats)]
                wall = [run["wall"] for run in runs]
                answers.add(tuple(runs[0]["found"]))
                spread_ = f"{statistics.median(wall):.1f} ({min(wall):.1f}-{max(wall):.1f})"
                cpu = statistics.median(run["cpu"] for run in runs)
                peak = f"{max(run['peak'] for run in runs) / 1e9:.2f} GB"
                row = f"{documents:,}, {way}"
                page.row([row, spread_, f"{cpu:.1f}", peak, f"{runs[0]['found'][0]:,}"])
            if len(answers) != 1:
                raise SystemExit(f"the ways disagree: {answers}")
    page.save()


if __name__ == "__main__":
    main()
