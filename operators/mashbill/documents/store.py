"""The store of documents: partitions by kind and set, ``kind/set/part-00000.parquet`` under one root.

It alone knows names of files, their compression and how partitions are numbered. A stage opens the store of
an artifact it reads and one on its own output. What an artifact's partitions are its manifest says, and no
file that lies beside them is one. A partition is a small value, so a task anywhere can be sent one.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import pyarrow as pa
import pyarrow.parquet as pq

from mashbill.artifacts import Artifact, Output
from mashbill.documents.kinds import DOCUMENTS, Kind
from mashbill.documents.outside import OutsideDocuments
from mashbill.documents.partition import Partition

PREFIX, SUFFIX = "part-", ".parquet"
DEPTH = 3  # kind/set/file


@dataclass(frozen=True)
class DocumentStore:
    """The documents under one root.

    Attributes:
        root: where they are.
        artifact: whose they are; None while they are being written.
        output: where they are written; None where they are read.
    """

    root: str
    artifact: Artifact | None = None
    output: Output | None = None

    @classmethod
    def of(cls, artifact: Artifact) -> "DocumentStore":
        """The documents of a stage's result."""
        return cls(artifact.address, artifact)

    @classmethod
    def into(cls, output: Output | Path) -> "DocumentStore":
        """A store for the documents that a stage writes, or that are written into a folder."""
        place = Output.at(output) if isinstance(output, Path) else output
        return cls(str(place.folder), output=place)

    def sets(self, kind: Kind = DOCUMENTS) -> tuple[str, ...]:
        """Names of the sets that have a partition, sorted."""
        there = {file.parent.name for file in self._files(kind.name)}
        return tuple(sorted(there | {part.domain for part in self._outside(kind)}))

    def partitions(self, *sets: str, kind: Kind = DOCUMENTS) -> list[Partition]:
        """Partitions of some sets, in the order of the sets, then of their numbers.

        Args:
            sets: names; one that has no partition gives none.
            kind: which kind of rows.
        """
        found = []
        for name in sets:
            parts = [self._partition(file) for file in self._files(f"{kind.name}/{name}")]
            parts += [part for part in self._outside(kind) if part.domain == name]
            found += sorted(parts, key=lambda part: part.number)
        return found

    def _outside(self, kind: Kind) -> Sequence[Partition]:
        """Partitions that are in others' files."""
        return self.artifact.outside(kind) if isinstance(self.artifact, OutsideDocuments) else ()

    def _files(self, folder: str) -> list[PurePath]:
        """Files of partitions under a folder, relative to the root."""
        if self.artifact is not None:
            found = [PurePath(name) for name in self.artifact.names(folder)]
        else:
            found = [path.relative_to(self.root) for path in Path(self.root, folder).rglob("*")]
        return [
            f for f in found if f.name.startswith(PREFIX) and f.suffix == SUFFIX and len(f.parts) == DEPTH
        ]

    def _partition(self, file: PurePath) -> Partition:
        sealed = None if self.artifact is None else self.artifact.sealed(str(file))
        address = str(Path(self.root, file)) if sealed is None else sealed.path
        return Partition(address, file.parent.name, _number(file), sealed)

    def by_set(self, sets: Sequence[str], kind: Kind = DOCUMENTS) -> dict[str, list[Partition]]:
        """Partitions of each set, in order."""
        return {name: self.partitions(name, kind=kind) for name in sets}

    def read(self, *sets: str, kind: Kind = DOCUMENTS, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows of some sets, in order.

        Args:
            sets: names.
            kind: which kind of rows.
            columns: those to read; None means all.
        """
        tables = [part.read(columns) for part in self.partitions(*sets, kind=kind)]
        if tables:
            return pa.concat_tables(tables)
        return kind.schema.empty_table().select(kind.schema.names if columns is None else list(columns))

    def write(self, table: pa.Table, name: str, number: int, *, kind: Kind = DOCUMENTS) -> None:
        """Write one partition.

        Args:
            table: its rows; columns that are not of the kind are left out.
            name: of the set.
            number: its place among the set's partitions, from 0.
            kind: what the rows are.
        Raises:
            KeyError: a column of the kind is missing.
        """
        rows = table if table.schema == kind.schema else table.select(kind.schema.names).cast(kind.schema)
        with self._output.writing(_file(name, number, kind), rows=len(rows)) as path:
            pq.write_table(rows, path, compression="zstd", row_group_size=kind.group_rows)

    def adopt(self, name: str, source: "DocumentStore", kind: Kind = DOCUMENTS) -> None:
        """Take over a set from another store as it is, without a copy where the disk allows it."""
        for part in source.partitions(name, kind=kind):
            self.adopt_partition(part, kind)

    def adopt_partition(self, part: Partition, kind: Kind = DOCUMENTS) -> None:
        """Take over a partition of another store as it is, without a copy where the disk allows it."""
        name = _file(part.domain, part.number, kind)
        if part.sealed is not None:
            self._output.adopt(part.sealed, name, rows=part.count())
            return
        if part.outside is not None:
            self.write(part.read(), part.domain, part.number, kind=kind)
            return
        with self._output.writing(name, rows=part.count()) as path:
            shutil.copyfile(part.address, path)

    @property
    def _output(self) -> Output:
        if self.output is None:
            raise ValueError(f"{self.root} is read, not written")
        return self.output


def _file(name: str, number: int, kind: Kind) -> str:
    return f"{kind.name}/{name}/{PREFIX}{number:05d}{SUFFIX}"


def _number(file: PurePath) -> int:
    return int(file.name.removeprefix(PREFIX).removesuffix(SUFFIX))
