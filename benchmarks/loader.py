"""The loader of the final training: two ranks that read a mixture of ten domains, from shards on a disk and
in an object store, beside torch's DataLoader over Hugging Face datasets of the same sequences.

    python benchmarks/loader.py [--gigabytes 3.2] [--repeats 3]

The tokens are random, in shards as large as tokenize writes them. The store is moto's server, which takes its
share of the same cores; its ranks begin with an empty cache. Twenty GPUs that each train on 55,000 tokens a
second are what is to be fed.
"""

import argparse
import importlib
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from page import Page

from mashbill.artifacts import Artifact, ArtifactStore, Manifest
from mashbill.mixtures import Batches, MixtureLoader
from mashbill.tokens import TokenStore
from mashbill.tokens.shards import INDEX, shard_name

DOMAINS, CONTEXT, BATCH, RANKS = 10, 2_048, 256, 2
SHARD = 16_000_000  # tokens of a partition of 64 MB of text
BUFFER = 2 * SHARD
WANTED = 20 * 55_000
MIXTURE = {f"domain{d}": (d + 1) / 55 for d in range(DOMAINS)}
PORT = 5066
S3 = {
    "AWS_ENDPOINT_URL": f"http://127.0.0.1:{PORT}",
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": "eu-west-1",
}
COLUMNS = (
    "read from",
    "million tokens a second (spread)",
    "million tokens a CPU second",
    "times what twenty GPUs take",
)


def random_shards(store: ArtifactStore, shards: int) -> Artifact:
    """Random tokens of every domain, so many shards each."""
    output, sets, random = store.output("tokenize", "a" * 32), {}, np.random.default_rng(0)
    none = {"documents": 0, "tokens": 0, "bytes": 0}
    for name in MIXTURE:
        for number in range(shards):
            with output.writing(shard_name(name, "train", number)) as path:
                path.write_bytes(random.bytes(2 * SHARD))
        counts = {"documents": shards, "tokens": shards * SHARD, "bytes": 4 * shards * SHARD}
        by_split = {"train": [(number, SHARD) for number in range(shards)], "validation": []}
        sets[name] = {"kind": "domain", "train": counts, "validation": none, "shards": by_split}
    index = {"vocabulary": 65_536, "dtype": "uint16", "end_of_text": 0, "sets": sets}
    with output.writing(INDEX) as path:
        path.write_text(json.dumps(index))
    facts = {"started": "2026-01-01T00:00:00+00:00", "seconds": 0.1, "mashbill": "0", "counts": {}}
    made = {"stage": "tokenize", "fingerprint": "a" * 32, "version": 1, "settings": {}, "inputs": {}}
    return store.commit(output, Manifest(**made, **facts))


def as_datasets(folder: Path, shards: Artifact, sequences: int) -> None:
    """The same sequences as the peer reads them: an Arrow file a domain, a row a sequence, as many of each as
    its share of the run."""
    import pyarrow as pa

    store = TokenStore(shards)
    for name, weight in MIXTURE.items():
        tokens = store.train_tokens(name)
        rows = min(int(weight * sequences) + 1, (len(tokens) - 1) // CONTEXT)
        kind = pa.list_(pa.uint16(), CONTEXT + 1)
        schema = pa.schema({"input_ids": kind})
        with (
            pa.OSFile(str(folder / f"{name}.arrow"), "wb") as file,
            pa.ipc.new_stream(file, schema) as writer,
        ):
            for first in range(0, rows, 1_000):
                some = [
                    tokens[r * CONTEXT : (r + 1) * CONTEXT + 1]
                    for r in range(first, min(first + 1_000, rows))
                ]
                column = pa.FixedSizeListArray.from_arrays(pa.array(np.concatenate(some)), type=kind)
                writer.write_batch(pa.record_batch([column], schema=schema))


def ours(job: dict[str, Any], rank: int) -> Batches:
    """A rank's batches, as the final training reads them."""
    place = ArtifactStore(job["root"], Path(job["scratch"])).open(job["address"])
    store = TokenStore(place)
    loader = MixtureLoader(
        {name: store.train_tokens(name) for name in MIXTURE},
        MIXTURE,
        context=CONTEXT,
        sequences=job["sequences"],
        seed=0,
        shuffle_tokens=job["buffer"],
    )
    return Batches(loader, batch_sequences=BATCH, rank=rank, world=RANKS)


def theirs(job: dict[str, Any], rank: int) -> Iterator[Any]:
    """What torch's DataLoader gives a rank, over interleaved and shuffled datasets, one worker in the
    background."""
    import datasets
    from torch.utils.data import DataLoader, DistributedSampler

    of_domains = [
        datasets.Dataset.from_file(str(Path(job["folder"]) / f"{name}.arrow")).shuffle(seed=0)
        for name in MIXTURE
    ]
    shares = list(MIXTURE.values())
    mixed = datasets.interleave_datasets(of_domains, shares, seed=0, stopping_strategy="first_exhausted")
    sampler: Any = DistributedSampler(mixed.with_format("torch"), RANKS, rank, shuffle=False)
    loader: Any = DataLoader(
        sampler.dataset, BATCH // RANKS, sampler=sampler, num_workers=1, prefetch_factor=4, drop_last=True
    )
    for batch in loader:
        yield batch["input_ids"]


def cpu_seconds() -> float:
    """Of this process, and of those that it has started and that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def rank_main(job: dict[str, Any], rank: int) -> None:
    """Read a rank's batches, at once or as fast as the GPUs would take them, and print what it took."""
    mine = job["reader"] == "ours"
    for module in () if mine else ("datasets", "torch.utils.data"):
        importlib.import_module(module)
    print("ready", flush=True)
    sys.stdin.readline()
    began, cpu = time.perf_counter(), cpu_seconds()
    batches: Any = (ours if mine else theirs)(job, rank)
    tokens, first_wait = 0, 0.0
    for step, batch in enumerate(batches):
        tokens += batch.shape[0] * CONTEXT
        if job["paced"]:
            first_wait = first_wait or batches.wait_seconds
            time.sleep(BATCH * CONTEXT / WANTED)
        if (step + 1) * BATCH >= job["sequences"]:
            break
    wall = time.perf_counter() - began
    batches.close()
    wait = batches.wait_seconds - first_wait if mine else 0.0
    cpu = cpu_seconds() - cpu
    print(json.dumps({"tokens": tokens, "wall": wall, "cpu": cpu, "wait": wait, "first": first_wait}))


def run_ranks(job: dict[str, Any]) -> dict[str, float]:
    """What all ranks read, side by side: tokens, seconds of the slowest, CPU seconds of all."""
    command = [sys.executable, __file__, "--job", json.dumps(job)]
    environment = {**os.environ, **S3, "OMP_NUM_THREADS": "1"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    ranks = [
        subprocess.Popen([*command, "--rank", str(rank)], env=environment, text=True, **pipes)  # type: ignore[call-overload]
        for rank in range(RANKS)
    ]
    for rank in ranks:
        assert rank.stdout.readline() == "ready\n"
    found = []
    for rank in ranks:
        rank.stdin.write("go\n")
        rank.stdin.flush()
    for rank in ranks:
        said, _ = rank.communicate()
        found.append(json.loads(said.splitlines()[-1]))
    summed = {key: sum(f[key] for f in found) for key in ("tokens", "cpu")}
    return {**summed, **{key: max(f[key] for f in found) for key in ("wall", "wait", "first")}}


@contextmanager
def object_store() -> Iterator[None]:
    """moto's server, with a bucket."""
    server = str(Path(sys.executable).with_name("moto_server"))
    process = subprocess.Popen(
        [server, "-p", str(PORT)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    os.environ.update(S3)
    try:
        import boto3
        from botocore.config import Config

        client = boto3.client("s3", config=Config(retries={"total_max_attempts": 20, "mode": "standard"}))
        place = {"LocationConstraint": "eu-west-1"}
        client.create_bucket(Bucket="lake", CreateBucketConfiguration=place)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def row(page: Page, name: str, runs: Sequence[dict[str, float]]) -> float:
    """A row of the table; median tokens a CPU second."""
    rates = sorted(run["tokens"] / run["wall"] for run in runs)
    per_cpu = statistics.median(run["tokens"] / run["cpu"] for run in runs)
    middle = statistics.median(rates)
    page.row(
        [
            name,
            f"{middle / 1e6:.1f} ({rates[0] / 1e6:.1f}-{rates[-1] / 1e6:.1f})",
            f"{per_cpu / 1e6:.1f}",
            f"{middle / WANTED:.1f}x",
        ]
    )
    return per_cpu


def by_range(page: Page, shards: Artifact, scratch: Path) -> None:
    """Say what a shard costs whole, checked, and by ranges of its sequences."""
    name = shard_name("domain0", "train", 0)
    store = ArtifactStore(shards.storage.root, scratch)
    sealed = store.open(shards.address).sealed(name)
    began, cpu = time.perf_counter(), time.process_time()
    sealed.opened()
    whole, whole_cpu = time.perf_counter() - began, time.process_time() - cpu
    windows = SHARD // CONTEXT
    some = np.random.default_rng(0).permutation(windows)[: windows // 20].tolist()
    began, cpu = time.perf_counter(), time.process_time()
    for window in some:
        sealed.storage.part(sealed.key, 2 * window * CONTEXT, 2 * (CONTEXT + 1))
    ranges, ranges_cpu = time.perf_counter() - began, time.process_time() - cpu
    page.say(
        f"A shard of {2 * SHARD / 1e6:.0f} MB is fetched whole and checked against its SHA-256 in "
        f"{whole:.2f} s ({whole_cpu:.2f} CPU seconds); a twentieth of its sequences by a range each "
        f"takes {ranges:.2f} s ({ranges_cpu:.2f}). So shards are fetched whole, and ranges serve only for a "
        "sequence's end in the next shard.",
        whole_seconds=whole,
        whole_cpu_seconds=whole_cpu,
        range_seconds=ranges,
        range_cpu_seconds=ranges_cpu,
    )


def measure(page: Page, folder: Path, arguments: argparse.Namespace) -> None:
    """All readers, one after the other."""
    shards = max(3, round(arguments.gigabytes * 1e9 / (2 * SHARD * DOMAINS)))
    sequences = int(0.9 * shards * SHARD * DOMAINS / CONTEXT) // BATCH * BATCH
    local = random_shards(ArtifactStore(str(folder / "local"), folder / "local"), shards)
    peers = sequences // 2 // BATCH * BATCH  # before the largest domain is read to its end
    as_datasets(folder, local, peers)
    base = {"reader": "ours", "paced": False, "sequences": sequences, "scratch": str(folder / "local")}
    disk = {**base, "root": str(folder / "local"), "address": local.address}
    page.table(COLUMNS)
    times = range(arguments.repeats)
    row(page, "a disk, all shuffled", [run_ranks({**disk, "buffer": None}) for _ in times])
    few = {**disk, "buffer": None, "sequences": peers}
    mine = row(page, "a disk, half as many sequences", [run_ranks(few) for _ in times])
    theirs_job = {"reader": "theirs", "paced": False, "sequences": peers, "folder": str(folder)}
    them = row(page, "Hugging Face datasets, as many", [run_ranks(theirs_job) for _ in times])
    with object_store():
        remote = random_shards(ArtifactStore("s3://lake/artifacts", folder / "writer"), shards)
        s3 = {**base, "root": "s3://lake/artifacts", "address": remote.address, "buffer": BUFFER}
        runs = [run_ranks({**s3, "scratch": str(folder / f"node{i}")}) for i in times]
        row(page, "an object store, its cache empty", runs)
        paced = run_ranks({**s3, "scratch": str(folder / "paced"), "paced": True, "sequences": 40 * BATCH})
        by_range(page, remote, folder / "ranges")
    page.say(
        f"By CPU second that is {mine / them:.1f} times the peer. Ranks that take batches from the store as "
        f"twenty GPUs would wait {paced['first']:.1f} s for the first, and then "
        f"{100 * paced['wait'] / (paced['wall'] - paced['first']):.1f}% of the time.",
        times_peer=mine / them,
        first_wait_seconds=paced["first"],
        wait_percent=100 * paced["wait"] / (paced["wall"] - paced["first"]),
    )


def main() -> None:
    """Measure and print; or be one rank."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=3.2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--job", type=json.loads, help=argparse.SUPPRESS)
    parser.add_argument("--rank", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job:
        rank_main(arguments.job, arguments.rank)
        return
    title = (
        f"The loader: {RANKS} ranks, {DOMAINS} domains, context {CONTEXT:,}, {arguments.gigabytes:g} GB of "
        "tokens; peer: torch DataLoader over Hugging Face datasets"
    )
    page = Page("loader", title)
    with tempfile.TemporaryDirectory() as folder:
        measure(page, Path(folder), arguments)
    page.save()


if __name__ == "__main__":
    main()
