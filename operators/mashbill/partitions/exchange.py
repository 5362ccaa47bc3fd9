"""Rows sent from many tasks to many others by bucket, through files: how partitions are joined without
meeting in one memory.

Each sending task writes one file: where each bucket begins, the schema, and a record batch a bucket. Each
receiving task reads its batch of every file, and no other byte. The files are where all tasks reach them: on
the disk of the machine, or that all nodes share; or in the object store.
"""

import itertools
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from mashbill.cores import cores_here
from mashbill.storage import LOCAL, Storage

MOST_BUCKETS = 4_096
SUFFIX = ".rows"
REQUESTS = 16  # at a time, of a store that takes long to answer
HEADERS = 2_000  # of files that a process keeps
SCHEMA_BYTES = 2_048
SORTING = 4  # memory to sort rows, in times of their own size
MIX, SHIFT = np.uint64(0x9E3779B97F4A7C15), np.uint64(32)


def buckets_for(row_bytes: int, memory_bytes: int) -> int:
    """How many buckets keep what is sorted at a time, one bucket a core, within a limit."""
    cores = cores_here()
    return min(MOST_BUCKETS, max(1, -(-row_bytes * SORTING * cores // memory_bytes)))


def scattered(keys: np.ndarray, buckets: int) -> np.ndarray:
    """[rows] a bucket for each key; equal keys get the same."""
    mixed = keys.astype(np.uint64) * MIX
    return ((mixed >> SHIFT) % np.uint64(buckets)).astype(np.int64)


@dataclass(frozen=True)
class Exchange:
    """Rows by bucket.

    Attributes:
        storage: what sending and receiving tasks reach.
        folder: key under which the files are; removed by its owner.
        buckets: how many there are.
    """

    storage: Storage
    folder: str
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
        path = self.storage.passing() / f"{uuid.uuid4().hex}{SUFFIX}"
        try:
            self._write(path, table, ends)
            self.storage.put(path, self._key(name))
        finally:
            path.unlink(missing_ok=True)

    def has(self, name: str) -> bool:
        """Whether a task has sent its rows."""
        return self.storage.exists(self._key(name))

    def take(self, bucket: int) -> pa.Table:
        """The rows of a bucket, mapped from disk where they are on one.

        Raises:
            FileNotFoundError: no task has sent any.
        """
        keys = [key for key in self.storage.keys(self.folder) if key.endswith(SUFFIX)]
        if not keys:
            raise FileNotFoundError(f"{self.storage.root}/{self.folder} holds no rows")
        if self.storage.scheme == LOCAL:
            return pa.Table.from_batches([self._batch(key, bucket) for key in keys])
        with ThreadPoolExecutor(REQUESTS) as pool:
            return pa.Table.from_batches(list(pool.map(lambda key: self._batch(key, bucket), keys)))

    def arrays(self, bucket: int) -> dict[str, np.ndarray]:
        """The rows of a bucket, by column."""
        table = self.take(bucket)
        return {name: table[name].to_numpy() for name in table.column_names}

    def _write(self, path: Path, table: pa.Table, ends: np.ndarray) -> None:
        """Write bounds, schema and batches; a bucket without rows takes no byte."""
        bounds, schema = np.zeros(self.buckets + 1, np.int64), table.schema.serialize()
        bounds[0] = bounds.nbytes + SCHEMA_BYTES
        with path.open("wb") as file:
            file.seek(int(bounds[0]))
            for bucket, batch in enumerate(_batches(table, ends)):
                bounds[bucket + 1] = bounds[bucket] + (0 if batch is None else file.write(batch.serialize()))
            file.seek(0)
            file.write(bounds.tobytes())
            file.write(schema.to_pybytes().ljust(SCHEMA_BYTES, b"\0"))

    def _batch(self, key: str, bucket: int) -> pa.RecordBatch:
        bounds, schema = _header(self.storage, key, self.buckets)
        start, end = bounds[bucket : bucket + 2].tolist()
        if start == end:
            return pa.RecordBatch.from_pylist([], schema)
        return pa.ipc.read_record_batch(pa.py_buffer(self.storage.part(key, start, end - start)), schema)

    def _key(self, name: str) -> str:
        return f"{self.folder}/{name}{SUFFIX}"


@lru_cache(HEADERS)
def _header(storage: Storage, key: str, buckets: int) -> tuple[np.ndarray, pa.Schema]:
    """Where each bucket of a file begins, and what its rows are."""
    size = 8 * (buckets + 1)
    found = storage.part(key, 0, size + SCHEMA_BYTES)
    schema = pa.ipc.read_schema(pa.py_buffer(found[size:]))
    return np.frombuffer(found[:size], np.int64).copy(), schema


def _batches(table: pa.Table, ends: np.ndarray) -> Iterator[pa.RecordBatch | None]:
    """The rows of each bucket; None where there are none."""
    for first, last in itertools.pairwise(ends.tolist()):
        batches = table.slice(first, last - first).to_batches()
        yield batches[0] if batches else None
