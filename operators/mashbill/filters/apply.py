"""The filter stage: each filter in the config's order, a partition at a time, partitions side by side."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mashbill.artifacts import Counts, StageRun, link_tree
from mashbill.config import PipelineConfig
from mashbill.errors import DataError
from mashbill.filters.expressions import Decontamination, Language, Length, PersonalData, Regex, Url
from mashbill.filters.kernels import C4, Filter, FineWeb, GopherQuality, GopherRepetition
from mashbill.partitions import spread
from mashbill.storage import local_path, path_identity

EXCERPT_CHARACTERS = 300
REMOVED_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("domain", pa.string()),
        ("reason", pa.string()),
        ("bytes", pa.int64()),
        ("excerpt", pa.string()),
    ]
)


@dataclass
class Outcome:
    """What became of one partition."""

    domain: str
    documents_in: int = 0
    documents_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    bytes_trimmed: int = 0
    removed: list[pa.Table] = field(default_factory=list)
    alone: Counter[str] = field(default_factory=Counter)
    figures: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Settings:
    """What the work on a partition needs, wherever it runs.

    Attributes:
        folder: where documents are written; filters: in order; domains: those that are filtered; dry_run:
            whether nothing goes.
    """

    folder: Path
    filters: tuple[Filter, ...]
    domains: frozenset[str]
    dry_run: bool


def filter_identity(config: PipelineConfig) -> Any:
    """Changes when the language model or the list of sites changes."""
    filters = config.filters
    files = (("language", filters.language.classifier), ("url", filters.url.blocklist))
    identity: list[Any] = []
    for name, given in files:
        if name in filters.apply and given:
            identity += path_identity(config, f"filters.{name}", given)
    return identity


def filter_documents(run: StageRun) -> Counts:
    """Apply the filters; without any, the documents pass as they are.

    Raises:
        DataError: nothing of a domain is left.
    """
    source = run.inputs["ingest"].path / "documents"
    files = [(d, path) for d in run.config.domain_names for path in sorted((source / d).glob("*.parquet"))]
    filters = make_filters(run)
    wanted = set(run.config.filters.domains or run.config.domain_names)
    for domain in run.config.domain_names:
        if not filters or domain not in wanted:
            link_tree(source / domain, run.output / "documents" / domain)
    outcomes: list[Outcome] = []
    settings = Settings(
        run.output / "documents", tuple(filters), frozenset(wanted), run.config.filters.dry_run
    )
    for done, outcome in enumerate(spread(run.config.engine, partial(_apply, settings), files)):
        run.progress(done / len(files), f"filtering {outcome.domain}")
        outcomes.append(outcome)
    return _report(run, filters, outcomes)


def make_filters(run: StageRun) -> list[Filter]:
    """The config's filters, in order, ready to be applied."""
    config, filters = run.config, run.config.filters

    def path(name: str, given: str | None) -> Path:
        return local_path(config, f"filters.{name}", given or "")

    makers: dict[str, Any] = {
        "length": lambda: Length(filters),
        "url": lambda: Url(filters, path("url", filters.url.blocklist)),
        "language": lambda: Language(filters, path("language", filters.language.classifier)),
        "regex": lambda: Regex(filters),
        "c4": lambda: C4(filters),
        "gopher_repetition": lambda: GopherRepetition(filters),
        "gopher_quality": lambda: GopherQuality(filters),
        "fineweb": lambda: FineWeb(filters),
        "decontamination": lambda: Decontamination(filters, _evaluation_sets(run)),
        "personal_data": lambda: PersonalData(filters),
    }
    return [makers[name]() for name in filters.apply]


def _evaluation_sets(run: StageRun) -> dict[str, pa.Array]:
    corpus = run.config.corpus
    names = run.config.filters.decontamination.sets or tuple(e.name for e in corpus.evaluations)
    sets = {}
    for name in names:
        kind = "references" if name in run.config.reference_names else "evaluations"
        files = sorted((run.inputs["ingest"].path / kind / name).glob("*.parquet"))
        sets[name] = pa.concat_tables([pq.read_table(path, columns=["text"]) for path in files])[
            "text"
        ].combine_chunks()
    return sets


def _apply(settings: "Settings", file: tuple[str, Path]) -> Outcome:
    """Filter one partition and write what stays."""
    domain, path = file
    filters = settings.filters if domain in settings.domains else ()
    table = pq.read_table(path).combine_chunks()
    outcome = Outcome(domain, documents_in=len(table), bytes_in=_bytes(table))
    if not filters:
        outcome.documents_out, outcome.bytes_out = len(table), outcome.bytes_in
        return outcome
    original, dry = table, settings.dry_run
    for rule in filters:
        if dry:
            alone = rule(_column(original, "text"), _column(original, "metadata"))
            outcome.alone[rule.name] += int((alone.codes > 0).sum())
        verdict = rule(_column(table, "text"), _column(table, "metadata"))
        gone = verdict.codes > 0
        if gone.any():
            reasons = np.array(rule.reasons)[verdict.codes[gone]]
            outcome.removed.append(_removed(table.filter(pa.array(gone)), reasons))
        if verdict.texts is not None:
            before = _bytes(table.filter(pa.array(~gone)))
            table = table.set_column(table.schema.get_field_index("text"), "text", verdict.texts)
            outcome.bytes_trimmed += before - _bytes(table.filter(pa.array(~gone)))
        outcome.figures.update(verdict.counts)
        table = table.filter(pa.array(~gone)).combine_chunks()
    if dry:
        table = original
        outcome.bytes_trimmed = 0
    outcome.documents_out, outcome.bytes_out = len(table), _bytes(table)
    if len(table):
        out = settings.folder / domain / path.name
        out.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, out, compression="zstd", row_group_size=4_096)
    return outcome


def _column(table: pa.Table, name: str) -> pa.Array:
    column = table[name].combine_chunks()
    array = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
    return array.cast(pa.large_string())


def _bytes(table: pa.Table) -> int:
    return int(pc.sum(pc.binary_length(table["text"])).as_py() or 0)


def _removed(table: pa.Table, reasons: np.ndarray) -> pa.Table:
    columns = {
        "id": table["id"],
        "domain": table["domain"],
        "reason": pa.array(reasons.tolist(), pa.string()),
        "bytes": pc.binary_length(table["text"]).cast(pa.int64()),
        "excerpt": pc.utf8_slice_codeunits(table["text"], 0, EXCERPT_CHARACTERS).cast(pa.string()),
    }
    return pa.table(columns, schema=REMOVED_SCHEMA)


def _report(run: StageRun, filters: Sequence[Filter], outcomes: Sequence[Outcome]) -> Counts:
    """Write what was removed and the report; add everything up."""
    dry = run.config.filters.dry_run
    removed = pa.concat_tables(
        [REMOVED_SCHEMA.empty_table(), *(table for o in outcomes for table in o.removed)]
    )
    pq.write_table(removed, run.output / "removed.parquet", compression="zstd")
    reasons = Counter(removed["reason"].to_pylist())
    keys = ("documents_in", "documents_out", "bytes_in", "bytes_out")
    by_domain = {
        d: {key: sum(getattr(o, key) for o in outcomes if o.domain == d) for key in keys}
        for d in run.config.domain_names
    }
    for domain, row in by_domain.items():
        if row["documents_out"] == 0:
            raise DataError(
                f"domain {domain}",
                f"loses every document to the filters ({_worst(removed, domain)})",
                "relax them or except it",
            )
    by_filter = {f.name: sum(reasons[reason] for reason in f.reasons[1:]) for f in filters}
    report = {
        "dry_run": dry,
        "order": [f.name for f in filters],
        "in_sequence": by_filter,
        "alone": dict(sum((o.alone for o in outcomes), Counter())) if dry else {},
        "reasons": dict(reasons.most_common()),
        "figures": dict(sum((o.figures for o in outcomes), Counter())),
        "samples": _samples(removed, run.config.filters.samples),
    }
    (run.output / "filters.json").write_text(json.dumps(report, ensure_ascii=False, indent=1))
    totals = {key: sum(row[key] for row in by_domain.values()) for key in keys}
    trimmed = sum(o.bytes_trimmed for o in outcomes)
    would = {"would_remove": dict(reasons)} if dry else {}
    return {
        **totals,
        "by_domain": by_domain,
        "removed": {} if dry else dict(reasons),
        "bytes_trimmed": trimmed,
        **would,
    }


def _worst(removed: pa.Table, domain: str) -> str:
    reasons = removed.filter(pc.equal(removed["domain"], domain))["reason"].to_pylist()
    return ", ".join(f"{reason} {count}" for reason, count in Counter(reasons).most_common(3))


def _samples(removed: pa.Table, count: int) -> dict[str, list[dict[str, Any]]]:
    """Removed documents by reason, spread evenly."""
    samples = {}
    names = removed["reason"].to_numpy(zero_copy_only=False)
    for reason in sorted(set(names)):
        rows = np.flatnonzero(names == reason)
        chosen = (
            rows[np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int))]
            if count
            else []
        )
        samples[reason] = (
            removed.take(pa.array(chosen, pa.int64())).select(["id", "domain", "excerpt"]).to_pylist()
        )
    return samples
