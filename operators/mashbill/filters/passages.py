"""The passages of sets that training text may not repeat: hashes of their runs of words, in order, and the
set of each.

Tasks read the sets and put the hashes where all tasks meet; one puts them in order there; whoever looks for
passages maps that from the disk, once a process, so that the processes of a machine have it in memory once.
"""

import io
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa

from mashbill.artifacts import SealedFile, StageRun
from mashbill.documents import DocumentStore, Partition, kind_of_set
from mashbill.filters.characters import character_table
from mashbill.filters.runs import FACTOR, count_hits, lower_table, run_hashes
from mashbill.partitions import buffers, spread
from mashbill.storage import Storage, sha256_of

FEWEST_WORDS = 5
PRESENT_BITS = 22
HASHES_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Runs:
    """Runs of words of some texts.

    Attributes:
        hashes: [runs] uint64 that differ, in order.
        lengths: of the runs, in words.
    """

    hashes: np.ndarray
    lengths: frozenset[int]

    @classmethod
    def of(cls, texts: pa.Array | pa.ChunkedArray, ngram: int) -> Self:
        """The runs of n words of [texts]; of a shorter text all its words, if they are at least five."""
        text, offsets = buffers(texts)
        found = np.empty(max(1, len(text) // 2 + len(texts) + 1), np.uint64)
        lengths = np.zeros(FACTOR * ngram + 1, np.bool_)
        count = run_hashes(text, offsets, character_table(), lower_table(), FEWEST_WORDS, lengths, found)
        return cls(np.unique(found[:count]), frozenset(np.flatnonzero(lengths).tolist()))


class NgramIndex:
    """Runs of words of several sets, in memory or mapped from a disk.

    Args:
        names: of the sets.
        hashes, owners: [runs] uint64 in order, and int32 the set of each.
        lengths: of the runs, in words.
    """

    def __init__(
        self, names: Sequence[str], hashes: np.ndarray, owners: np.ndarray, *, lengths: Sequence[int]
    ) -> None:
        self.names, self.hashes, self.owners = tuple(names), hashes, owners
        self.lengths = np.array(lengths, np.int64)
        self.present = np.zeros(1 << PRESENT_BITS, np.bool_)
        for start in range(0, len(hashes), HASHES_AT_ONCE):  # of a mapped file no copy is made
            ends = hashes[start : start + HASHES_AT_ONCE] & np.uint64(len(self.present) - 1)
            self.present[ends.astype(np.int64)] = True

    @classmethod
    def of(cls, sets: Mapping[str, pa.Array], ngram: int) -> Self:
        """The index of texts that are at hand, by name of the set."""
        runs = [Runs.of(texts, ngram) for texts in sets.values()]
        hashes, owners = _in_order([one.hashes for one in runs])
        return cls(tuple(sets), hashes, owners, lengths=sorted(frozenset().union(*(r.lengths for r in runs))))

    def hits(self, texts: pa.Array) -> np.ndarray:
        """[documents, sets] int32 runs of each document that are in each set."""
        text, offsets = buffers(texts)
        out = np.zeros((len(texts), len(self.names)), np.int32)
        count_hits(
            text,
            offsets,
            character_table(),
            lower_table(),
            self.lengths,
            self.hashes,
            self.owners,
            self.present,
            out,
        )
        return out


@dataclass(frozen=True)
class SharedIndex:
    """An index in files that all tasks reach. It is a small value that they are sent.

    Attributes:
        names: of the sets; lengths: of the runs.
        sums: SHA-256 of the files.
        files: hashes in order, and the set of each.
    """

    names: tuple[str, ...]
    lengths: tuple[int, ...]
    sums: tuple[str, str]
    files: tuple[SealedFile, SealedFile] = field(compare=False)

    def hits(self, texts: pa.Array) -> np.ndarray:
        """[documents, sets] int32 runs of each document that are in each set."""
        return _opened(self).hits(texts)


def index_sets(run: StageRun, names: Sequence[str], ngram: int, *, folder: str) -> SharedIndex:
    """The index of some references and evaluation sets, which tasks read and put in order.

    Args:
        run: the stage.
        names: of the sets.
        ngram: words in a run.
        folder: of its own among what the stage's tasks share.
    """
    store = DocumentStore.of(run.inputs["ingest"])
    sets = tuple(dict.fromkeys(names))
    partitions = [
        (owner, part)
        for owner, name in enumerate(sets)
        for part in store.partitions(name, kind=kind_of_set(run.config.corpus, name))
    ]
    job = _Indexing(run.shared, folder, ngram)
    lengths = spread(run.config.engine, job.send, partitions)
    found = tuple(sorted(frozenset[int]().union(*lengths)))
    sent = [[job.key(owner, part) for owner, part in partitions if owner == i] for i in range(len(sets))]
    [files] = spread(run.config.engine, partial(job.join, sent), [folder])
    return SharedIndex(sets, found, (files[0].sha256, files[1].sha256), files)


@dataclass(frozen=True)
class _Indexing:
    """An index that is being made.

    Attributes:
        shared: where tasks meet; folder: of the index there.
        ngram: words in a run.
    """

    shared: Storage
    folder: str
    ngram: int

    def key(self, owner: int, partition: Partition) -> str:
        """Where the runs of a partition are."""
        return f"{self.folder}/{owner:04}-{partition.number:06}.npy"

    def send(self, given: tuple[int, Partition]) -> frozenset[int]:
        """Put the runs of a partition where they meet; their lengths."""
        owner, partition = given
        runs = Runs.of(partition.read(["text"])["text"], self.ngram)
        self._put(runs.hashes, self.key(owner, partition))
        return runs.lengths

    def join(self, sent: Sequence[Sequence[str]], folder: str) -> tuple[SealedFile, SealedFile]:
        """Put the runs of all partitions in order.

        Args:
            sent: keys of the partitions' runs, by set.
            folder: of the files.
        """
        empty = np.empty(0, np.uint64)
        found = [np.unique(np.concatenate([empty, *map(self._read, keys)])) for keys in sent]
        hashes, owners = _in_order(found)
        return self._put(hashes, f"{folder}/hashes.npy"), self._put(owners, f"{folder}/owners.npy")

    def _read(self, key: str) -> np.ndarray:
        found: np.ndarray = np.load(io.BytesIO(self.shared.read(key)), allow_pickle=False)
        return found

    def _put(self, array: np.ndarray, key: str) -> SealedFile:
        with tempfile.NamedTemporaryFile(dir=self.shared.passing(), delete=False) as file:
            np.save(file, array)
        path = Path(file.name)
        sealed = SealedFile(self.shared, key, path.stat().st_size, sha256_of(path), self.folder, len(array))
        self.shared.put(path, key)
        return sealed


def _in_order(hashes: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """[runs] all hashes in order, and the set of each.

    Args:
        hashes: of each set.
    """
    together = np.concatenate(hashes)
    owners = np.repeat(np.arange(len(hashes), dtype=np.int32), [len(one) for one in hashes])
    order = np.argsort(together, kind="stable")
    return together[order], owners[order]


@lru_cache(4)
def _opened(index: SharedIndex) -> NgramIndex:
    """An index, mapped from disk; the kernels take what may be written, which is then this process's own."""
    hashes, owners = (
        np.asarray(np.load(file.opened(), mmap_mode="c", allow_pickle=False)) for file in index.files
    )
    return NgramIndex(index.names, hashes, owners, lengths=index.lengths)
