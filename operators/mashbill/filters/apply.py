"""The filter stage: each filter in the config's order, a partition at a time, partitions side by side."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import pyarrow as pa

from mashbill.artifacts import Counts, Pace, StageRun
from mashbill.documents import (
    REMOVED,
    DocumentStore,
    Flow,
    Partition,
    Samples,
    Tally,
    removed_rows,
    text_bytes,
)
from mashbill.errors import DataError
from mashbill.filters.decontamination import held_out_passages
from mashbill.filters.filter import Filter
from mashbill.filters.metadata import check_fields
from mashbill.filters.registry import make_filters
from mashbill.partitions import spread

FACTS = "filters.json"
SHOWN = ("id", "domain", "excerpt")
OUTPUTS = {
    "documents/": "the documents that stay",
    "removed/": "what was removed, and why",
    FACTS: "what each filter removed (in a dry run: would, alone and in sequence), with samples",
}


@dataclass
class Outcome:
    """What became of one partition.

    Attributes:
        domain: whose documents.
        flow: how many stayed and went.
        alone: in a dry run, documents that each filter would remove if it were the only one.
        figures: what else filters count.
        reasons: documents that filters remove, or would in a dry run, by reason.
        samples: some of these.
    """

    domain: str
    flow: Flow = field(default_factory=Flow)
    alone: Counter[str] = field(default_factory=Counter)
    figures: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    samples: Samples = field(default_factory=lambda: Samples(0))


@dataclass(frozen=True)
class Settings:
    """What the work on a partition needs, wherever it runs.

    Attributes:
        store: where documents are written; filters: in order; domains: those that are filtered; dry_run:
            whether filters only say what they would remove.
        held_out: what removes documents with a passage of a set that is held out, of all domains.
        samples: removed documents of each reason that are shown.
    """

    store: DocumentStore
    filters: tuple[Filter, ...]
    domains: frozenset[str]
    dry_run: bool
    held_out: Filter | None
    samples: int


def filter_documents(run: StageRun) -> Counts:
    """Apply the filters, and remove what has a passage of a set that is held out; a partition that stays as
    it is costs no copy.

    Raises:
        ConfigError: a filter decides by metadata that no document has.
        DataError: nothing of a domain is left.
    """
    source, store = DocumentStore.of(run.inputs["ingest"]), DocumentStore.into(run.files)
    partitions = source.partitions(*run.config.domain_names)
    filters = make_filters(run)
    wanted = frozenset(run.config.filters.domains or run.config.domain_names)
    outcomes: list[Outcome] = []
    check_fields(filters, [p for p in partitions if p.domain in wanted], run.config.engine)
    dry, held_out = run.config.filters.dry_run, held_out_passages(run)
    settings = Settings(store, tuple(filters), wanted, dry, held_out, run.config.filters.samples)
    work = partial(_apply, settings)
    samples, pace = Samples(run.config.filters.samples), Pace(len(partitions))
    for done, outcome in enumerate(spread(run.config.engine, work, partitions, output=run.files)):
        told = pace.after(outcome.flow.bytes_in)
        run.progress((done + 1) / len(partitions), f"filtering {outcome.domain}: {told}")
        samples.merge(outcome.samples)
        outcomes.append(replace(outcome, samples=Samples(0)))
    return _report(run, filters=filters, outcomes=outcomes, samples=samples)


def _apply(settings: Settings, partition: Partition) -> Outcome:
    """Filter one partition; write what stays, and a row for each document that goes."""
    store, domain = settings.store, partition.domain
    table, outcome = partition.read().combine_chunks(), Outcome(domain)
    staying, would_go, going = table, REMOVED.schema.empty_table(), REMOVED.schema.empty_table()
    trimmed = 0
    if settings.filters and domain in settings.domains:
        staying, would_go, trimmed = _in_sequence(settings, table, outcome)
        if settings.dry_run:
            staying, trimmed = table, 0
        else:
            going = would_go
    if settings.held_out is not None and len(staying):
        staying, repeating = _parted(settings.held_out, staying, outcome)
        going, would_go = (pa.concat_tables([rows, repeating]) for rows in (going, would_go))
    outcome.flow = Flow.between(table, staying, going, bytes_trimmed=trimmed)
    outcome.reasons = Counter(would_go["reason"].to_pylist())
    outcome.samples = Samples.of(would_go, settings.samples, SHOWN)
    store.write(would_go, domain, partition.number, kind=REMOVED)
    if staying is table:
        store.adopt_partition(partition)
    elif len(staying):
        store.write(staying, domain, partition.number)
    return outcome


def _parted(rule: Filter, table: pa.Table, outcome: Outcome) -> tuple[pa.Table, pa.Table]:
    """The documents that a rule leaves, the same table where it leaves all, and rows about the others."""
    verdict = rule(_column(table, "text"), _column(table, "metadata"))
    gone = verdict.codes > 0
    if not gone.any():
        return table, REMOVED.schema.empty_table()
    outcome.figures.update(verdict.counts)
    rows = removed_rows(table.filter(pa.array(gone)), np.array(rule.reasons)[verdict.codes[gone]])
    return table.filter(pa.array(~gone)).combine_chunks(), rows


def _in_sequence(settings: Settings, original: pa.Table, outcome: Outcome) -> tuple[pa.Table, pa.Table, int]:
    """Documents that pass every filter, rows about those that don't, and bytes taken out of the text."""
    table, trimmed, removed = original, 0, [REMOVED.schema.empty_table()]
    for rule in settings.filters:
        if settings.dry_run:
            alone = rule(_column(original, "text"), _column(original, "metadata"))
            outcome.alone[rule.name] += int((alone.codes > 0).sum())
        verdict = rule(_column(table, "text"), _column(table, "metadata"))
        gone = verdict.codes > 0
        if gone.any():
            reasons = np.array(rule.reasons)[verdict.codes[gone]]
            removed.append(removed_rows(table.filter(pa.array(gone)), reasons))
        if verdict.texts is not None:
            before = text_bytes(table.filter(pa.array(~gone)))
            table = table.set_column(table.schema.get_field_index("text"), "text", verdict.texts)
            trimmed += before - text_bytes(table.filter(pa.array(~gone)))
        outcome.figures.update(verdict.counts)
        table = table.filter(pa.array(~gone)).combine_chunks()
    return table, pa.concat_tables(removed), trimmed


def _column(table: pa.Table, name: str) -> pa.Array:
    column = table[name].combine_chunks()
    array = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
    return array.cast(pa.large_string())


def _report(
    run: StageRun, *, filters: Sequence[Filter], outcomes: Sequence[Outcome], samples: Samples
) -> Counts:
    """Write the report of what was removed; add everything up."""
    domains, dry = run.config.domain_names, run.config.filters.dry_run
    tally = Tally.over(domains)
    for outcome in outcomes:
        tally.add(outcome.domain, outcome.flow)
    for domain in tally.emptied:
        worst = tally.flows[domain].removed.most_common(3)
        why = ", ".join(f"{reason} {count}" for reason, count in worst)
        raise DataError(
            f"domain {domain}",
            f"loses every document to the filters ({why})",
            "relax them, except it, or name a set that it may repeat in corpus.may_repeat",
        )
    reasons = sum((o.reasons for o in outcomes), Counter[str]())
    by_filter = {f.name: sum(reasons[reason] for reason in f.reasons[1:]) for f in filters}
    report = {
        "dry_run": dry,
        "order": [f.name for f in filters],
        "in_sequence": by_filter,
        "alone": dict(sum((o.alone for o in outcomes), Counter())) if dry else {},
        "reasons": dict(reasons.most_common()),
        "figures": dict(sum((o.figures for o in outcomes), Counter())),
        "samples": samples.shown(),
    }
    (run.output / FACTS).write_text(json.dumps(report, ensure_ascii=False, indent=1))
    would = {"would_remove": dict(reasons - tally.whole.removed)} if dry else {}
    return {**tally.counts(), "bytes_trimmed": tally.whole.bytes_trimmed, **would}
