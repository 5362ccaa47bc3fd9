"""Samples of what is removed, by reason: drawn by lot, so they are the same whoever worked on what.

A task gives no more rows of a reason than are shown, however many it removed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

KEY = "samples of rows."  # of the hash, which takes 16 bytes


@dataclass
class Samples:
    """Some rows of each reason.

    Attributes:
        count: how many of each.
        rows: by reason, each with its lot, the least first.
    """

    count: int
    rows: dict[str, list[tuple[int, dict[str, Any]]]] = field(default_factory=dict)

    @classmethod
    def of(cls, removed: pa.Table, count: int, columns: Sequence[str] | None = None) -> "Samples":
        """Samples of a table of removed documents.

        Args:
            removed: [documents] with ``id``, ``reason`` and what is shown.
            count: how many of each reason.
            columns: what is shown; None means all.
        """
        found = cls(count)
        if not count or not len(removed):
            return found
        names = removed["reason"].to_numpy(zero_copy_only=False)
        ids = np.asarray(removed["id"].to_pylist(), dtype=object)
        lots = pd.util.hash_array(ids, hash_key=KEY, categorize=False)
        for reason in sorted(set(names)):
            rows = np.flatnonzero(names == reason)
            chosen = rows[np.argsort(lots[rows], kind="stable")[:count]]
            shown = removed.select(list(columns or removed.column_names)).take(pa.array(chosen)).to_pylist()
            found.rows[reason] = list(zip(lots[chosen].tolist(), shown, strict=True))
        return found

    def merge(self, other: "Samples") -> None:
        """Add another's, of later partitions."""
        for reason, rows in other.rows.items():
            both: Sequence[tuple[int, dict[str, Any]]] = [*self.rows.get(reason, []), *rows]
            self.rows[reason] = sorted(both, key=lambda row: row[0])[: self.count]

    def shown(self) -> dict[str, list[dict[str, Any]]]:
        """The documents by reason."""
        return {reason: [row for _, row in self.rows[reason]] for reason in sorted(self.rows)}
