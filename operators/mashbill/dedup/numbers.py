"""Every document has a number: those of named finished corpora first, then by domain in the config's order,
then as ingested.

The lowest number of a group of duplicates stays.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from mashbill.artifacts import StageRun
from mashbill.dedup.index import index_in, signature_files
from mashbill.storage import local_path


@dataclass(frozen=True)
class Partition:
    """One file of documents, or of signatures of an index.

    Attributes:
        number: its place among all; name: that, as a file's name.
        domain: whose documents; ``index:`` and the folder for an index.
        start: number of its first document; rows: how many it has.
    """

    number: int
    domain: str
    path: Path
    start: int
    rows: int

    @property
    def name(self) -> str:
        """Sorts as the number does."""
        return f"{self.number:06}"

    @property
    def indexed(self) -> bool:
        """Whether it is of a finished corpus."""
        return self.path.suffix == ".npy"

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

    partitions: Sequence[Partition]
    ranges: int

    @property
    def corpus(self) -> Sequence[Partition]:
        """Those that are not of an index."""
        return [p for p in self.partitions if not p.indexed]

    @property
    def documents(self) -> int:
        """All documents, indexes included."""
        return self.partitions[-1].end if self.partitions else 0

    def range_of(self, documents: np.ndarray) -> np.ndarray:
        """[documents] which range each number falls in."""
        return self.range_of_partitions(
            np.searchsorted([p.end for p in self.partitions], documents, side="right")
        )

    def range_of_partitions(self, number: np.ndarray) -> np.ndarray:
        """[partitions] which range each is in, by its number."""
        return number * self.ranges // len(self.partitions)

    def range_of_partition(self, partition: Partition) -> int:
        """Which range a partition is in."""
        return int(self.range_of_partitions(np.array(partition.number)))


def partitions_of(run: StageRun) -> list[Partition]:
    """All partitions, the named indexes' first."""
    config = run.config.deduplication
    files: list[tuple[str, Path, int]] = []
    for given in config.against:
        folder = local_path(run.config, "deduplication.against", index_in(given)).parent
        files += [
            (f"index:{run.config.resolve(given)}", path, len(np.load(path, mmap_mode="r")))
            for path in signature_files(folder, config)
        ]
    for domain in run.config.domain_names:
        paths = sorted((run.inputs["filter"].path / "documents" / domain).glob("*.parquet"))
        files += [(domain, path, pq.read_metadata(path).num_rows) for path in paths]
    starts = np.cumsum([0, *(rows for _, _, rows in files)]).tolist()
    return [Partition(i, domain, path, starts[i], rows) for i, (domain, path, rows) in enumerate(files)]
