"""Ids that come twice: found as duplicate texts are, by keys that are sent to buckets, so that no memory
holds all ids. The first document in the order of the sources stays; partitions that lose one are written
anew.
"""

from collections import Counter
from collections.abc import Sequence
from functools import partial

import numpy as np
import pyarrow as pa

from mashbill.artifacts import FileEntry
from mashbill.artifacts.record import Part
from mashbill.config import EngineConfig
from mashbill.corpus.identities import marks_of
from mashbill.corpus.pieces import Piece
from mashbill.corpus.records import Rejected
from mashbill.corpus.taking import IngestJob, Taken, rejected_rows
from mashbill.documents import REJECTED, Partition, text_bytes
from mashbill.partitions import spread

REASON = "duplicate_id"


class Loss(Part):
    """What a file loses, as its ids are taken.

    Attributes:
        file: its number among the set's.
        documents, text_bytes: that go.
        first: id of the first of them.
        refused: of them, those whose id another file has.
        alike, unlike: of those that were compared, how many texts are the other's, and how many are not.
    """

    file: int
    documents: int
    text_bytes: int
    first: str
    refused: int
    alike: int
    unlike: int


class Left(Part):
    """What a piece has left.

    Attributes:
        documents, rejected: its partitions, those that are written anew among them.
        losses: by file.
    """

    documents: tuple[FileEntry, ...]
    rejected: tuple[FileEntry, ...]
    losses: tuple[Loss, ...]


def losing_pieces(job: IngestJob, engine: EngineConfig) -> list[int]:
    """Numbers of the pieces that have a document whose id is taken."""
    found: set[int] = set()
    for pieces in spread(engine, partial(find_repeated, job), range(job.buckets)):
        found.update(pieces)
    return sorted(found)


def find_repeated(job: IngestJob, bucket: int) -> list[int]:
    """Send the documents of a bucket whose id an earlier one has; the pieces that they are in."""
    rows = job.ids.arrays(bucket)
    order = np.lexsort((rows["low"], rows["high"]))  # stable: of equal keys the earliest comes first, as sent
    high, low = rows["high"][order], rows["low"][order]
    fresh = np.ones(len(order), bool)
    fresh[1:] = (high[1:] != high[:-1]) | (low[1:] != low[:-1])
    first = order[np.flatnonzero(fresh)[np.cumsum(fresh) - 1]][~fresh]
    again = order[~fresh]
    columns = {name: rows[name][again] for name in ("piece", "place", "row", "file")}
    columns |= {f"first_{name}": rows[name][first] for name in ("file", "mark")}
    job.repeated.put(f"{bucket:05}", job.range_of(columns["piece"]), **columns)
    pieces: list[int] = np.unique(columns["piece"]).tolist()
    return pieces


def without_repeated(job: IngestJob, given: tuple[Piece, Taken]) -> Left:
    """Write the partitions of a piece anew that lose documents, and reject these."""
    piece, taken = given
    mine = repeated_in(job, piece)
    losses = Losing(piece)
    start, changed = 0, dict[int, bool]()
    with job.writing(f"left/{piece.number:06}") as (store, written):
        for number, entry in enumerate(taken.documents):
            partition = job.partition(entry, piece.of, number)
            end = start + partition.count()
            going = (mine["place"] >= start) & (mine["place"] < end)
            if going.any():
                left = losses.take(partition, start, {name: column[going] for name, column in mine.items()})
                changed[number] = len(left) > 0
                if len(left):
                    store.write(left, piece.of.name, number, kind=piece.of.kind)
            start = end
        store.write(pa.concat_tables(losses.rows), piece.of.name, len(taken.rejected), kind=REJECTED)
    anew = iter(written)
    documents = [
        next(anew) if changed.get(number) else entry
        for number, entry in enumerate(taken.documents)
        if changed.get(number, True)
    ]
    return Left(documents=tuple(documents), rejected=(*taken.rejected, *anew), losses=tuple(losses.by_file()))


def repeated_in(job: IngestJob, piece: Piece) -> dict[str, np.ndarray]:
    """The documents of a piece whose ids are taken, in order, by column."""
    rows = job.repeated.arrays(int(job.range_of(np.array(piece.number))))
    here = np.flatnonzero(rows["piece"] == piece.number)
    here = here[np.argsort(rows["place"][here])]
    return {name: column[here] for name, column in rows.items()}


class Losing:
    """What a piece loses, gathered by file."""

    def __init__(self, piece: Piece) -> None:
        self.domain, self.addresses = piece.of.name, {part.number: part.file.address for part in piece.parts}
        self.rows: list[pa.Table] = []
        self.first: dict[int, str] = {}
        self.counts: dict[str, Counter[int]] = {
            name: Counter() for name in ("documents", "text_bytes", "refused", "alike", "unlike")
        }

    def take(self, partition: Partition, start: int, rows: dict[str, np.ndarray]) -> pa.Table:
        """What is left of a partition.

        Args:
            partition: the documents.
            start: place of its first in the piece.
            rows: of those that go, in order.
        """
        table = partition.read()
        places = rows["place"] - start
        going = table.take(pa.array(places))
        marks = marks_of(going["text"])
        other = rows["file"] != rows["first_file"]
        compared = other & (rows["first_mark"] != 0)
        alike = compared & (marks == rows["first_mark"])
        names = going["id"].to_pylist()
        for file in np.unique(rows["file"]).tolist():
            mine = rows["file"] == file
            chosen = np.flatnonzero(mine)
            rejected = [Rejected(int(rows["row"][i]), REASON, names[i]) for i in chosen]
            self.rows.append(rejected_rows(self.domain, self.addresses[file], rejected))
            self.first.setdefault(file, names[chosen[0]])
            self._count(file, "documents", len(chosen))
            self._count(file, "text_bytes", text_bytes(going.take(pa.array(chosen))))
            self._count(file, "refused", int((other & mine).sum()))
            self._count(file, "alike", int((alike & mine).sum()))
            self._count(file, "unlike", int((compared & ~alike & mine).sum()))
        stay = np.ones(len(table), bool)
        stay[places] = False
        return table.filter(pa.array(stay)).combine_chunks()

    def by_file(self) -> Sequence[Loss]:
        """The losses, in the order of the files."""
        return [
            Loss(file=file, first=self.first[file], **{name: of[file] for name, of in self.counts.items()})
            for file in sorted(self.first)
        ]

    def _count(self, file: int, name: str, count: int) -> None:
        self.counts[name][file] += count
