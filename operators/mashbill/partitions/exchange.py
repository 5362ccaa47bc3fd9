"""Rows sent from many tasks to many others by bucket, through files: how partitions are joined without
meeting in one memory.

Each sending task writes one Arrow file with a record batch a bucket; each receiving task maps its batches of
all files. On a cluster the folder is on the disk that all nodes share, as the artifacts are.
"""

import itertools
import os
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import numpy as np
import pyarrow as pa

MOST_BUCKETS = 4_096
SORTING = 4  # memory to sort rows, in times of their own size
MIX, SHIFT = np.uint64(0x9E3779B97F4A7C15), np.uint64(32)


def buckets_for(row_bytes: int, memory_bytes: int) -> int:
    """How many buckets keep what is sorted at a time, one bucket a core, within a limit."""
    cores = os.cpu_count() or 1
    return min(MOST_BUCKETS, max(1, -(-row_bytes * SORTING * cores // memory_bytes)))


def scattered(keys: np.ndarray, buckets: int) -> np.ndarray:
    """[rows] a bucket for each key; equal keys get the same."""
    mixed = keys.astype(np.uint64) * MIX
    return ((mixed >> SHIFT) % np.uint64(buckets)).astype(np.int64)


@dataclass(frozen=True)
class Exchange:
    """A folder of rows by bucket.

    Attributes:
        folder: where the files are; removed by its owner.
        buckets: how many there are.
    """

    folder: Path
    buckets: int

    def put(self, name: str, bucket: np.ndarray, **columns: np.ndarray | pa.Array) -> None:
        """Send rows; the file appears at once and whole, so a task that is repeated does no harm.

        Args:
            name: of the sending task; receivers see the rows in the order of names, then of the rows.
            bucket: [rows] where each goes; columns: [rows] each.
        """
        order = np.argsort(bucket, kind="stable")
        ends = np.searchsorted(bucket[order], np.arange(self.buckets + 1))
        table = (
            pa.table({key: pa.array(value) for key, value in columns.items()})
            .take(pa.array(order))
            .combine_chunks()
        )
        self.folder.mkdir(parents=True, exist_ok=True)
        beside = self.folder / f"{name}.{uuid4().hex}.part"
        with pa.OSFile(str(beside), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            for first, last in itertools.pairwise(ends):
                batches = table.slice(first, last - first).to_batches()
                writer.write_batch(batches[0] if batches else pa.RecordBatch.from_pylist([], table.schema))
        beside.replace(self._file(name))

    def has(self, name: str) -> bool:
        """Whether a task has sent its rows."""
        return self._file(name).exists()

    def take(self, bucket: int) -> pa.Table:
        """The rows of a bucket, mapped from disk.

        Raises:
            FileNotFoundError: no task has sent any.
        """
        files = sorted(self.folder.glob("*.arrow"))
        if not files:
            raise FileNotFoundError(f"{self.folder} holds no rows")
        return pa.Table.from_batches(
            [pa.ipc.open_file(pa.memory_map(str(file))).get_batch(bucket) for file in files]
        )

    def arrays(self, bucket: int) -> dict[str, np.ndarray]:
        """The rows of a bucket, by column."""
        table = self.take(bucket)
        return {name: table[name].to_numpy() for name in table.column_names}

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.arrow"
