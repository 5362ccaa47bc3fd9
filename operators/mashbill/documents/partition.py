"""A partition: a part of a set of documents that one task reads whole.

It is a small value that says where the rows are. A task on another machine is sent it and reads the
rows itself; nobody but this module and the store knows that the address is a file's.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mashbill.artifacts import SealedFile
from mashbill.documents.kinds import DOCUMENT_SCHEMA


class OutsideRows(Protocol):
    """Rows that are read from others' files, each time they are asked for."""

    @property
    def bytes(self) -> int:
        """Size of the files."""

    @property
    def rows(self) -> int:
        """How many there are."""

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows in order, as documents."""


@dataclass(frozen=True)
class Partition:
    """One part of a set, in order within itself and among the set's parts.

    Attributes:
        address: where its rows are.
        domain: the set it is a part of: a domain, a quality bin of one, a reference or an evaluation set.
        number: its place among the parts of the set; parts of which nothing is left leave gaps.
        sealed: what an artifact's manifest says of it, which is checked where it is read; None while it is
            no artifact's.
        outside: the rows, where they are in others' files and in no partition of ours.
    """

    address: str
    domain: str
    number: int
    sealed: SealedFile | None = None
    outside: OutsideRows | None = None

    @contextmanager
    def opened(self) -> Iterator[str]:
        """A local path of its rows, for a while.

        Raises:
            DataError: they are gone, or others than were committed.
        """
        if self.sealed is None:
            yield self.address
            return
        with self.sealed.reading() as path:
            yield str(path)

    @property
    def bytes(self) -> int:
        """Size of its file, as its manifest says; 0 while it is no artifact's."""
        if self.outside is not None:
            return self.outside.bytes
        return 0 if self.sealed is None else self.sealed.bytes

    def count(self) -> int:
        """How many rows it has, as its manifest says; nothing is read where it does."""
        if self.outside is not None:
            return self.outside.rows
        if self.sealed is not None and self.sealed.rows is not None:
            return self.sealed.rows
        with self.opened() as path:
            return int(pq.read_metadata(path).num_rows)

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows.

        Args:
            columns: those to read; None means all.
        """
        if self.outside is not None:
            some = list(self.outside.batches())
            whole = pa.Table.from_batches(some) if some else DOCUMENT_SCHEMA.empty_table()
            return whole if columns is None else whole.select(list(columns))
        with self.opened() as path:
            return pq.read_table(path, columns=None if columns is None else list(columns))

    def batches(self, columns: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        """The rows in order, without all of them in memory.

        Args:
            columns: those to read.
            rows: most in one batch.
        """
        if self.outside is not None:
            for batch in self.outside.batches():
                some = batch.select(list(columns))
                yield from (some.slice(start, rows) for start in range(0, len(some), rows))
            return
        with self.opened() as path, pq.ParquetFile(path) as file:
            yield from file.iter_batches(columns=list(columns), batch_size=rows)

    def chosen(
        self, choose: Callable[[pa.ChunkedArray], np.ndarray], columns: Sequence[str]
    ) -> Iterator[pa.Table]:
        """The rows that are chosen by their ids; of groups of rows without one, nothing but ids is read.

        Args:
            choose: given the ids of some rows, [rows] bool: whether each is wanted.
            columns: those to read.
        """
        if self.outside is not None:
            for batch in self.outside.batches():
                table = pa.Table.from_batches([batch])
                wanted = choose(table["id"])
                if wanted.any():
                    yield table.select(list(columns)).filter(pa.array(wanted))
            return
        with self.opened() as path, pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                wanted = choose(file.read_row_group(group, columns=["id"])["id"])
                if wanted.any():
                    yield file.read_row_group(group, columns=list(columns)).filter(pa.array(wanted))
