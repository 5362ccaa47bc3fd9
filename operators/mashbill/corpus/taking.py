"""What a task makes of a piece: its documents in partitions, what it rejects, and the accounts of its files.

All of it goes to where the tasks of the stage meet, in the piece's own folder; a record, which is put there
last, says that it is whole, so that a killed run goes on with the other pieces. Nothing of the text comes
back to who sent the piece.
"""

import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mashbill.artifacts import FileEntry, Output, SealedFile, telling
from mashbill.artifacts.record import Part
from mashbill.config import Source
from mashbill.corpus.ahead import copied_ahead
from mashbill.corpus.identities import keys_of, marks_of, with_ids
from mashbill.corpus.losses import FileAccount
from mashbill.corpus.pieces import DocumentSet, FilePart, Piece
from mashbill.corpus.readers import read_part
from mashbill.corpus.records import Rejected
from mashbill.documents import DOCUMENT_SCHEMA, REJECTED, DocumentStore, Partition, text_bytes
from mashbill.partitions import Exchange, scattered
from mashbill.storage import Storage

LICENSE = '"license": "'
KEY_COLUMNS = {
    "high": np.uint64,
    "low": np.uint64,
    "piece": np.int64,
    "place": np.int64,
    "row": np.int64,
    "file": np.int64,
    "mark": np.uint64,
}
MARKED = 1_000  # first rows of a file whose texts are compared with others that have their ids
MOST_ROWS = 500_000  # of rejected records, and of keys, that a task holds


@dataclass(frozen=True)
class IngestJob:
    """What the tasks of an ingest have in common.

    Attributes:
        shared: where they meet.
        partition_bytes: text of a partition.
        pieces: how many there are; buckets: that ids are sent to.
        keeps: whether documents are written; else they are counted, and stay where they are.
    """

    shared: Storage
    partition_bytes: int
    pieces: int
    buckets: int
    keeps: bool = True

    @property
    def ids(self) -> Exchange:
        """Of each document ``high`` and ``low``, the key of its id; ``piece`` and ``place`` within that;
        ``row`` in its ``file``; and the ``mark`` of its text, 0 where it has none."""
        return Exchange(self.shared, f"ids-{self.buckets}", self.buckets)

    @property
    def ranges(self) -> int:
        """How many ranges the pieces are taken in."""
        return max(1, min(self.buckets, self.pieces))

    @property
    def repeated(self) -> Exchange:
        """``piece``, ``place``, ``row`` and ``file`` of documents whose ids are taken, and whose they are:
        ``first_file`` and ``first_mark``; by the range of the piece."""
        return Exchange(self.shared, f"repeated-{self.ranges}", self.ranges)

    def range_of(self, pieces: np.ndarray) -> np.ndarray:
        """[pieces] which range each is in."""
        return pieces * self.ranges // max(1, self.pieces)

    def partition(self, entry: FileEntry, of: DocumentSet, number: int) -> Partition:
        """What a task wrote, as the partition of that number."""
        sealed = SealedFile(self.shared, entry.path, entry.bytes, entry.sha256, "ingest", entry.rows)
        return Partition(sealed.path, of.name, number, sealed)

    @contextmanager
    def writing(self, folder: str) -> Iterator[tuple[DocumentStore, list[FileEntry]]]:
        """A store whose partitions are where all tasks reach them at the end of the block, in a folder of
        their own, and the list of them that is filled then, in the order in which they were written."""
        entries: list[FileEntry] = []
        with tempfile.TemporaryDirectory(dir=self.shared.passing()) as made, telling() as files:
            yield DocumentStore.into(Output.at(Path(made))), entries
            for file in files:
                key = f"{folder}/{file.path}"
                self.shared.put(Path(made, file.path), key)
                entries.append(file.model_copy(update={"path": key}))


class TakenPart(Part):
    """What came of a file, or of a part of it.

    Attributes:
        file: its number among the set's.
        account: what it gave and lost.
        found: of the fields that its source names, those that some record had.
        passed: records that are not meant to be documents, by kind.
        given: whether a record had an id of its own.
    """

    file: int
    account: FileAccount
    found: tuple[str, ...]
    passed: dict[str, int]
    given: bool


class Taken(Part):
    """What came of a piece.

    Attributes:
        parts: its files and parts of files.
        documents: partitions, in order; rejected: one, where something was.
    """

    parts: tuple[TakenPart, ...]
    documents: tuple[FileEntry, ...]
    rejected: tuple[FileEntry, ...]


def take_piece(job: IngestJob, piece: Piece) -> Taken:
    """Read a piece, unless a killed run has."""
    record = f"pieces/{piece.number:06}.json"
    try:
        return Taken.model_validate_json(job.shared.read(record))
    except KeyError:
        pass
    with job.writing(f"pieces/{piece.number:06}") as (store, written):
        writer = PieceWriter(job, piece, store)
        parts = tuple(writer.take(part) for part in copied_ahead(piece.parts))
        writer.finish()
    texts = tuple(entry for entry in written if f"/{piece.of.kind.name}/" in entry.path)
    rejected = tuple(entry for entry in written if entry not in texts)
    taken = Taken(parts=parts, documents=texts, rejected=rejected)
    with tempfile.NamedTemporaryFile("w", dir=job.shared.passing(), delete=False) as file:
        file.write(taken.model_dump_json())
    job.shared.put(Path(file.name), record)
    return taken


class PieceWriter:
    """Gathers the documents of a piece into partitions, and what it rejects.

    Args:
        job: what it is a task of.
        piece: what is read.
        store: where partitions are written.
    """

    def __init__(self, job: IngestJob, piece: Piece, store: DocumentStore) -> None:
        self.job, self.piece, self.store = job, piece, store
        self.waiting: list[pa.RecordBatch] = []
        self.waiting_bytes = self.partitions = self.documents = 0
        self.rejected: list[pa.Table] = []
        self.keys: list[dict[str, np.ndarray]] = []
        self.rejections = self.sent = 0

    def take(self, part: FilePart) -> TakenPart:
        """Take in what a file, or a part of one, holds."""
        source = part.source
        license_pair = license_of(source)
        one_record = not part.file.folder and part.kind == "txt"
        account = FileAccount(part.file.address, part.file.bytes, one_record)
        found: set[str] = set()
        passed: Counter[str] = Counter()
        given = False
        for read in read_part(part):
            found |= read.found
            passed.update(read.passed)
            account.passed += len(read.passed)
            account.reject(read.rejected)
            if read.rejected:
                self._reject(rejected_rows(self.piece.of.name, part.file.address, read.rejected))
            if len(read.documents):
                given |= read.documents["id"].null_count < len(read.documents)
                kept = with_ids(read.documents, self.piece.of.name, part)
                if self.piece.compared:
                    self._compare(kept, part)
                account.documents += len(kept)
                account.text_bytes += text_bytes(kept)
                self._keep(kept, part.file.address, license_pair)
        return TakenPart(
            file=part.number, account=account, found=tuple(sorted(found)), passed=dict(passed), given=given
        )

    def finish(self) -> None:
        """Write what waits, and send the keys of ids."""
        self._flush()
        self._write_rejected()
        if self.piece.compared:
            self._send()

    def _reject(self, rows: pa.Table) -> None:
        self.rejected.append(rows)
        if sum(map(len, self.rejected)) >= MOST_ROWS:
            self._write_rejected()

    def _write_rejected(self) -> None:
        if self.rejected:
            table = pa.concat_tables(self.rejected)
            self.store.write(table, self.piece.of.name, self.rejections, kind=REJECTED)
            self.rejections += 1
        self.rejected = []

    def _send(self) -> None:
        columns = {
            name: np.concatenate([np.zeros(0, kind), *(keys[name] for keys in self.keys)])
            for name, kind in KEY_COLUMNS.items()
        }
        bucket = scattered(columns["high"], self.job.buckets)
        self.job.ids.put(f"{self.piece.number:06}-{self.sent:06}", bucket, **columns)
        self.keys, self.sent = [], self.sent + 1

    def _compare(self, kept: pa.RecordBatch, part: FilePart) -> None:
        """Note the keys of ids, and the marks of the first texts of a file."""
        high, low = keys_of(self.piece.of.name, kept["id"])
        row, mark = kept["row"].to_numpy(), np.zeros(len(kept), np.uint64)
        some = np.flatnonzero(row < MARKED)
        mark[some] = marks_of(kept["text"].take(pa.array(some)))
        keys = {
            "high": high,
            "low": low,
            "piece": np.full(len(kept), self.piece.number, np.int64),
            "place": np.arange(self.documents, self.documents + len(kept), dtype=np.int64),
            "row": row,
            "file": np.full(len(kept), part.number, np.int64),
            "mark": mark,
        }
        self.keys.append(keys)
        if sum(len(some["row"]) for some in self.keys) >= MOST_ROWS:
            self._send()

    def _keep(self, batch: pa.RecordBatch, source: str, license_pair: str) -> None:
        self.documents += len(batch)
        if not self.job.keeps:
            return
        self.waiting.append(as_documents(batch, self.piece.of.name, source, license_pair=license_pair))
        self.waiting_bytes += text_bytes(batch)
        if self.waiting_bytes >= self.job.partition_bytes:
            self._flush()

    def _flush(self) -> None:
        if self.waiting:
            table = pa.Table.from_batches(self.waiting, DOCUMENT_SCHEMA)
            self.store.write(table, self.piece.of.name, self.partitions, kind=self.piece.of.kind)
            self.partitions += 1
        self.waiting, self.waiting_bytes = [], 0


def license_of(source: Source) -> str:
    """A source's licence, as it stands in its documents' metadata."""
    return json.dumps({"license": source.license})[1:-1]


def as_documents(batch: pa.RecordBatch, domain: str, source: str, *, license_pair: str) -> pa.RecordBatch:
    """Records with ids as documents.

    Args:
        batch: [documents] records.
        domain: whose they are; source: address of their file.
        license_pair: the source's licence, for those that have none of their own.
    """
    count = len(batch)
    extra = pc.coalesce(pc.binary_join_element_wise(", ", batch["metadata"], ""), "")
    metadata = pc.binary_join_element_wise("{" + license_pair, extra, "}", "")
    of_its_own = pc.match_substring(extra, LICENSE)  # no value has it: quotes in values are escaped
    bare = pc.binary_join_element_wise("{", pc.coalesce(batch["metadata"], ""), "}", "")
    metadata = pc.if_else(of_its_own, bare, metadata)
    names = (pa.repeat(pa.scalar(name, pa.string()), count) for name in (domain, source))
    return pa.record_batch([batch["id"], *names, batch["text"], metadata], schema=DOCUMENT_SCHEMA)


def rejected_rows(domain: str, source: str, rejected: Sequence[Rejected]) -> pa.Table:
    """What was rejected of a file, as it is kept."""
    names = [field.name for field in fields(Rejected) if field.name in REJECTED.schema.names]
    columns: dict[str, list[Any]] = {
        "domain": [domain] * len(rejected),
        "source": [source] * len(rejected),
        **{name: [getattr(one, name) for one in rejected] for name in names},
    }
    return pa.table(columns, REJECTED.schema)
