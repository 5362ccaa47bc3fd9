"""The tally: what came in, what stayed, and what went and why, of each domain; nothing may be lost from it.

A task tallies its own partition; tallies of partitions add up to the stage's, in whatever groups they are
added.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mashbill.artifacts import Counts
from mashbill.artifacts.statistics import nothing_is_lost
from mashbill.documents.rows import text_bytes

TOTALS = ("documents_in", "documents_out", "bytes_in", "bytes_out")


@dataclass(frozen=True)
class Flow:
    """What became of some documents.

    Attributes:
        documents_in: that came, those that were rejected included.
        documents_out: that stayed.
        bytes_in: of text that came; a rejected record has none.
        bytes_out: of text that stayed.
        bytes_removed: of text of removed documents, as they were then.
        bytes_trimmed: of text taken out of documents, whether they stayed or went later.
        removed: documents removed, by reason.
        rejected: records rejected, by reason.
    """

    documents_in: int = 0
    documents_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    bytes_removed: int = 0
    bytes_trimmed: int = 0
    removed: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)

    @classmethod
    def through(cls, documents: int, size: int) -> "Flow":
        """Documents of which all stayed, and the bytes of their text."""
        return cls(documents_in=documents, documents_out=documents, bytes_in=size, bytes_out=size)

    @classmethod
    def between(
        cls, before: pa.Table, after: pa.Table, removed: pa.Table | None = None, *, bytes_trimmed: int = 0
    ) -> "Flow":
        """What became of a table of documents.

        Args:
            before: [documents] that came.
            after: [documents] that stayed.
            removed: a row for each that went, with ``reason`` and ``bytes``.
            bytes_trimmed: of text taken out.
        """
        return cls(
            documents_in=len(before),
            documents_out=len(after),
            bytes_in=text_bytes(before),
            bytes_out=text_bytes(after),
            bytes_removed=0 if removed is None else pc.sum(removed["bytes"]).as_py() or 0,
            bytes_trimmed=bytes_trimmed,
            removed=Counter() if removed is None else Counter(removed["reason"].to_pylist()),
        )

    def __add__(self, other: "Flow") -> "Flow":
        return Flow(
            documents_in=self.documents_in + other.documents_in,
            documents_out=self.documents_out + other.documents_out,
            bytes_in=self.bytes_in + other.bytes_in,
            bytes_out=self.bytes_out + other.bytes_out,
            bytes_removed=self.bytes_removed + other.bytes_removed,
            bytes_trimmed=self.bytes_trimmed + other.bytes_trimmed,
            removed=_together(self.removed, other.removed),
            rejected=_together(self.rejected, other.rejected),
        )

    def check(self, whose: str) -> None:
        """Raise where documents or bytes are unaccounted for.

        Args:
            whose: name of the domain.
        Raises:
            RunError: some are.
        """
        gone = self.removed.total() + self.rejected.total()
        nothing_is_lost(f"domain {whose}", "documents", self.documents_in - self.documents_out - gone)
        cut = self.bytes_removed + self.bytes_trimmed
        nothing_is_lost(f"domain {whose}", "bytes", self.bytes_in - self.bytes_out - cut)


@dataclass
class Tally:
    """What became of the documents of each domain.

    Attributes:
        flows: by domain, in the order in which they are shown.
    """

    flows: dict[str, Flow] = field(default_factory=dict)

    @classmethod
    def over(cls, domains: Iterable[str]) -> "Tally":
        """A tally in which nothing has come yet of any of these."""
        return cls({domain: Flow() for domain in domains})

    @classmethod
    def from_counts(cls, counts: Mapping[str, Any]) -> "Tally":
        """What a stage's counts say by domain; what went and why, they say of all domains together only."""
        rows = counts["by_domain"].items()
        return cls({name: Flow(**{key: row.get(key, 0) for key in TOTALS}) for name, row in rows})

    def add(self, domain: str, flow: Flow) -> None:
        """Add what became of some documents of a domain."""
        self.flows[domain] = self.flows.get(domain, Flow()) + flow

    def __add__(self, other: "Tally") -> "Tally":
        both = Tally(dict(self.flows))
        for domain, flow in other.flows.items():
            both.add(domain, flow)
        return both

    @property
    def whole(self) -> Flow:
        """What became of the documents of all domains."""
        return sum(self.flows.values(), Flow())

    @property
    def emptied(self) -> tuple[str, ...]:
        """Domains of which no document stayed."""
        return tuple(domain for domain, flow in self.flows.items() if flow.documents_out == 0)

    def totals(self) -> dict[str, int]:
        """Documents and bytes that came and that stayed, of all domains.

        Raises:
            RunError: documents or bytes of a domain are unaccounted for.
        """
        for domain, flow in self.flows.items():
            flow.check(domain)
        return _figures(self.whole)

    def counts(self) -> Counts:
        """A stage's counts: totals, the same by domain, and documents removed by reason, also by domain.

        Raises:
            RunError: documents or bytes of a domain are unaccounted for.
        """
        return {
            **self.totals(),
            "by_domain": {domain: _figures(flow) for domain, flow in self.flows.items()},
            "removed": dict(self.whole.removed),
            "removed_by_domain": {d: dict(flow.removed) for d, flow in self.flows.items() if flow.removed},
        }


def _figures(flow: Flow) -> dict[str, int]:
    return {key: getattr(flow, key) for key in TOTALS}


def _together(first: Counter[str], second: Counter[str]) -> Counter[str]:
    """Counts of both, with reasons counted zero, in the order in which they first came."""
    both = Counter(first)
    both.update(second)
    return both
