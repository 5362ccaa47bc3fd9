"""Records as readers give them: Arrow batches of (row, id, text, metadata), and what could not be read."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

EXCERPT_CHARACTERS = 200
SCHEMA = pa.schema(
    [("row", pa.int64()), ("id", pa.string()), ("text", pa.large_string()), ("metadata", pa.string())]
)


@dataclass(frozen=True)
class Rejected:
    """A record that is no document.

    Attributes:
        row: its row in the file, from 0; -1 where the rest of the file cannot be read.
        reason: invalid_utf8, malformed_json, missing_text, empty_text, too_large, duplicate_id or unreadable.
        excerpt: its beginning.
    """

    row: int
    reason: str
    excerpt: str


Records = tuple[pa.Table, list[Rejected]]


def excerpt(content: bytes) -> str:
    """The beginning of a record, as text."""
    return content[:EXCERPT_CHARACTERS].decode("utf-8", "replace")


def nothing(*rejected: Rejected) -> Records:
    """No document, and what was rejected."""
    return SCHEMA.empty_table(), list(rejected)


def with_rows(ids: Any, texts: Any, metadata: Any, *, first_row: int) -> pa.Table:
    """A table of records whose rows are consecutive.

    Args:
        ids, texts, metadata: [records] columns.
        first_row: row of the first in its file.
    """
    rows = pa.array(range(first_row, first_row + len(texts)), pa.int64())
    return pa.table([rows, ids, texts.cast(pa.large_string()), metadata], schema=SCHEMA)


def metadata_json(columns: Sequence[tuple[str, Any]], count: int) -> Any:
    """[records] a JSON object of some columns' values as text, without braces; nulls are left out.

    Args:
        columns: name and column of each field.
        count: records.
    """
    if not columns:
        return pa.nulls(count, pa.string())
    pairs = []
    for name, column in columns:
        value = column.cast(pa.string())
        for plain, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t")):
            value = pc.replace_substring(value, plain, escaped)
        value = pc.replace_substring_regex(value, r"[\x00-\x1f]", " ")
        pairs.append(pc.binary_join_element_wise(f'"{name}": "', value, '"', ""))
    return pc.binary_join_element_wise(*pairs, ", ", null_handling="skip")
