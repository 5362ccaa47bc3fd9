"""The select stage: keep the best-scored text, of each domain or overall, and if asked split what is kept
into quality bins.

Passes over the partitions, of which tasks take one at a time: scores are measured, from which cutoffs follow;
what they keep is looked at; and the documents are written. The driver holds sketches, and no score.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from mashbill.artifacts import Counts, Pace, StageRun
from mashbill.documents import DocumentStore, Flow, Partition, Tally
from mashbill.errors import DataError
from mashbill.partitions import spread
from mashbill.quality.cutoffs import (
    Best,
    Cutoff,
    Measured,
    decided,
    filled_up,
    open_cutoffs,
    short_of,
)
from mashbill.quality.scores import SCORES, Scores
from mashbill.quality.sketch import QuantileSketch

BINS = 40
ENDS = 0.001, 0.999  # quantiles between which margins are shown
SAMPLE_CHARACTERS = 500
SHOWN_TAG = 413
SIDES = "kept", "dropped"
SAMPLES, FACTS = "samples.json", "quality.json"
OUTPUTS = {
    "documents/": "the documents that are kept",
    SAMPLES: "kept and dropped documents",
    FACTS: "score distributions by domain",
}
Result = TypeVar("Result")


@dataclass(frozen=True)
class Scored:
    """A partition of documents and one of their scores, and what is kept of it.

    Attributes:
        scores, documents: partitions of one number.
        cutoff: of the domain.
        edges: [edges] of the bars in which margins are shown.
        shown: rows to show, by side.
    """

    scores: Partition
    documents: Partition
    cutoff: Cutoff
    edges: np.ndarray = field(default_factory=lambda: np.zeros(0))
    shown: tuple[tuple[str, int], ...] = ()

    def read(self) -> Scores:
        """The scores."""
        return Scores.of(self.scores)


@dataclass
class Look:
    """What is seen of a domain, or of a partition of it, once it is known what is kept.

    Attributes:
        flow: what stays and goes.
        bars: [sides, bars] documents by margin.
        least: lowest margin of what is kept.
        margins: of what is kept, weighted by bytes.
        drawn: documents to show by side: lot, number of the partition, row and margin.
    """

    flow: Flow = field(default_factory=Flow)
    bars: np.ndarray = field(default_factory=lambda: np.zeros((2, BINS), np.int64))
    least: float = np.inf
    margins: QuantileSketch = field(default_factory=QuantileSketch)
    drawn: dict[str, list[tuple[float, int, int, float]]] = field(
        default_factory=lambda: {side: [] for side in SIDES}
    )

    def add(self, other: "Look", count: int) -> None:
        """Add what is seen of another partition; of each side so many are drawn."""
        self.flow, self.bars = self.flow + other.flow, self.bars + other.bars
        self.least = min(self.least, other.least)
        self.margins.merge(other.margins)
        self.drawn = {side: sorted([*self.drawn[side], *other.drawn[side]])[:count] for side in SIDES}


def select(run: StageRun) -> Counts:
    """Keep documents by margin; report what the kept and the dropped look like.

    Raises:
        DataError: nothing of a domain is kept.
    """
    config, domains = run.config.selection, run.config.domain_names
    cutoffs = open_cutoffs(domains, config, run.config.seed)
    measured = {domain: Measured() for domain in domains}
    for item, found in _each(run, _scored(run, cutoffs), _measure, begin=0.0, words="measuring"):
        measured[item.cutoff.domain].add(found)
    cutoffs, error = decided(cutoffs, measured)
    if few := short_of(cutoffs, measured):
        best: dict[str, list[Best]] = {domain: [] for domain in few}
        short = _scored(run, {domain: cutoffs[domain] for domain in few})
        for item, some in _each(run, short, _best, begin=0.25, words="filling up"):
            best[item.cutoff.domain].append(some)
        cutoffs |= {domain: filled_up(cutoffs[domain], best[domain]) for domain in few}
    edges = {domain: _edges(measured[domain].margins) for domain in domains}
    looks = {domain: Look() for domain in domains}
    items = [replace(item, edges=edges[item.cutoff.domain]) for item in _scored(run, cutoffs)]
    look = partial(_look, run.config.seed, config.samples)
    for item, seen in _each(run, items, look, begin=0.5, words="looking at"):
        looks[item.cutoff.domain].add(seen, config.samples)
    _refuse_nothing(looks)
    cutoffs = {domain: cutoff.in_bins(looks[domain].margins) for domain, cutoff in cutoffs.items()}
    samples = _write(run, cutoffs, looks)
    quality = {domain: _distribution(edges[domain], looks[domain]) for domain in domains}
    (run.output / SAMPLES).write_text(json.dumps(samples, ensure_ascii=False, indent=1))
    (run.output / FACTS).write_text(json.dumps({"domains": quality, "share_error": error}, indent=1))
    return Tally({domain: looks[domain].flow for domain in domains}).counts()


def _scored(run: StageRun, cutoffs: Mapping[str, Cutoff]) -> list[Scored]:
    """The partitions of some domains."""
    documents, scores = (DocumentStore.of(run.inputs[name]) for name in ("deduplicate", "score"))
    return [
        Scored(one, other, cutoff)
        for domain, cutoff in cutoffs.items()
        for one, other in zip(
            scores.partitions(domain, kind=SCORES), documents.partitions(domain), strict=True
        )
    ]


def _each(
    run: StageRun, items: Sequence[Scored], work: Callable[[Scored], Result], *, begin: float, words: str
) -> Iterator[tuple[Scored, Result]]:
    """Each partition, and what a task finds of it."""
    pace = Pace(len(items))
    for item, result in zip(items, spread(run.config.engine, work, items, output=run.files), strict=True):
        told = pace.after(item.documents.bytes)
        run.progress(begin + 0.25 * pace.done / len(items), f"{words} {item.cutoff.domain}: {told}")
        yield item, result


def _measure(item: Scored) -> Measured:
    return Measured.of(item.read(), item.cutoff)


def _best(item: Scored) -> Best:
    return item.cutoff.best(item.read())


def _look(seed: int, count: int, item: Scored) -> Look:
    """What is kept of a partition, and what it looks like."""
    scores = item.read()
    keep, margin, size = item.cutoff.keep(scores), scores.margin, scores.bytes
    clipped = np.clip(margin, item.edges[0], item.edges[-1])
    finite, number = np.isfinite(margin), item.scores.number
    lots = np.random.default_rng([seed, SHOWN_TAG, number, *item.cutoff.domain.encode()]).random(len(keep))
    drawn = {}
    for side, mask in zip(SIDES, (keep, ~keep), strict=True):
        rows = np.flatnonzero(mask)
        rows = rows[np.argsort(lots[rows], kind="stable")[:count]]
        drawn[side] = [(float(lots[row]), number, int(row), float(margin[row])) for row in rows]
    return Look(
        flow=Flow(
            documents_in=len(keep),
            documents_out=int(keep.sum()),
            bytes_in=int(size.sum()),
            bytes_out=int(size[keep].sum()),
            bytes_removed=int(size[~keep].sum()),
            removed=Counter({"quality": int((~keep).sum())}),
        ),
        bars=np.array([np.histogram(clipped[mask & finite], item.edges)[0] for mask in (keep, ~keep)]),
        least=float(margin[keep].min(initial=np.inf)),
        margins=QuantileSketch().add(margin[keep], size[keep]),
        drawn=drawn,
    )


def _refuse_nothing(looks: dict[str, Look]) -> None:
    for domain, look in looks.items():
        if not look.flow.documents_out:
            mend = "lower selection.threshold or raise selection.min_documents"
            raise DataError(f"domain {domain}", "keeps no document", mend)


def _write(run: StageRun, cutoffs: dict[str, Cutoff], looks: dict[str, Look]) -> dict[str, Any]:
    """Write the kept documents; some of both sides, to be shown, best first."""
    shown: dict[tuple[str, int], tuple[tuple[str, int], ...]] = {}
    margins: dict[tuple[str, int, int], float] = {}
    for domain, look in looks.items():
        for side, drawn in look.drawn.items():
            for _, number, row, margin in drawn:
                shown[domain, number] = (*shown.get((domain, number), ()), (side, row))
                margins[domain, number, row] = margin
    items = [
        replace(item, shown=shown.get((item.cutoff.domain, item.scores.number), ()))
        for item in _scored(run, cutoffs)
    ]
    names = {domain: run.config.binned_names(domain) for domain in looks}
    work = partial(_write_partition, DocumentStore.into(run.files), names)
    samples: dict[str, Any] = {domain: {side: [] for side in SIDES} for domain in looks}
    for item, records in _each(run, items, work, begin=0.75, words="writing"):
        domain, number = item.cutoff.domain, item.scores.number
        for side, row, record in records:
            samples[domain][side].append({**record, "margin": margins[domain, number, row]})
    return {
        domain: {side: sorted(rows, key=lambda row: -row["margin"]) for side, rows in sides.items()}
        for domain, sides in samples.items()
    }


def _write_partition(
    store: DocumentStore, names: Mapping[str, Sequence[str]], item: Scored
) -> list[tuple[str, int, dict[str, Any]]]:
    """Write what is kept of a partition, by bin; the rows that are shown, with their sides."""
    scores, table = item.read(), item.documents.read()
    bins = item.cutoff.binned(scores, item.cutoff.keep(scores))
    for number, name in enumerate(names[item.cutoff.domain]):
        selected = table.filter(pa.array(bins == number))
        if len(selected):
            store.write(selected, name, item.documents.number)
    found = []
    for side, row in item.shown:
        record = table.slice(row, 1).select(["id", "text"]).to_pylist()[0]
        found.append((side, row, {**record, "text": record["text"][:SAMPLE_CHARACTERS]}))
    return found


def _edges(margins: QuantileSketch) -> np.ndarray:
    """[bars + 1] where bars of margins begin and end."""
    low, high = (margins.value(share) for share in ENDS)
    return np.linspace(low, high if high > low else low + 1e-6, BINS + 1)


def _distribution(edges: np.ndarray, look: Look) -> dict[str, Any]:
    kept, dropped = look.bars.tolist()
    return {"edges": edges.tolist(), "kept": kept, "dropped": dropped, "threshold": look.least}
