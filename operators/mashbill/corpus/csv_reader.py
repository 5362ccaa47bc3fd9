"""Csv with a header: fields may hold line breaks, and columns that nobody asked for are not looked at.

Blocks of whole rows are parsed by compiled code; a block of which it makes another number of rows than there
are is read again row by row.
"""

import csv
import sys
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mashbill.config import Source
from mashbill.corpus.columns import is_utf8, records_of
from mashbill.corpus.csv_rows import BEGIN, QUOTED, row_ends
from mashbill.corpus.records import Records, Rejected, excerpt, nothing, refused, unreadable
from mashbill.corpus.streams import PlainStream

DELIMITERS = ",\t;|"
NEVER_CLOSED = "opens a quote that is never closed: "


def read_csv(path: Path, source: Source) -> Iterator[Records]:
    """Read a file in blocks of rows. Rows with another number of fields than the header are rejected."""
    with PlainStream(path) as stream:
        rows = _Rows(source, stream.size)
        for block in stream.blocks():
            closed = block.damage is None and block.ended
            yield from rows.take(block.content, closed=closed)
            if block.damage is not None:
                where = f"from row {rows.row}: {block.damage.what}"
                yield nothing(unreadable(where, block.lost + rows.drop(), cut=block.damage.cut))


@dataclass(frozen=True)
class _Header:
    """What the first row says.

    Attributes:
        names: of the columns.
        delimiter: what is between them.
        wanted: columns that the source names, once each.
        text: the row itself.
    """

    names: tuple[str, ...]
    delimiter: str
    wanted: tuple[str, ...]
    text: bytes

    def may_be_again(self, content: bytes) -> bool:
        """Whether it may be among some rows."""
        around = ((b"\n", b"\n"), (b"\n", b"\r"), (b"\r", b"\r"), (BOM_UTF8, b""))
        return content.startswith(self.text) or any(a + self.text + b in content for a, b in around)

    def is_again(self, fields: Sequence[str]) -> bool:
        """Whether a row is the header once more, as where files were put one behind another."""
        return tuple(field.removeprefix("\ufeff").strip() for field in fields) == self.names

    def problem(self, source: Source) -> str:
        """Why no record can be read, or nothing."""
        if source.text_field not in self.names:
            return f"has no column {source.text_field}; its columns are {', '.join(self.names)}"
        twice = [name for name in self.wanted if self.names.count(name) > 1]
        return f"has the column {twice[0]} twice" if twice else ""


class _Rows:
    """Takes bytes and gives the records of the rows that are whole."""

    def __init__(self, source: Source, size: int) -> None:
        self.source, self.size = source, size
        self.rest, self.row, self.state = b"", 0, BEGIN
        self.passed_over, self.beginning = 0, b""  # bytes of a row that is too long
        self.header: _Header | None = None
        self.broken = False

    def take(self, content: bytes, *, closed: bool) -> Iterator[Records]:
        """The records of the rows that end in some bytes; ``closed`` says that these are the last."""
        if self.broken:
            return
        if self.passed_over:
            ends, state, _ = self._ends(content, self.state)
            end = int(ends[0]) if len(ends) else len(content) if closed else 0
            self.passed_over += end or len(content)
            self.state = state
            if not end:
                return
            yield nothing(self._too_long())
            content = content[end:]
        content, self.rest = self.rest + content, b""
        if self.header is None:
            content = self._begin(content, closed=closed)
            if self.header is None:
                self.rest = content
                return
            problem = self.header.problem(self.source)
            if problem:
                self.broken = True
                yield nothing(unreadable(problem, self.size))
                return
        while content:
            ends, state, odd = self._ends(content, BEGIN)
            whole = int(ends[-1]) if len(ends) else 0
            if closed and state != QUOTED and whole < len(content):
                ends, whole = np.append(ends, len(content)), len(content)
            if whole:
                yield from self._records(content[:whole], ends, odd, header=self.header)
            content = content[whole:]
            if not closed or self.broken:
                break
            if content:
                line = content.find(b"\n") + 1 or len(content)
                yield nothing(self._refused(content[:line], NEVER_CLOSED))
                content = content[line:]
        self.rest = b"" if self.broken else content
        if len(self.rest) > self.source.max_record_bytes:
            self.beginning, self.passed_over = self.rest[:1_000], len(self.rest)
            self.state, self.rest = state, b""

    def drop(self) -> int:
        """Forget a row that is not whole; its bytes."""
        size, self.rest = len(self.rest) + self.passed_over, b""
        self.passed_over = 0
        return size

    def _ends(self, content: bytes, state: int) -> tuple[np.ndarray, int, int]:
        data = np.frombuffer(content, np.uint8)
        ends = np.empty(len(content) + 1, np.int64)  # of memory only what is written is taken
        delimiter = self.header.delimiter if self.header else DELIMITERS[0]
        count, state, odd = row_ends(data, ord(delimiter), state, ends)
        return ends[:count], int(state), int(odd)

    def _begin(self, content: bytes, *, closed: bool) -> bytes:
        """Find the header, and with it the delimiter; what follows it, or all where it is not whole yet."""
        ends, _, _ = self._ends(content, BEGIN)
        at = 0
        for end in [*ends.tolist(), *([len(content)] if closed else [])]:
            row = content[at:end]
            if row and not _is_before_header(row):
                self.header = _header(row, self.source)
                own, _, _ = self._ends(content[at:], BEGIN)
                return content[at + int(own[0]) :] if len(own) else b""
            at = end
        return content[at:]

    def _records(self, content: bytes, ends: np.ndarray, odd: int, *, header: _Header) -> Iterator[Records]:
        starts = np.concatenate([[0], ends])[:-1]
        spans = [
            (int(a), int(b)) for a, b in zip(starts, ends, strict=True) if content[a:b].strip(b"\r\n") != b""
        ]
        if spans:
            plain = not odd and not header.may_be_again(content)
            table, wrong = _parse_block(content, spans, header, plain=plain)
            yield _records(table, wrong, range(self.row, self.row + len(spans)), source=self.source)
            self.row += len(spans)

    def _too_long(self) -> Rejected:
        what = f"a row of {self.passed_over:,} bytes: {excerpt(self.beginning)}"
        size, self.passed_over = self.passed_over, 0
        self.row += 1
        return Rejected(self.row - 1, "too_large", what, size)

    def _refused(self, content: bytes, why: str) -> Rejected:
        self.row += 1
        return Rejected(self.row - 1, "malformed_csv", why + excerpt(content), len(content))


def _header(row: bytes, source: Source) -> _Header:
    """The columns, apart from one another by whatever shows the wanted one."""
    text = row.decode("utf-8", "replace")
    wanted = [source.text_field, *([source.id_field] if source.id_field else []), *source.metadata_fields]
    found = []
    for delimiter in DELIMITERS:
        names = tuple(name.strip() for name in _fields(text, delimiter) or ())
        present = tuple(dict.fromkeys(name for name in wanted if name in names))
        found.append(_Header(names, delimiter, present, row.strip()))
    whole = [header for header in found if source.text_field in header.names]
    return max(whole or found, key=lambda header: len(header.names))


def _is_before_header(row: bytes) -> bool:
    """Whether a row is blank, or says what is between fields, as a spreadsheet does."""
    return not row.strip() or row.strip().lower().startswith(b"sep=")


def _records(table: pa.Table, wrong: dict[int, bytes], rows: range, *, source: Source) -> Records:
    """The records of a table, and the rows that are none, by their places among all of them."""
    kept = [row for i, row in enumerate(rows) if i not in wrong]
    records = records_of(table, pa.array(kept, pa.int64()), source)
    rejected = [refused(raw, rows[i], "malformed_csv") for i, raw in wrong.items()]
    return Records(records.table, rejected + records.rejected, records.found)


def _parse_block(
    content: bytes, spans: Sequence[tuple[int, int]], header: _Header, *, plain: bool
) -> tuple[pa.Table, dict[int, bytes]]:
    """The wanted columns of some rows, and the rows that are none, by their places.

    Args:
        content: the rows; spans: where each is in it.
        header: of the file.
        plain: whether compiled code can be left to tell which rows are none.
    """
    numbers: list[int] = []

    def note(row: Any) -> str:
        numbers.append(row.number)
        return "skip"

    try:
        # what is handed to note must be text
        table = _parse_compiled(content, header, note) if plain and is_utf8(content) else None
    except pa.ArrowInvalid:
        table = None
    if table is None or len(table) + len(numbers) != len(spans):
        return _parse_rows(content, spans, header)
    return table, {number - 1: content[slice(*spans[number - 1])] for number in numbers}


def _parse_compiled(content: bytes, header: _Header, note: Any) -> pa.Table:
    import pyarrow.csv as pcsv

    names = [f"{i}" for i in range(len(header.names))]
    wanted = [str(header.names.index(name)) for name in header.wanted]
    table = pcsv.read_csv(
        pa.BufferReader(content),
        read_options=pcsv.ReadOptions(column_names=names, use_threads=False, block_size=len(content) + 1),
        parse_options=pcsv.ParseOptions(
            delimiter=header.delimiter, newlines_in_values=True, invalid_row_handler=note
        ),
        convert_options=pcsv.ConvertOptions(
            include_columns=wanted,
            column_types=dict.fromkeys(wanted, pa.large_binary()),
            strings_can_be_null=False,
            check_utf8=False,
        ),
    )
    return _unchecked([column.combine_chunks() for column in table.columns], header)


def _parse_rows(
    content: bytes, spans: Sequence[tuple[int, int]], header: _Header
) -> tuple[pa.Table, dict[int, bytes]]:
    csv.field_size_limit(sys.maxsize)
    places = [header.names.index(name) for name in header.wanted]
    columns: list[list[bytes]] = [[] for _ in places]
    odd: dict[int, bytes] = {}
    for i, (start, end) in enumerate(spans):
        text = content[start:end].decode("utf-8", "surrogateescape")
        fields = _fields(text, header.delimiter)
        if fields is None or len(fields) != len(header.names) or header.is_again(fields):
            odd[i] = content[start:end]
            continue
        for column, place in zip(columns, places, strict=True):
            column.append(fields[place].encode("utf-8", "surrogateescape"))
    arrays = [pa.array(column, pa.large_binary()) for column in columns]
    return _unchecked(arrays, header), odd


def _fields(row: str, delimiter: str) -> list[str] | None:
    """The fields of a row; None where it is none."""
    try:
        parsed = list(csv.reader([row], delimiter=delimiter, strict=True))
    except csv.Error:
        return None
    return parsed[0] if len(parsed) == 1 else None


def _unchecked(columns: list[pa.Array], header: _Header) -> pa.Table:
    """Columns as text, of which nobody has looked yet whether it is valid UTF-8."""
    return pa.table([column.view(pa.large_string()) for column in columns], names=list(header.wanted))
