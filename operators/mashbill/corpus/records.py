"""Records as readers give them: Arrow tables of (row, id, text, metadata), and what could not be read."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

EXCERPT_CHARACTERS = 200
REST = -1
SCHEMA = pa.schema(
    [("row", pa.int64()), ("id", pa.string()), ("text", pa.large_string()), ("metadata", pa.string())]
)


@dataclass(frozen=True)
class Rejected:
    """A record that is no document, or a part of a file that cannot be read.

    Attributes:
        row: its row in the file, from 0; -1 where it is a part of the file.
        reason: invalid_utf8, malformed_json, malformed_csv, malformed_warc, malformed_html, missing_text,
            empty_text, too_large, duplicate_id or unreadable.
        excerpt: its beginning, or what is wrong with the file.
        bytes: its size, as it is stored; 0 where that is not known.
        records: how many a part of a file held; 0 where that is not known.
        cut: whether the file ends too early, so that what is missing is not in it.
    """

    row: int
    reason: str
    excerpt: str
    bytes: int = 0
    records: int = 0
    cut: bool = False


@dataclass(frozen=True)
class Records:
    """What a reader gives at a time.

    Attributes:
        table: the records that hold a text.
        rejected: what holds none.
        found: of the fields that the source names, those that some record had.
        passed: records that are not meant to be documents, by kind, such as a web archive's images.
    """

    table: pa.Table
    rejected: list[Rejected]
    found: frozenset[str] = frozenset()
    passed: tuple[str, ...] = ()


def excerpt(content: bytes) -> str:
    """The beginning of a record, as text."""
    return content[:EXCERPT_CHARACTERS].decode("utf-8", "replace")


def refused(content: bytes, row: int, reason: str) -> Rejected:
    """A record that is no document."""
    return Rejected(row, reason, excerpt(content), len(content))


def unreadable(what: str, lost: int, *, records: int = 0, cut: bool = False) -> Rejected:
    """A part of a file that cannot be read.

    Args:
        what: is wrong, in words that follow the file's name.
        lost: bytes of the file; records: how many these held, where that is known; cut: whether more is
            missing.
    """
    return Rejected(REST, "unreadable", what[:EXCERPT_CHARACTERS], lost, records, cut)


def nothing(*rejected: Rejected) -> Records:
    """No document, and what was rejected."""
    return Records(SCHEMA.empty_table(), list(rejected))


def without_text(count: int, first_row: int, names: Sequence[str]) -> Records:
    """Records of a table that has no column of text.

    Args:
        count: records; first_row: row of the first in its file; names: of the columns that it has.
    """
    what = f"columns: {', '.join(names)}"[:EXCERPT_CHARACTERS]
    return nothing(*(Rejected(first_row + i, "missing_text", what) for i in range(count)))


def with_rows(ids: Any, texts: Any, metadata: Any, *, first_row: int) -> pa.Table:
    """A table of records whose rows are consecutive.

    Args:
        ids, texts, metadata: [records] columns.
        first_row: row of the first in its file.
    """
    rows = pa.array(range(first_row, first_row + len(texts)), pa.int64())
    return pa.table([rows, ids, texts.cast(pa.large_string()), metadata], schema=SCHEMA)


def table_of(rows: list[tuple[int, str | None, str, str | None]]) -> pa.Table:
    """A table of records given one by one."""
    columns = list(zip(*rows, strict=True)) or [()] * len(SCHEMA)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
    return pa.table(arrays, schema=SCHEMA)


def as_text(value: Any) -> str | None:
    """An id or a value of the metadata as text: text as it is, anything else as JSON."""
    if value is None or isinstance(value, str):
        return value
    return value.hex() if isinstance(value, bytes) else json.dumps(value, ensure_ascii=False, default=_plain)


def members_json(fields: Mapping[str, str | None]) -> str | None:
    """A JSON object without its braces, of the fields that have a value; None where none has."""
    present = {name: value for name, value in fields.items() if value is not None}
    if not present:
        return None
    return json.dumps(present, ensure_ascii=False).encode("utf-8", "replace").decode()[1:-1]


def _plain(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else str(value)
