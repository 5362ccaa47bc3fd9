"""Documents between stages: where they are, how they are read and written, and the tally of what came, stayed
and went."""

from mashbill.documents.kinds import (
    DOCUMENT_SCHEMA,
    DOCUMENTS,
    DUPLICATES,
    EVALUATIONS,
    EXACT,
    NEAR,
    PASSAGE,
    REFERENCES,
    REJECTED,
    REMOVED,
    Kind,
    kind_of_set,
    repeats,
)
from mashbill.documents.partition import Partition
from mashbill.documents.rows import duplicate_rows, removed_rows, text_bytes
from mashbill.documents.samples import Samples
from mashbill.documents.store import DocumentStore
from mashbill.documents.tally import Flow, Tally

__all__ = [
    "DOCUMENTS",
    "DOCUMENT_SCHEMA",
    "DUPLICATES",
    "EVALUATIONS",
    "EXACT",
    "NEAR",
    "PASSAGE",
    "REFERENCES",
    "REJECTED",
    "REMOVED",
    "DocumentStore",
    "Flow",
    "Kind",
    "Partition",
    "Samples",
    "Tally",
    "duplicate_rows",
    "kind_of_set",
    "removed_rows",
    "repeats",
    "text_bytes",
]
