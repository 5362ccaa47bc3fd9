"""Every document has a number: those of sets that are held out first, then those of named finished corpora,
then by domain in the config's order, then as ingested.

The lowest number of a group of duplicates stays.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from mashbill.artifacts import SealedFile, StageRun
from mashbill.dedup.index import IndexFile, index_at, rows_in, signature_files
from mashbill.documents import DocumentStore, Partition, kind_of_set


@dataclass(frozen=True)
class Numbered:
    """A partition whose documents have numbers, or a file of signatures of an index.

    Attributes:
        number: its place among all; name: that, as a file's name.
        domain: whose documents; ``index:`` and the folder for an index.
        source: the partition, or the index's file.
        start: number of its first document; rows: how many it has.
        held_out: whether it is of a set that training text may not repeat.
    """

    number: int
    domain: str
    source: Partition | IndexFile
    start: int
    rows: int
    held_out: bool

    @property
    def name(self) -> str:
        """Sorts as the number does."""
        return f"{self.number:06}"

    @property
    def indexed(self) -> bool:
        """Whether it is of a finished corpus."""
        return not isinstance(self.source, Partition)

    @property
    def documents(self) -> Partition:
        """Its documents.

        Raises:
            ValueError: it is of a finished corpus, of which only the index is known.
        """
        if not isinstance(self.source, Partition):
            raise ValueError(f"{self.source} holds signatures, not documents")
        return self.source

    @property
    def signatures(self) -> Path:
        """The index's file, to be read now.

        Raises:
            DataError: it is gone, or others than was committed.
            ValueError: it is no index's.
        """
        if isinstance(self.source, Partition):
            raise ValueError(f"{self.source.address} holds documents, not signatures")
        return self.source.opened() if isinstance(self.source, SealedFile) else self.source

    @property
    def end(self) -> int:
        """Number after its last document."""
        return self.start + self.rows


@dataclass(frozen=True)
class Numbering:
    """The partitions in order, in as many ranges of neighbours as there are buckets.

    Attributes:
        partitions: all of them.
        ranges: how many ranges they are taken in.
    """

    partitions: Sequence[Numbered]
    ranges: int

    @cached_property
    def corpus(self) -> Sequence[Numbered]:
        """Those of training text."""
        return [p for p in self.partitions if not (p.indexed or p.held_out)]

    @cached_property
    def held_out(self) -> int:
        """Documents of sets that are held out, which have the lowest numbers."""
        return max((p.end for p in self.partitions if p.held_out), default=0)

    @cached_property
    def held_out_sets(self) -> frozenset[str]:
        """Names of the sets that are held out."""
        return frozenset(p.domain for p in self.partitions if p.held_out)

    @cached_property
    def ends(self) -> np.ndarray:
        """[partitions] number after the last document of each."""
        return np.array([p.end for p in self.partitions])

    @property
    def documents(self) -> int:
        """All documents, of indexes and of sets that are held out among them."""
        return self.partitions[-1].end

    def range_of(self, documents: np.ndarray) -> np.ndarray:
        """[documents] which range each number falls in."""
        return self.range_of_partitions(np.searchsorted(self.ends, documents, side="right"))

    def range_of_partitions(self, number: np.ndarray) -> np.ndarray:
        """[partitions] which range each is in, by its number."""
        return number * self.ranges // len(self.partitions)

    def in_range(self, range_: int) -> Sequence[Numbered]:
        """The partitions of a range."""
        first, last = (-(-part * len(self.partitions) // self.ranges) for part in (range_, range_ + 1))
        return self.partitions[first:last]

    def range_of_partition(self, partition: Numbered) -> int:
        """Which range a partition is in."""
        return int(self.range_of_partitions(np.array(partition.number)))


def numbered_partitions(run: StageRun) -> list[Numbered]:
    """All partitions: of sets that are held out, of the named indexes, of training text."""
    config = run.config.deduplication
    found: list[tuple[str, Partition | IndexFile, int]] = _held_out(run)
    held_out = len(found)
    for given in config.against:
        domain = f"index:{run.config.resolve(given)}"
        for file in signature_files(index_at(run.config, given), config):
            found.append((domain, file, rows_in(file)))
    store = DocumentStore.of(run.inputs["filter"])
    found += [(part.domain, part, part.count()) for part in store.partitions(*run.config.domain_names)]
    starts = np.cumsum([0, *(rows for _, _, rows in found)]).tolist()
    return [
        Numbered(i, domain, source, starts[i], rows, held_out=i < held_out)
        for i, (domain, source, rows) in enumerate(found)
    ]


def _held_out(run: StageRun) -> list[tuple[str, Partition | IndexFile, int]]:
    corpus, store = run.config.corpus, DocumentStore.of(run.inputs["ingest"])
    found: list[tuple[str, Partition | IndexFile, int]] = []
    for name in corpus.held_out:
        partitions = store.partitions(name, kind=kind_of_set(corpus, name))
        found += [(name, part, part.count()) for part in partitions]
    return found
