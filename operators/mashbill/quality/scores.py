"""Scores of documents: a row a document, in partitions that are numbered as the documents' are."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from mashbill.documents import DocumentStore, Kind, Partition

SCORES = Kind(
    "scores",
    pa.schema(
        [("id", pa.string()), ("domain", pa.string()), ("margin", pa.float64()), ("bytes", pa.int64())]
    ),
)


@dataclass(frozen=True)
class Scores:
    """Scores of a domain's documents, in order.

    Attributes:
        id: [documents] strings; margin: [documents] float64; bytes: [documents] int64.
    """

    id: pa.ChunkedArray
    margin: np.ndarray
    bytes: np.ndarray

    @classmethod
    def of(cls, partition: Partition) -> "Scores":
        """The scores of a partition."""
        table = partition.read(["id", "margin", "bytes"])
        return cls(table["id"], table["margin"].to_numpy(), table["bytes"].to_numpy())

    @classmethod
    def read(cls, store: DocumentStore, domain: str) -> "Scores":
        """The scores of a domain that the score stage wrote."""
        table = store.read(domain, kind=SCORES, columns=["id", "margin", "bytes"])
        return cls(table["id"], table["margin"].to_numpy(), table["bytes"].to_numpy())
