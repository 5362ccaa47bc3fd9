"""Rows about documents: how many bytes of text they are, and what is kept of those that a stage removes."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mashbill.documents.kinds import DUPLICATE_SCHEMA, REMOVED_SCHEMA

EXCERPT_CHARACTERS = 300


def text_bytes(table: pa.Table) -> int:
    """UTF-8 bytes of the column ``text``."""
    return int(pc.sum(pc.binary_length(table["text"])).as_py() or 0)


def removed_rows(table: pa.Table, reasons: np.ndarray) -> pa.Table:
    """What is kept of documents that go.

    Args:
        table: [documents] as they were when it was decided.
        reasons: [documents] str.
    """
    columns = [
        table["id"],
        table["domain"],
        pa.array(reasons.tolist(), pa.string()),
        pc.binary_length(table["text"]).cast(pa.int64()),
        pc.utf8_slice_codeunits(table["text"], 0, EXCERPT_CHARACTERS).cast(pa.string()),
    ]
    return pa.table(columns, schema=REMOVED_SCHEMA)


def duplicate_rows(
    table: pa.Table, reasons: np.ndarray, *, kept_id: pa.Array, kept_domain: pa.Array
) -> pa.Table:
    """What is kept of documents that repeat others.

    Args:
        table: [documents] as they were.
        reasons: [documents] str.
        kept_id, kept_domain: [documents] which document stands for each; empty where none does.
    """
    removed = removed_rows(table, reasons)
    return pa.table([*removed.columns, kept_id, kept_domain], schema=DUPLICATE_SCHEMA)
