"""JSON: lines, or values that go over several lines, such as one array of all records. Blocks of lines are
parsed by compiled code; only a block that it refuses is read again line by line, so that a bad record costs
that record alone.
"""

import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from mashbill.config import Source
from mashbill.corpus.columns import is_utf8, metadata_json
from mashbill.corpus.json_values import read_values, several_lines_each
from mashbill.corpus.records import (
    Records,
    Rejected,
    as_text,
    excerpt,
    members_json,
    nothing,
    refused,
    table_of,
    unreadable,
    with_rows,
)
from mashbill.corpus.streams import Block, PlainStream

AROUND = " \t\r,\x1e"
"""What may stand around a value: a comma of an array that was taken apart, a mark between records."""


def read_jsonl(path: Path, source: Source) -> Iterator[Records]:
    """Read a file in blocks."""
    with PlainStream(path) as stream:
        blocks = stream.blocks()
        first = next(blocks)
        if several_lines_each(first.content):
            yield from _read_values(first, blocks, source)
            return
        yield from read_lines(itertools.chain([first], blocks), source)


def read_lines(blocks: Iterable[Block], source: Source, *, first_row: int = 0) -> Iterator[Records]:
    """The records of lines.

    Args:
        blocks: their bytes.
        source: whose fields are read.
        first_row: place of the first line in its file.
    """
    lines = _Lines(source, first_row)
    for block in blocks:
        yield from lines.take(block)


class _Lines:
    """Takes blocks of bytes and gives the records of their lines."""

    def __init__(self, source: Source, first_row: int) -> None:
        self.source, self.row, self.rest = source, first_row, b""
        self.passed_over, self.beginning = 0, b""  # bytes of a line that is too long

    def take(self, block: Block) -> Iterator[Records]:
        """The records of the lines that are whole."""
        content = self.rest + block.content
        self.rest = b""
        if self.passed_over:
            end = content.find(b"\n") + 1
            if not end and not block.ended and block.damage is None:
                self.passed_over += len(content)
                return
            yield self._too_long(self.passed_over + (end or len(content)))
            content = content[end:] if end else b""
        whole = len(content) if block.ended and block.damage is None else content.rfind(b"\n") + 1
        if whole:
            records, lines = _parse_block(content[:whole], self.row, self.source)
            self.row += lines
            yield records
        self.rest = content[whole:]
        if block.damage is not None:
            where = f"from row {self.row}: {block.damage.what}"
            yield nothing(unreadable(where, block.lost + len(self.rest), cut=block.damage.cut))
            self.rest = b""
        elif len(self.rest) > self.source.max_record_bytes:
            self.beginning = self.rest[:1_000]
            self.passed_over, self.rest = len(self.rest), b""

    def _too_long(self, size: int) -> Records:
        what = f"a line of {size:,} bytes: {excerpt(self.beginning)}"
        self.passed_over = 0
        self.row += 1
        return nothing(Rejected(self.row - 1, "too_large", what, size))


def _read_values(first: Block, blocks: Iterator[Block], source: Source) -> Iterator[Records]:
    """Records that go over several lines each; they are read whole."""
    content, block = [first.content], first
    size = len(first.content)
    for block in () if first.ended else blocks:
        size += len(block.content)
        if size > source.max_record_bytes:
            what = f"is JSON over several lines, over {source.max_record_bytes:,} bytes: make lines of it"
            yield nothing(Rejected(-1, "too_large", what, size))
            return
        content.append(block.content)
    gathered = _Gathered(source)
    for row, (value, raw) in enumerate(read_values(b"".join(content))):
        if raw is None:
            gathered.take(row, value, partial(_again, value))
        else:
            gathered.rejected.append(refused(raw, row, "malformed_json"))
    if block.damage is not None:
        gathered.rejected.append(unreadable(block.damage.what, block.lost, cut=block.damage.cut))
    yield gathered.records()


def _again(value: Any) -> bytes:
    return json.dumps(value).encode()


def _parse_block(block: bytes, first_row: int, source: Source) -> tuple[Records, int]:
    lines = block.count(b"\n") + (not block.endswith(b"\n"))
    if len(block) > source.max_record_bytes:  # then one line may be
        return _parse_lines(block, first_row, source), lines
    if not is_utf8(block):
        return _parse_lines(block, first_row, source), lines
    try:
        parsed = _parse_compiled(block, source)
    except pa.ArrowInvalid:
        return _parse_lines(block, first_row, source), lines
    if len(parsed) != lines:
        return _parse_lines(block, first_row, source), lines
    metadata = metadata_json([(name, parsed[name]) for name in source.metadata_fields], len(parsed))
    texts = parsed[source.text_field]
    table = with_rows(parsed["#id"], texts, metadata, first_row=first_row)
    missing: list[Rejected] = []
    if texts.null_count:
        empty = texts.is_null().to_pylist()
        pairs = enumerate(zip(block.split(b"\n"), empty, strict=False), first_row)
        missing = [refused(line, row, "missing_text") for row, (line, is_empty) in pairs if is_empty]
        table = table.filter(texts.is_valid())
    named = {source.text_field: source.text_field, **{name: name for name in source.metadata_fields}}
    named |= {source.id_field: "#id"} if source.id_field else {}
    found = {name for name, column in named.items() if parsed[column].null_count < len(parsed)}
    return Records(table, missing, frozenset(found)), lines


def _parse_compiled(block: bytes, source: Source) -> pa.Table:
    """Parse a block whose every line is an object; the id may be text or a whole number."""
    import pyarrow.json as pj

    options = pj.ReadOptions(use_threads=False, block_size=len(block) + 1)
    kinds = [pa.string(), pa.int64()] if source.id_field else [None]
    for kind in kinds:
        fields = {source.text_field: pa.string()} | {name: pa.string() for name in source.metadata_fields}
        if source.id_field:
            fields.setdefault(source.id_field, kind)
        parse = pj.ParseOptions(
            explicit_schema=pa.schema(list(fields.items())), unexpected_field_behavior="ignore"
        )
        try:
            table = pj.read_json(pa.BufferReader(block), read_options=options, parse_options=parse)
        except pa.ArrowInvalid:
            if kind is kinds[-1]:
                raise
            continue
        ids = (
            table[source.id_field].cast(pa.string()) if source.id_field else pa.nulls(len(table), pa.string())
        )
        return table.append_column("#id", ids)
    raise AssertionError("unreachable: the last kind returns or raises")


def _parse_lines(block: bytes, first_row: int, source: Source) -> Records:
    gathered = _Gathered(source)
    for row, line in enumerate(block.split(b"\n"), first_row):
        if not line.strip():
            continue
        record, reason = _parse_line(line, source)
        if reason:
            gathered.rejected.append(refused(line, row, reason))
        else:
            gathered.take(row, record, partial(bytes, line))
    return gathered.records()


def _parse_line(line: bytes, source: Source) -> tuple[Any, str]:
    """A value, or the reason why it is none."""
    if len(line) > source.max_record_bytes:
        return None, "too_large"
    try:
        return json.loads(line.decode().strip(AROUND)), ""
    except UnicodeError:
        return None, "invalid_utf8"
    except (ValueError, RecursionError):
        return None, "malformed_json"


class _Gathered:
    """Records that are taken in one by one."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.rows: list[tuple[int, str | None, str, str | None]] = []
        self.rejected: list[Rejected] = []
        self.found: set[str] = set()

    def take(self, row: int, record: Any, raw: Callable[[], bytes]) -> None:
        """Take a value in where it is a record with a text, or set it aside.

        Args:
            row: its place in the file.
            record: any JSON value.
            raw: gives its bytes.
        """
        source, most = self.source, self.source.max_record_bytes
        text = record.get(source.text_field) if isinstance(record, dict) else None
        if not isinstance(text, str) or not _is_unicode(text):
            reason = "invalid_utf8" if isinstance(text, str) else "missing_text"
            self.rejected.append(refused(raw(), row, reason))
            return
        if len(text) > most or len(text.encode()) > most:
            self.rejected.append(refused(raw(), row, "too_large"))
            return
        identity = as_text(record.get(source.id_field)) if source.id_field else None
        extra = {name: as_text(record.get(name)) for name in source.metadata_fields}
        self.found |= {name for name, value in extra.items() if value is not None} | {source.text_field}
        if identity is not None:
            self.found.add(source.id_field or "")
            identity = identity.encode("utf-8", "replace").decode()
        self.rows.append((row, identity, text, members_json(extra)))

    def records(self) -> Records:
        """What was taken in."""
        return Records(table_of(self.rows), self.rejected, frozenset(self.found))


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
