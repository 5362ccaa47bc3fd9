"""Of shards that lie in an object store a node fetches what its next batches read, each once for all its
ranks, and no more than its cache has room for stays."""

import multiprocessing
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest

from builders.proxy import Faults, Proxy, denied
from builders.sharded import BATCH, CONTEXT, ONE_SHARD, loader, numbered_shards, opened, read_rank
from mashbill.artifacts import ArtifactStore
from mashbill.errors import DataError, RunError
from mashbill.mixtures import Batches
from mashbill.tokens import TokenStore

SIZES = {"a": [1_600] * 8, "b": [1_592, 1_608, 1_600, 900, 2_300, 1_600]}
BYTES = 4 * ONE_SHARD


def local(tmp_path: Path) -> TokenStore:
    return TokenStore(numbered_shards(ArtifactStore(str(tmp_path / "local"), tmp_path / "local"), SIZES))


def shards_asked(paths: list[str]) -> Counter[str]:
    """How often each shard was asked for, as ``DOMAIN/NUMBER``."""
    parts = [path.partition("?")[0].split("/") for path in paths if ".bin" in path]
    return Counter(f"{p[-2]}/{int(p[-1][-9:-4])}" for p in parts)


def bytes_of(folder: Path) -> int:
    """Bytes of shards, and of parts of them, under a folder in which some come and go."""
    found = 0
    for path in folder.rglob("*.bin*"):
        with suppress(FileNotFoundError):
            found += path.stat().st_size
    return found


@pytest.fixture
def watched(behind: Callable[[Faults], Proxy]) -> list[str]:
    """Paths that are read from the store, in order."""
    paths: list[str] = []

    def note(kind: str, path: str) -> None:
        if kind == "get":
            paths.append(path)

    behind(note)
    return paths


def test_what_is_read_from_the_store_is_what_is_read_from_a_disk(root: str, tmp_path: Path) -> None:
    address = numbered_shards(ArtifactStore(root, tmp_path / "writer"), SIZES).address
    here, there = loader(local(tmp_path), 2), loader(opened(root, tmp_path / "node", address), 2)
    expected = here.sequences_at(np.arange(here.sequences)).reshape(-1, BATCH, CONTEXT + 1)
    with Batches(there, batch_sequences=BATCH, ahead=3) as batches:
        found = list(batches)
    assert len(found) == len(expected)
    assert all((one == other).all() for one, other in zip(found, expected, strict=True))


@pytest.mark.parametrize("read", [1, 20])
def test_no_shard_is_fetched_that_the_next_batches_do_not_read(
    root: str, tmp_path: Path, watched: list[str], read: int
) -> None:
    address = numbered_shards(ArtifactStore(root, tmp_path / "writer"), SIZES).address
    made, ahead = loader(opened(root, tmp_path / "node", address)), 4
    watched.clear()
    with Batches(made, batch_sequences=BATCH, ahead=ahead) as batches:
        for _ in range(read):
            next(batches)
    seen = read + 2 + ahead + 1  # two are ready and one is being read
    domains, windows = made.places_at(np.arange(seen * BATCH))
    needed = set()
    for domain, window in zip(domains.tolist(), windows.tolist(), strict=True):
        name, ends = made.domains[domain], np.cumsum(SIZES[made.domains[domain]])
        touched = np.searchsorted(ends, [window * CONTEXT, (window + 1) * CONTEXT], side="right")
        needed |= {f"{name}/{shard}" for shard in touched.tolist()}
    asked = shards_asked(watched)
    assert asked
    assert asked.keys() <= needed
    assert len(needed) < sum(map(len, SIZES.values()))


def test_copies_go_when_no_batch_reads_them_and_stay_within_their_limit(root: str, tmp_path: Path) -> None:
    """Of 24 shards two of each domain are in use at a time: one buffer's and the next's."""
    sizes = {"a": [ONE_SHARD] * 12, "b": [ONE_SHARD] * 12}
    address = numbered_shards(ArtifactStore(root, tmp_path / "writer"), sizes).address
    store, most = opened(root, tmp_path / "node", address), 0
    limit = store.place.storage.copies.limit = 7 * BYTES
    with Batches(loader(store, 2), batch_sequences=BATCH, ahead=2) as batches:
        for _ in batches:
            most = max(most, bytes_of(tmp_path / "node" / "copies"))
    assert 4 * BYTES <= most <= limit


def test_the_ranks_of_a_node_fetch_a_shard_once_for_all(
    root: str, tmp_path: Path, watched: list[str]
) -> None:
    one_each = {"a": [9_601], "b": [6_401]}
    address = numbered_shards(ArtifactStore(root, tmp_path / "writer"), one_each).address
    watched.clear()
    jobs = [(root, address, tmp_path / "node", rank) for rank in range(2)]
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        sums = list(pool.map(read_rank, jobs))
    assert shards_asked(watched) == {"a/0": 1, "b/0": 1}
    whole = loader(opened(root, tmp_path / "other", address))
    assert sum(sums) == int(whole.sequences_at(np.arange(whole.sequences))[:, :-1].sum())


def test_of_a_shard_that_a_sequence_only_ends_in_its_beginning_alone_is_read(
    root: str, tmp_path: Path
) -> None:
    store = ArtifactStore(root, tmp_path / "writer")
    address = numbered_shards(store, {"a": [1_000, 1_000, 1_000]}).address
    run = opened(root, tmp_path / "node", address).train_tokens("a")
    run.hold(0)
    assert run[990:1_007].tolist() == list(range(990, 1_007))
    copies = sorted(path.name for path in (tmp_path / "node" / "copies").rglob("*.bin"))
    assert copies == ["train-00000.bin"]
    assert run[995:2_000].tolist() == list(range(995, 2_000))
    copies = sorted(path.name for path in (tmp_path / "node" / "copies").rglob("*.bin"))
    assert copies == ["train-00000.bin", "train-00001.bin"]


def test_a_shard_that_may_not_be_read_is_told_where_its_batch_is_asked_for(
    root: str, behind: Callable[[Faults], Any], tmp_path: Path
) -> None:
    address = numbered_shards(ArtifactStore(root, tmp_path / "writer"), SIZES).address
    behind(denied("get", under="b/train-00002"))
    with pytest.raises(RunError, match=r"b/train-00002\.bin.*s3:GetObject"):
        for _ in Batches(loader(opened(root, tmp_path / "node", address)), batch_sequences=BATCH):
            pass
    assert not [t.name for t in threading.enumerate() if t.name.startswith(("batches", "shards"))]


def test_a_shard_that_holds_other_bytes_is_refused_where_its_batch_is_asked_for(
    root: str, tmp_path: Path
) -> None:
    artifact = numbered_shards(ArtifactStore(root, tmp_path / "writer"), SIZES)
    bucket, _, prefix = artifact.address.removeprefix("s3://").partition("/")
    listed = boto3.client("s3").list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]
    key = next(entry["Key"] for entry in listed if entry["Key"].endswith("a/train-00005.bin"))
    boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=bytes(BYTES))
    with pytest.raises(DataError, match=r"a/train-00005\.bin: has SHA-256 \w+ where its manifest says"):
        for _ in Batches(loader(opened(root, tmp_path / "node", artifact.address)), batch_sequences=BATCH):
            pass


def test_what_was_let_go_may_be_evicted_and_what_is_held_may_not(root: str, tmp_path: Path) -> None:
    address = numbered_shards(ArtifactStore(root, tmp_path / "writer"), SIZES).address
    store = opened(root, tmp_path / "node", address)
    store.place.storage.copies.limit = 3 * BYTES
    run = store.train_tokens("a")
    for shard in (0, 0, 1):
        run.hold(shard)
    run.let_go(0)
    run.let_go(1)
    assert run[ONE_SHARD - 9 : ONE_SHARD + 9].tolist() == list(range(ONE_SHARD - 9, ONE_SHARD + 9))
    for shard in (2, 3, 4):
        run.hold(shard)
        run.let_go(shard)
    there = {path.name for path in (tmp_path / "node" / "copies").rglob("*.bin")}
    assert "train-00000.bin" in there
    assert "train-00001.bin" not in there
    assert run[:ONE_SHARD].tolist() == list(range(ONE_SHARD))


def test_shards_in_a_store_are_looked_at_without_being_fetched(
    root: str, tmp_path: Path, watched: list[str]
) -> None:
    artifact = numbered_shards(ArtifactStore(root, tmp_path / "writer"), SIZES)
    opened(root, tmp_path / "node", artifact.address).check()
    assert not shards_asked(watched)
    bucket, _, prefix = artifact.address.removeprefix("s3://").partition("/")
    client = boto3.client("s3")
    listed = client.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]
    key = next(entry["Key"] for entry in listed if entry["Key"].endswith("b/train-00003.bin"))
    client.put_object(Bucket=bucket, Key=key, Body=bytes(9))
    told = r"b/train-00003\.bin: holds 9 bytes where its manifest says 3,600; discard"
    with pytest.raises(DataError, match=told):
        opened(root, tmp_path / "node", artifact.address).check()
    client.delete_object(Bucket=bucket, Key=key)
    with pytest.raises(DataError, match=r"b/train-00003\.bin: is gone; discard"):
        opened(root, tmp_path / "node", artifact.address).check()


@pytest.mark.parametrize(
    "shuffle_tokens, room, told",
    [(None, 22_367, True), (None, 22_368, False), (ONE_SHARD, 3_199, True), (ONE_SHARD, 14_200, False)],
)
def test_shards_that_would_be_fetched_again_and_again_are_told_of(
    root: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    shuffle_tokens: int | None,
    room: int,
    told: bool,
) -> None:
    """All shuffled, the 799 and 599 windows of all shards are read from at once; else those of two buffers of
    each domain, which one more shard may share."""
    address = numbered_shards(ArtifactStore(root, tmp_path / "writer"), SIZES).address
    store = opened(root, tmp_path / "node", address)
    store.place.storage.copies.limit = 4 * room
    with caplog.at_level("WARNING", "mashbill.mixtures"):
        Batches(loader(store, shuffle_tokens=shuffle_tokens), batch_sequences=BATCH).close()
    said = [record.getMessage() for record in caplog.records if record.name.startswith("mashbill.mixtures")]
    assert len(said) == told
    assert all(f"their copies have room for {room:,}, so" in words for words in said)
