"""Csv with a header: fields may hold line breaks, and columns that nobody asked for are not looked at.

Blocks of whole rows are parsed by compiled code; a block of which it makes another number of rows than there
are is read again row by row.
"""

import csv
import sys
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
        rows = _Rows(source)
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
    """

    names: tuple[str, ...]
    delimiter: str
    wanted: tuple[str, ...]

    def problem(self, source: Source) -> str:
        """Why no record can be read, or nothing."""
        if source.text_field not in self.names:
            return f"has no column {source.text_field}; its columns are {', '.join(self.names)}"
        twice = [name for name in self.wanted if self.names.count(name) > 1]
        return f"has the column {twice[0]} twice" if twice else ""


class _Rows:
    """Takes bytes and gives the records of the rows that are whole."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.rest, self.row, self.state = b"", 0, BEGIN
        self.passed_over, self.beginning = 0, b""  # bytes of a row that is too long
        self.header: _Header | None = None
        self.broken = False

    def take(self, content: bytes, *, closed: bool) -> Iterator[Records]:
        """The records of the rows that end in some bytes; ``closed`` says that these are the last."""
        if self.broken:
            return
        if self.passed_over:
            ends, state = self._ends(content, self.state)
            end = int(ends[0]) if len(ends) else len(content) if closed else 0
            self.passed_over += end or len(content)
            self.state = state
            if not end:
                return
            yield nothing(self._too_long())
            content = content[end:]
        content, self.rest = self.rest + content, b""
        while content:
            ends, state = self._ends(content, BEGIN)
            whole = int(ends[-1]) if len(ends) else 0
            if closed and state != QUOTED and whole < len(content):
                ends, whole = np.append(ends, len(content)), len(content)
            if whole:
                yield from self._records(content[:whole], ends)
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

    def _ends(self, content: bytes, state: int) -> tuple[np.ndarray, int]:
        data = np.frombuffer(content, np.uint8)
        ends = np.empty(len(content) + 1, np.int64)  # of memory only what is written is taken
        delimiter = self.header.delimiter if self.header else DELIMITERS[0]
        count, state = row_ends(data, ord(delimiter), state, ends)
        return ends[:count], int(state)

    def _records(self, content: bytes, ends: np.ndarray) -> Iterator[Records]:
        if self.header is None:
            self.header = _header(content[: ends[0]], self.source)
            problem = self.header.problem(self.source)
            if problem:
                self.broken = True
                yield nothing(unreadable(problem, sys.maxsize))
                return
            ends, _ = self._ends(content, BEGIN)
            if not len(ends) or ends[-1] < len(content):
                ends = np.append(ends, len(content))
            content, ends = content[ends[0] :], ends[1:] - ends[0]
        starts = np.concatenate([[0], ends])[:-1]
        spans = [
            (int(a), int(b)) for a, b in zip(starts, ends, strict=True) if content[a:b].strip(b"\r\n") != b""
        ]
        if spans:
            yield _parse_block(content, spans, self.row, header=self.header, source=self.source)
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
        found.append(_Header(names, delimiter, present))
    whole = [header for header in found if source.text_field in header.names]
    return max(whole or found, key=lambda header: len(header.names))


def _parse_block(
    content: bytes, spans: Sequence[tuple[int, int]], first_row: int, *, header: _Header, source: Source
) -> Records:
    odd: dict[int, bytes] = {}
    numbers: list[int] = []

    def note(row: Any) -> str:
        numbers.append(row.number)
        return "skip"

    try:
        # what is handed to note must be text
        table = _parse_compiled(content, header, note) if is_utf8(content) else None
    except pa.ArrowInvalid:
        table = None
    if table is None or len(table) + len(numbers) != len(spans):
        table, odd = _parse_rows(content, spans, header)
    else:
        odd = {number - 1: content[slice(*spans[number - 1])] for number in numbers}
    rows = [first_row + i for i in range(len(spans)) if i not in odd]
    records = records_of(table, pa.array(rows, pa.int64()), source)
    wrong = [refused(raw, first_row + i, "malformed_csv") for i, raw in odd.items()]
    return Records(records.table, wrong + records.rejected, records.found)


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
        if fields is None or len(fields) != len(header.names):
            odd[i] = content[start:end]
            continue
        for column, place in zip(columns, places, strict=True):
            column.append(fields[place].encode("utf-8", "surrogateescape"))
    arrays = [pa.array(column, pa.large_binary()) for column in columns]
    return _unchecked(arrays, header), odd


def _fields(row: str, delimiter: str) -> list[str] | None:
    """The fields of a row; None where it is none."""
    try:
        parsed = list(csv.reader([row], delimiter=delimiter))
    except csv.Error:
        return None
    return parsed[0] if len(parsed) == 1 else None


def _unchecked(columns: list[pa.Array], header: _Header) -> pa.Table:
    """Columns as text, of which nobody has looked yet whether it is valid UTF-8."""
    return pa.table([column.view(pa.large_string()) for column in columns], names=list(header.wanted))
