"""Arrow columns as text: a document's, which is text or is refused, and ids and metadata, which are made text
whatever they are."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mashbill.config import Source
from mashbill.corpus.records import SCHEMA, Records, Rejected, as_text, refused

ESCAPES = (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t"))

CONTROL = r"[\x00-\x1f]"


def records_of(batch: pa.RecordBatch | pa.Table, rows: pa.Array, source: Source) -> Records:
    """The records of some columns.

    Args:
        batch: the columns; of the fields that the source names, those that are there.
        rows: [records] their rows in the file.
    """
    texts, rejected = read_texts(batch[source.text_field], rows)
    texts, too_large = _within(texts, rows, source.max_record_bytes)
    names = batch.schema.names
    ids = values_as_text(batch[source.id_field]) if source.id_field in names else None
    ids = pa.nulls(len(batch), pa.string()) if ids is None else ids
    extra = [(name, values_as_text(batch[name])) for name in source.metadata_fields if name in names]
    table = pa.table([rows, ids, texts, metadata_json(extra, len(batch))], schema=SCHEMA)
    found = {name for name, values in extra if values.null_count < len(values)}
    found |= {source.id_field} if source.id_field and ids.null_count < len(ids) else set()
    found |= {source.text_field} if texts.null_count < len(texts) else set()
    return Records(table.filter(pc.is_valid(texts)), rejected + too_large, frozenset(found))


def is_utf8(content: bytes) -> bool:
    """Whether bytes are valid UTF-8; no copy is made."""
    offsets = pa.py_buffer(np.array([0, len(content)], np.int64))
    text = pa.Array.from_buffers(pa.large_string(), 1, [None, offsets, pa.py_buffer(content)])
    try:
        text.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def read_texts(column: pa.Array, rows: pa.Array) -> tuple[pa.Array, list[Rejected]]:
    """Texts, null where there is none, and those that are refused.

    Args:
        column: [records] of any type.
        rows: [records] their rows in the file.
    """
    plain = _decoded(column)
    if not (_is_text(plain.type) or _is_binary(plain.type) or pa.types.is_null(plain.type)):
        what = f"a value of type {column.type}, not text"
        return pa.nulls(len(plain), pa.large_string()), [
            Rejected(int(row), "missing_text", what) for row in rows.to_pylist()
        ]
    raw = plain.cast(pa.large_binary())
    rejected: list[Rejected] = []
    try:
        texts = raw.cast(pa.large_string())
    except pa.ArrowInvalid:
        texts, rejected = _one_by_one(raw, rows)
    missing = pc.filter(rows, pc.is_null(raw)).to_pylist()
    return texts, rejected + [Rejected(int(row), "missing_text", "null") for row in missing]


def _within(texts: pa.Array, rows: pa.Array, most: int) -> tuple[pa.Array, list[Rejected]]:
    """Texts, null where one is larger than may be, and those."""
    large = pc.fill_null(pc.greater(pc.binary_length(texts), most), False)
    if not pc.any(large).as_py():
        return texts, []
    found = zip(rows.filter(large).to_pylist(), texts.filter(large).to_pylist(), strict=True)
    rejected = [refused(text.encode(), int(row), "too_large") for row, text in found]
    return pc.if_else(large, pa.scalar(None, pa.large_string()), texts), rejected


def values_as_text(column: pa.Array) -> pa.Array:
    """[records] ids or values of the metadata as text: binary as hex, nested as JSON; nulls stay."""
    plain = _decoded(column)
    kind = plain.type
    if _is_text(kind):
        try:
            return plain.cast(pa.large_binary()).cast(pa.string())
        except pa.ArrowInvalid:
            values = plain.cast(pa.large_binary()).to_pylist()
            return pa.array([v if v is None else v.decode("utf-8", "replace") for v in values], pa.string())
    if not (_is_binary(kind) or pa.types.is_nested(kind)):
        try:
            return plain.cast(pa.string())
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            pass
    return pa.array([_value_as_text(value) for value in plain], pa.string())


def _value_as_text(value: pa.Scalar) -> str | None:
    """One value; what Python has none of, such as a time of an unknown zone, as Arrow prints it."""
    try:
        return as_text(value.as_py())
    except (ValueError, OverflowError, LookupError, pa.ArrowException):
        return " ".join(pa.array([value], value.type).to_string().split())


def metadata_json(columns: Sequence[tuple[str, Any]], count: int) -> Any:
    """[records] a JSON object of some columns' text, without braces; nulls are left out.

    Args:
        columns: name and text of each field.
        count: records.
    """
    if not columns:
        return pa.nulls(count, pa.string())
    columns = tuple(dict(columns).items())  # a field that was named twice is one
    whole = pa.array([""] * count, pa.string())
    for name, column in columns:
        value = (column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column).cast(pa.string())
        for plain, escaped in ESCAPES:
            value = pc.replace_substring(value, plain, escaped)
        if pc.any(pc.match_substring_regex(value, CONTROL)).as_py():
            for code in range(ord(" ")):
                value = pc.replace_substring(value, chr(code), f"\\u{code:04x}")
        pair = pc.fill_null(pc.binary_join_element_wise(f'{json.dumps(name)}: "', value, '"', ""), "")
        both = pc.and_(pc.not_equal(whole, ""), pc.not_equal(pair, ""))
        whole = pc.binary_join_element_wise(whole, pc.if_else(both, ", ", ""), pair, "")
    return pc.if_else(pc.equal(whole, ""), pa.scalar(None, pa.string()), whole)


def _decoded(column: pa.Array) -> pa.Array:
    """A column without chunks, dictionary or extension."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if isinstance(column.type, pa.BaseExtensionType):
        column = column.storage
    if pa.types.is_run_end_encoded(column.type):
        column = pc.run_end_decode(column)
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _one_by_one(raw: pa.Array, rows: pa.Array) -> tuple[pa.Array, list[Rejected]]:
    texts: list[str | None] = []
    rejected: list[Rejected] = []
    for value, row in zip(raw.to_pylist(), rows.to_pylist(), strict=True):
        try:
            texts.append(None if value is None else value.decode())
        except UnicodeDecodeError:
            texts.append(None)
            rejected.append(refused(value, int(row), "invalid_utf8"))
    return pa.array(texts, pa.large_string()), rejected


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_binary(kind: pa.DataType) -> bool:
    views = pa.types.is_binary_view(kind) or pa.types.is_fixed_size_binary(kind)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or views)
