"""Pieces: how the files of a set are cut into tasks, by their listing alone.

Small files that follow one another are one piece. A large file whose records can be told apart from its
middle on is cut into spans of bytes: of lines a span has those that begin in it, of a table the groups or
batches of rows. Everything else is read as one stream. So pieces are the same on any machine, and what they
give follows in the order of the files.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, groupby

from mashbill.config import PipelineConfig, Source
from mashbill.corpus.listing import COMPRESSED
from mashbill.corpus.names import FileNames
from mashbill.corpus.sources import SourceFile
from mashbill.documents import DOCUMENTS, EVALUATIONS, REFERENCES, Kind

log = logging.getLogger(__name__)
SPLIT = ("jsonl", "parquet", "arrow")
"""Formats of which a task can read a part."""
COUNTED = ("jsonl", "arrow")
"""Of these, those whose parts say how many records they have, and not where these are in the file."""
HEAVY_BYTES = 2_000_000_000  # of text, as far as a listing tells
PACKED = 4  # bytes of text for one of a compressed file
MOST_FILES = 10_000  # of one piece
EXAMPLES = 3


@dataclass(frozen=True)
class Span:
    """A part of a file.

    Attributes:
        start: of the bytes in which its records begin; end: behind them, None where they are the file's last.
        size: of the whole file, as it is listed.
        row: place of its first record in the file, where records are counted.
    """

    start: int
    end: int | None
    size: int
    row: int = 0

    def has(self, byte: int) -> bool:
        """Whether a byte of the file is in it."""
        return self.start <= byte and (self.end is None or byte < self.end)


@dataclass(frozen=True)
class FilePart:
    """A file of a source, or a part of one.

    Attributes:
        file: the file; source: whose it is; where: the source's place in the config.
        kind: its format.
        name: what it is called in ids.
        number: its place among the set's files.
        span: which part; None means all.
    """

    file: SourceFile
    source: Source
    where: str
    kind: str
    name: str
    number: int
    span: Span | None = None

    @property
    def bytes(self) -> int:
        """Of the file that are read, as listed."""
        if self.span is None:
            return self.file.bytes
        return (self.span.size if self.span.end is None else self.span.end) - self.span.start

    @property
    def first(self) -> bool:
        """Whether it begins the file."""
        return self.span is None or self.span.start == 0

    def from_row(self, row: int) -> "FilePart":
        """The same span, whose first record is at a row of the file."""
        return self if self.span is None else replace(self, span=replace(self.span, row=row))

    @property
    def counted(self) -> bool:
        """Whether it is a span whose records are counted: so the rows of those behind it are known."""
        return self.span is not None and self.kind in COUNTED

    @property
    def reached(self) -> bool:
        """Whether this machine reaches it."""
        return self.file.reached

    @property
    def gives_ids(self) -> bool:
        """Whether its records may have ids of their own."""
        return self.source.id_field is not None or self.kind == "warc"


@dataclass(frozen=True)
class DocumentSet:
    """A domain, a reference or an evaluation set.

    Attributes:
        kind: of its documents; name: its own.
    """

    kind: Kind
    name: str


@dataclass(frozen=True)
class Piece:
    """What one task reads.

    Attributes:
        number: its place among all pieces.
        of: the set that it is a part of.
        parts: files and parts of files, in order.
        compared: whether an id in it may come again.
    """

    number: int
    of: DocumentSet
    parts: tuple[FilePart, ...]
    compared: bool

    @property
    def bytes(self) -> int:
        """Of files that it reads, as listed."""
        return sum(part.bytes for part in self.parts)

    @property
    def reached(self) -> bool:
        """Whether this machine reaches all its files."""
        return all(part.reached for part in self.parts)


def sets_of(config: PipelineConfig) -> Iterator[DocumentSet]:
    """All sets, in the config's order."""
    yield from (DocumentSet(DOCUMENTS, name) for name in config.domain_names)
    yield from (DocumentSet(REFERENCES, name) for name in config.reference_names)
    yield from (DocumentSet(EVALUATIONS, given.name) for given in config.corpus.evaluations)


class SetFiles:
    """The files of a set in their order, each with the name that it has in ids."""

    def __init__(self) -> None:
        self._names = FileNames()
        self.parts: list[FilePart] = []

    def add(self, file: SourceFile, source: Source, where: str) -> None:
        """Go on with a file of a source, whose place in the config is given."""
        kind, name = file.format_in(source), self._names.name(file, source)
        self.parts.append(FilePart(file, source, where, kind, name, len(self.parts)))

    @property
    def may_repeat_ids(self) -> bool:
        """Whether an id may come twice: those that are made are all different, unless a file is read
        twice."""
        names = {part.name for part in self.parts}
        return len(names) < len(self.parts) or any(part.gives_ids for part in self.parts)

    def split(self, most: int) -> list[FilePart]:
        """Files, and spans of those that are large and can be split.

        Args:
            most: bytes that need no split.
        """
        return [span for part in self.parts for span in spans_of(part, most)]


def spans_of(part: FilePart, most: int) -> list[FilePart]:
    """A file whole, or in spans of about so many bytes, where its name says that it can be split."""
    size = part.file.bytes
    if size <= most or part.kind not in SPLIT or part.file.address.lower().endswith(COMPRESSED):
        return [part]
    count = -(-size // most)
    ends = [size * i // count for i in range(count + 1)]
    spans = zip(ends[:-1], [*ends[1:-1], None], strict=True)
    return [replace(part, span=Span(start, end, size)) for start, end in spans]


def in_rows(parts: Iterable[FilePart], counts: Iterator[int | None]) -> Iterator[FilePart]:
    """Files and spans, those whose records are counted with the row that each begins with; whole where a file
    is not made of such records.

    Args:
        parts: files and spans of them, in order.
        counts: for each span that is counted, how many records begin in it; None where that cannot be told.
    """
    for _, group in groupby(parts, key=lambda part: part.number):
        spans = list(group)
        if not spans[0].counted:
            yield from spans
            continue
        found = [next(counts) for _ in spans]
        known = [count for count in found if count is not None]
        if len(known) < len(spans):
            yield replace(spans[0], span=None)
            continue
        rows = accumulate(known[:-1], initial=0)
        yield from (part.from_row(row) for part, row in zip(spans, rows, strict=True))


def pieces_of(
    of: DocumentSet, parts: Sequence[FilePart], most: int, *, compared: bool, first: int
) -> list[Piece]:
    """The pieces of a set.

    Args:
        of: the set; parts: files and spans of them, in order.
        most: bytes of a piece of several.
        compared: whether ids are.
        first: number of the first piece.
    """
    groups = grouped(parts, most)
    return [Piece(first + i, of, tuple(group), compared) for i, group in enumerate(groups)]


def grouped(parts: Iterable[FilePart], most: int) -> Iterator[list[FilePart]]:
    """Files that follow one another, together as long as they are small; a dataset on the hub, whose size
    nobody knows, alone."""
    group: list[FilePart] = []
    size = 0
    for part in parts:
        alone = part.kind == "hub"
        if group and (alone or size + part.bytes > most or len(group) == MOST_FILES):
            yield group
            group, size = [], 0
        group.append(part)
        size += most + 1 if alone else part.bytes
    if group:
        yield group


def warn_of_heavy(pieces: Sequence[Piece]) -> None:
    """Name the large files that one task reads from front to back."""
    heavy = [part for piece in pieces for part in piece.parts if part.span is None and _is_heavy(part)]
    if heavy:
        some = ", ".join(part.file.address for part in heavy[:EXAMPLES]) + ", ..." * (len(heavy) > EXAMPLES)
        log.warning(
            "%d files of about %d GB of text or more cannot be split, so one task reads each to its end (%s);"
            " plain .jsonl, parquet, Arrow IPC files, or several smaller files are read by many",
            len(heavy),
            HEAVY_BYTES // 10**9,
            some,
        )


def _is_heavy(part: FilePart) -> bool:
    packed = part.file.address.lower().endswith(COMPRESSED)
    return part.bytes * (PACKED if packed else 1) > HEAVY_BYTES
