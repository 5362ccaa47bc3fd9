"""A file read by itself, as ingest reads it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mashbill.config import Source
from mashbill.corpus.readers import read_source_file
from mashbill.corpus.records import Rejected


@dataclass(frozen=True)
class Read:
    """What came of a file.

    Attributes:
        rows: of (row, id, text, metadata).
        rejected: what is no document.
        found: of the fields that the source names, those that some record had.
        passed: kinds of records that are not meant to be documents.
    """

    rows: list[dict[str, Any]]
    rejected: list[Rejected]
    found: frozenset[str]
    passed: tuple[str, ...]

    @property
    def texts(self) -> list[str]:
        return [row["text"] for row in self.rows]

    @property
    def reasons(self) -> list[str]:
        return [one.reason for one in self.rejected]


def read(path: Path, **source: Any) -> Read:
    """Read a file.

    Args:
        path: the file.
        source: fields of its source.
    """
    rows: list[dict[str, Any]] = []
    rejected: list[Rejected] = []
    found: frozenset[str] = frozenset()
    passed: tuple[str, ...] = ()
    for batch in read_source_file(path, Source(path=str(path), **source)):
        rows += batch.documents.to_pylist()
        rejected += batch.rejected
        found |= batch.found
        passed += batch.passed
    return Read(rows, rejected, found, passed)
