"""What partitions hold: documents of three uses, and what became of those that are no longer there."""

from dataclasses import dataclass

import pyarrow as pa

from mashbill.config import CorpusConfig

DOCUMENT_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("domain", pa.string()),
        ("source", pa.string()),
        ("text", pa.large_string()),
        ("metadata", pa.string()),
    ]
)
REMOVED_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("domain", pa.string()),
        ("reason", pa.string()),
        ("bytes", pa.int64()),
        ("excerpt", pa.string()),
    ]
)
DUPLICATE_SCHEMA = pa.schema([*REMOVED_SCHEMA, ("kept_id", pa.string()), ("kept_domain", pa.string())])
REJECTED_SCHEMA = pa.schema(
    [
        ("domain", pa.string()),
        ("source", pa.string()),
        ("row", pa.int64()),
        ("reason", pa.string()),
        ("excerpt", pa.string()),
        ("bytes", pa.int64()),
    ]
)
DOCUMENTS_A_GROUP = 4_096


@dataclass(frozen=True)
class Kind:
    """One kind of partitions of a store.

    Attributes:
        name: of its folder.
        schema: of its rows.
        group_rows: rows that can be read without the others; None means as many as parquet sees fit.
    """

    name: str
    schema: pa.Schema
    group_rows: int | None = None


DOCUMENTS = Kind("documents", DOCUMENT_SCHEMA, DOCUMENTS_A_GROUP)
"""What models are trained on."""
REFERENCES = Kind("references", DOCUMENT_SCHEMA, DOCUMENTS_A_GROUP)
"""What models are measured on, and never trained on."""
EVALUATIONS = Kind("evaluations", DOCUMENT_SCHEMA, DOCUMENTS_A_GROUP)
"""What must not be in what models are trained on."""
EXACT, NEAR, PASSAGE = "exact", "near", "passage"
"""How a document repeats another: its text is equal, nearly so, or has a passage of it."""


def kind_of_set(corpus: CorpusConfig, name: str) -> Kind:
    """Of which kind a reference or evaluation set is, by its name."""
    return REFERENCES if any(name == given.name for given in corpus.references) else EVALUATIONS


def repeats(how: str, name: str) -> str:
    """The reason for which a document goes that repeats a set which is held out from training.

    Args:
        how: exact, near or passage; name: of the set.
    """
    return f"{how}_of_{name}"


REJECTED = Kind("rejected", REJECTED_SCHEMA)
"""Records of sources that are no documents, and why."""
REMOVED = Kind("removed", REMOVED_SCHEMA)
"""Documents that a stage removed, and why."""
DUPLICATES = Kind(REMOVED.name, DUPLICATE_SCHEMA)
"""Removed documents that repeat another: which one stands for each, where one does."""
