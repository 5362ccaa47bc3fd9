"""Documents where they are: an artifact that refers to others' files, which are read anew each time.

The files are listed and cut into the pieces that ingest reads, and read once, to be counted: what cannot be
read, and what is no document, is refused and told as at ingest. A piece is then a partition, whose rows the
same readers give; no text is copied.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa

from mashbill.artifacts import OUTSIDE, Artifact, Counts, Record, StageRun
from mashbill.artifacts.record import Part
from mashbill.config import Source
from mashbill.corpus.ahead import copied_ahead
from mashbill.corpus.identities import with_ids
from mashbill.corpus.ingest import check, counts_of, job_for, planned, taken_of
from mashbill.corpus.pieces import DocumentSet, FilePart, Piece, Span
from mashbill.corpus.readers import read_part
from mashbill.corpus.repeated_ids import Left, Losing, losing_pieces, repeated_in
from mashbill.corpus.sources import SourceFile
from mashbill.corpus.taking import IngestJob, Taken, as_documents, license_of
from mashbill.documents import DOCUMENTS, EVALUATIONS, REFERENCES, REJECTED, Partition
from mashbill.documents.outside import OutsideDocuments
from mashbill.errors import DataError
from mashbill.partitions import spread
from mashbill.storage import StoredFile, open_storage

KINDS = {kind.name: kind for kind in (DOCUMENTS, REFERENCES, EVALUATIONS)}


@dataclass(frozen=True)
class PieceRows:
    """The documents of a piece.

    Attributes:
        piece: of which files.
        rows: how many there are.
        without: [documents] places of those that are left out, as their ids are taken.
    """

    piece: Piece
    rows: int
    without: tuple[int, ...] = ()

    @property
    def bytes(self) -> int:
        """Of its files, as listed."""
        return self.piece.bytes

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The documents in order.

        Raises:
            DataError: a file holds other documents than when it was counted.
        """
        place = given = 0
        for batch in self._all():
            stay = np.ones(len(batch), bool)
            gone = [at - place for at in self.without if place <= at < place + len(batch)]
            stay[gone] = False
            place += len(batch)
            given += int(stay.sum())
            yield batch.filter(pa.array(stay)) if gone else batch
        if given != self.rows:
            what = f"gave {given:,} documents where {self.rows:,} were counted"
            raise DataError(self.piece.parts[0].file.address, what, "rerun once nothing writes to it")

    def _all(self) -> Iterator[pa.RecordBatch]:
        name = self.piece.of.name
        for part in copied_ahead(self.piece.parts):
            pair = license_of(part.source)
            for read in read_part(part):
                if len(read.documents):
                    kept = with_ids(read.documents, name, part)
                    yield as_documents(kept, name, part.file.address, license_pair=pair)


class OutsideFile(Part):
    """A file of a piece, or a part of one, as it is kept.

    Attributes:
        source, where, kind, name, number: as ``FilePart`` has them.
        span: start, end, size and row, where it is a part.
        path, file_name, address, root, bytes, folder: as ``SourceFile`` has them.
        copies: key, bytes, version and place of each object; storage: root of what has them.
    """

    source: Source
    where: str
    kind: str
    name: str
    number: int
    span: tuple[int, int | None, int, int] | None
    path: str
    file_name: str
    address: str
    root: str
    bytes: int
    folder: bool
    copies: tuple[tuple[str, int, str, str], ...]
    storage: str | None

    @classmethod
    def of(cls, part: FilePart) -> Self:
        """A file, to be kept."""
        file, span = part.file, part.span
        return cls(
            source=part.source,
            where=part.where,
            kind=part.kind,
            name=part.name,
            number=part.number,
            span=None if span is None else (span.start, span.end, span.size, span.row),
            path=str(file.path),
            file_name=file.name,
            address=file.address,
            root=file.root,
            bytes=file.bytes,
            folder=file.folder,
            copies=tuple((o.key, o.bytes, o.version, str(place)) for o, place in file.copies),
            storage=None if file.storage is None else file.storage.root,
        )

    def opened(self, scratch: Path) -> FilePart:
        """The file, whose copies go to a scratch folder."""
        copies = tuple(
            (StoredFile(key, size, version), Path(place)) for key, size, version, place in self.copies
        )
        storage = None if self.storage is None else open_storage(self.storage, scratch)
        file = SourceFile(
            Path(self.path),
            self.file_name,
            self.address,
            self.root,
            self.bytes,
            self.folder,
            copies,
            storage,
            scratch,
        )
        span = None if self.span is None else Span(*self.span)
        return FilePart(file, self.source, self.where, self.kind, self.name, self.number, span)


class OutsidePiece(Part):
    """A piece, as it is kept.

    Attributes:
        kind, name: of its set; files: of it, in order; documents: how many they hold.
        without: places of documents that are left out.
    """

    kind: str
    name: str
    files: tuple[OutsideFile, ...]
    documents: int
    without: tuple[int, ...] = ()


class OutsidePieces(Record):
    """Where the documents of an artifact are."""

    FILE = OUTSIDE
    pieces: tuple[OutsidePiece, ...]


OUTPUTS = {OutsidePieces.FILE: "where the documents are", f"{REJECTED.name}/": "what was refused, and why"}


def refer(run: StageRun) -> Counts:
    """Say where the documents of every source are, and count them.

    Raises:
        DataError: a domain has no document, or too many of its records were rejected.
    """
    passed, pieces = planned(run)
    job = job_for(run, pieces, keeps=False)
    taken, accounts = taken_of(run, job, pieces)
    counts = [sum(part.account.documents for part in found.parts) for found in taken]
    without: dict[int, tuple[int, ...]] = {}
    if any(piece.compared for piece in pieces):
        run.progress(0.8, "comparing ids")
        numbers = losing_pieces(job, run.config.engine)
        losing = [(pieces[number], counts[number], taken[number]) for number in numbers]
        for number, (places, left) in zip(
            numbers, spread(run.config.engine, partial(_lost, job), losing), strict=True
        ):
            accounts[pieces[number].of].lose(left.losses)
            without[number] = places
            taken[number] = taken[number].model_copy(update={"rejected": left.rejected})
    rejected = [
        job.partition(entry, piece.of, number)
        for number, (piece, entry) in enumerate(
            (piece, entry) for piece, found in zip(pieces, taken, strict=True) for entry in found.rejected
        )
    ]
    check(run, list(accounts.values()), rejected)
    kept = [
        OutsidePiece(
            kind=piece.of.kind.name,
            name=piece.of.name,
            files=tuple(OutsideFile.of(part) for part in piece.parts),
            documents=counts[number] - len(without.get(number, ())),
            without=without.get(number, ()),
        )
        for number, piece in enumerate(pieces)
    ]
    OutsidePieces(pieces=tuple(kept)).write(run.output)
    return counts_of(accounts.values()) | {"passed_over": dict(passed)}


def _lost(job: IngestJob, given: tuple[Piece, int, Taken]) -> tuple[tuple[int, ...], Left]:
    """Places of a piece's documents whose ids are taken, and what the piece loses by that."""
    piece, documents, taken = given
    mine, losses = repeated_in(job, piece), Losing(piece)
    whole = Partition("", piece.of.name, 0, outside=PieceRows(piece, documents))
    losses.take(whole, 0, mine)
    with job.writing(f"left/{piece.number:06}") as (store, written):
        store.write(pa.concat_tables(losses.rows), piece.of.name, len(taken.rejected), kind=REJECTED)
    left = Left(documents=(), rejected=(*taken.rejected, *written), losses=tuple(losses.by_file()))
    return tuple(mine["place"].tolist()), left


def with_documents(artifact: Artifact, scratch: Path) -> Artifact:
    """An artifact whose documents are others' files, ready to be read; any other as it is.

    Args:
        artifact: any.
        scratch: local folder for copies.
    """
    if not artifact.has(OutsidePieces.FILE) or isinstance(artifact, OutsideDocuments):
        return artifact
    pieces = OutsidePieces.read(artifact).pieces
    parts: dict[str, list[Partition]] = {}
    counts: dict[tuple[str, str], int] = {}
    for number, kept in enumerate(pieces):
        kind, at = KINDS[kept.kind], counts.get((kept.kind, kept.name), 0)
        counts[kept.kind, kept.name] = at + 1
        if not kept.documents:
            continue
        files = tuple(file.opened(scratch) for file in kept.files)
        piece = Piece(number, DocumentSet(kind, kept.name), files, compared=False)
        rows = PieceRows(piece, kept.documents, kept.without)
        parts.setdefault(kind.name, []).append(Partition("", kept.name, at, outside=rows))
    return OutsideDocuments(artifact.storage, artifact.key, artifact.manifest, artifact.origin, parts)
