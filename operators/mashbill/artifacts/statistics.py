"""Statistics of a stage as a table, and the check that its counts add up: kept, removed and rejected are what
was read."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mashbill.errors import RunError

FILE = "statistics.parquet"


def write_statistics(stage: str, counts: Mapping[str, Any], folder: Path) -> None:
    """Write ``statistics.parquet`` of (stage, domain, measure, reason, value) for a stage that counts by
    domain.

    Args:
        stage: name of the stage.
        counts: what the stage counted.
        folder: its output.
    Raises:
        RunError: documents are unaccounted for.
    """
    if not counts.get("by_domain"):
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    _check(stage, counts)
    columns = list(zip(*_rows(stage, counts), strict=True))
    names = ("stage", "domain", "measure", "reason")
    table = pa.table(
        {
            **{n: pa.array(c, pa.string()) for n, c in zip(names, columns, strict=False)},
            "value": pa.array(columns[4], pa.int64()),
        }
    )
    pq.write_table(table, folder / FILE, compression="zstd")


def nothing_is_lost(where: str, what: str, lost: int) -> None:
    """Raise where something that came has neither stayed nor gone for a reason.

    Args:
        where: whose account it is.
        what: is counted.
        lost: what came, without what stayed and what went.
    Raises:
        RunError: it is not nought.
    """
    if lost:
        raise RunError(
            where, f"cannot account for {lost} {what}", "this is a defect of mashbill: please report it"
        )


def _rows(stage: str, counts: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str, int]]:
    for domain, row in counts["by_domain"].items():
        yield from ((stage, domain, measure, "", int(value)) for measure, value in row.items())
    for domain, reasons in counts.get("removed_by_domain", {}).items():
        yield from ((stage, domain, "removed", reason, int(value)) for reason, value in reasons.items())
    for measure in ("removed", "rejected", "would_remove"):
        yield from (
            (stage, "", measure, reason, int(value)) for reason, value in counts.get(measure, {}).items()
        )


def _check(stage: str, counts: Mapping[str, Any]) -> None:
    if "documents_in" in counts:
        gone = sum(counts.get("removed", {}).values()) + sum(counts.get("rejected", {}).values())
        lost = counts["documents_in"] - counts["documents_out"] - gone
        nothing_is_lost(f"stage {stage}", "documents", lost)
