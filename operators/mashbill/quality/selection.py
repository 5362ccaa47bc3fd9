"""The select stage: keep the best-scored text, of each domain or overall, and if asked split what is kept
into quality bins.

Two passes over the margins and sizes, a partition at a time: one fills quantile sketches, from which
thresholds follow; the other writes the documents above them.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from mashbill.artifacts import Counts, StageRun
from mashbill.config import SelectionConfig
from mashbill.documents import DocumentStore, Flow, Partition, Tally
from mashbill.errors import DataError
from mashbill.partitions import spread
from mashbill.quality.lots import as_uniform, draw_lots
from mashbill.quality.scores import Scores
from mashbill.quality.sketch import QuantileSketch, buckets

BINS = 40
SAMPLE_CHARACTERS = 500
NOISE_TAG, LEAST_TAG = 411, 412
SAMPLES, FACTS = "samples.json", "quality.json"
OUTPUTS = {
    "documents/": "the documents that are kept",
    SAMPLES: "kept and dropped documents",
    FACTS: "score distributions by domain",
}


def select(run: StageRun) -> Counts:
    """Keep documents by margin; report what the kept and the dropped look like.

    Raises:
        DataError: nothing of a domain is kept.
    """
    domains, config = run.config.domain_names, run.config.selection
    store = DocumentStore.of(run.inputs["score"])
    scores = {d: Scores.read(store, d) for d in domains}
    kept, error = choose(scores, config, run.config.seed)
    samples: dict[str, Any] = {}
    quality: dict[str, Any] = {}
    tally = Tally()
    for i, domain in enumerate(domains):
        run.progress(i / len(domains), f"selecting {domain}")
        keep = kept[domain]
        if not keep.any():
            raise DataError(
                f"domain {domain}",
                "keeps no document",
                "lower selection.threshold or raise selection.min_documents",
            )
        bins = quality_bins(scores[domain], keep, config.bins)
        samples[domain] = _write_domain(run, domain, keep, bins=bins, margin=scores[domain].margin)
        quality[domain] = _distribution(scores[domain].margin, keep)
        tally.add(domain, _flow(scores[domain].bytes, keep))
    (run.output / SAMPLES).write_text(json.dumps(samples, ensure_ascii=False, indent=1))
    (run.output / FACTS).write_text(json.dumps({"domains": quality, "share_error": error}, indent=1))
    return tally.counts()


def choose(
    scores: Mapping[str, Scores], config: SelectionConfig, seed: int
) -> tuple[dict[str, np.ndarray], float]:
    """Which documents are kept.

    Those of one score, or of one bucket of the sketch, are kept all or none, so that no order decides among
    them; which of them fill up the least number of documents is drawn by lot.

    Args:
        scores: of each domain's documents.
        config: method, share or threshold, scope and the least number of documents.
        seed: seed of temperature sampling.
    Returns:
        [documents] bool by domain, and by how much of the text the share may be passed (the weight of one
        bucket of the sketch).
    """
    keys = {d: _keys(d, s, config, seed=seed) for d, s in scores.items()}
    error = 0.0
    if config.method == "threshold":
        kept = {d: key >= config.threshold for d, key in keys.items()}
    else:
        groups = {d: (d,) for d in scores} if config.scope == "domain" else {"overall": tuple(scores)}
        kept = {}
        for names in groups.values():
            sketch = QuantileSketch()
            for d in names:
                sketch.merge(QuantileSketch().add(keys[d], scores[d].bytes))
            lowest, over = sketch.top(config.keep_share)
            error = max(error, over)
            kept |= {d: buckets(keys[d]) >= lowest for d in names}
    for d, mask in kept.items():
        if mask.sum() < config.min_documents:
            lots = _lots(d, scores[d], seed=seed, tag=LEAST_TAG)
            mask[np.lexsort((lots, -scores[d].margin))[: config.min_documents]] = True
    return {d: kept[d] for d in scores}, error


def quality_bins(scores: Scores, keep: np.ndarray, bins: int) -> np.ndarray:
    """[documents] the bin of each kept document, from 0 (best) to bins - 1, of equal bytes each; -1 for the
    dropped."""
    number = np.full(len(keep), -1)
    number[keep] = 0
    sketch = QuantileSketch().add(scores.margin[keep], scores.bytes[keep])
    for cut in range(1, bins):
        lowest, _ = sketch.top(cut / bins)
        number[keep & (buckets(scores.margin) < lowest)] = cut
    return number


def _keys(domain: str, scores: Scores, config: SelectionConfig, *, seed: int) -> np.ndarray:
    """[documents] what documents are ordered by: the margin, or, sampling, the margin with noise that is a
    function of (seed, domain, id).

    Adding Gumbel noise and taking the top is sampling without replacement with probabilities that grow as
    exp(margin / temperature).
    """
    if config.method != "temperature":
        return scores.margin
    uniform = as_uniform(_lots(domain, scores, seed=seed, tag=NOISE_TAG))
    return scores.margin / config.temperature - np.log(-np.log(uniform))


def _lots(domain: str, scores: Scores, *, seed: int, tag: int) -> np.ndarray:
    return draw_lots(domain, scores.id, seed=seed, tag=tag)


def _flow(size: np.ndarray, keep: np.ndarray) -> Flow:
    """What became of a domain's documents.

    Args:
        size: [documents] bytes of text.
        keep: [documents] bool.
    """
    return Flow(
        documents_in=len(keep),
        documents_out=int(keep.sum()),
        bytes_in=int(size.sum()),
        bytes_out=int(size[keep].sum()),
        bytes_removed=int(size[~keep].sum()),
        removed=Counter({"quality": int((~keep).sum())}),
    )


def _sample_rows(margin: np.ndarray, keep: np.ndarray, count: int) -> dict[str, np.ndarray]:
    """Rows to show: spread evenly over the margins of each side, best first."""
    rows = {}
    for side, mask in (("kept", keep), ("dropped", ~keep)):
        order = np.flatnonzero(mask)
        order = order[np.argsort(-margin[order], kind="stable")]
        places = np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)
        rows[side] = order[places]
    return rows


def _write_domain(
    run: StageRun, domain: str, keep: np.ndarray, *, bins: np.ndarray, margin: np.ndarray
) -> dict[str, Any]:
    """Write the kept documents of a domain, partition by partition; some of both sides, to be shown."""
    wanted = _sample_rows(margin, keep, run.config.selection.samples)
    partitions = DocumentStore.of(run.inputs["deduplicate"]).partitions(domain)
    ends = np.cumsum([partition.count() for partition in partitions]).tolist()
    cuts = [
        Cut(partition, bins[start:end], {side: _between(rows, start, end) for side, rows in wanted.items()})
        for partition, start, end in zip(partitions, [0, *ends[:-1]], ends, strict=True)
    ]
    work = partial(_write_cut, DocumentStore.into(run.files), run.config.binned_names(domain))
    shown: dict[str, list[dict[str, Any]]] = {side: [] for side in wanted}
    written = spread(run.config.engine, work, cuts, output=run.files)
    for start, found in zip([0, *ends[:-1]], written, strict=True):
        for side, row, record in found:
            shown[side].append({**record, "margin": float(margin[start + row])})
    return {side: sorted(rows, key=lambda r: -r["margin"]) for side, rows in shown.items()}


@dataclass(frozen=True)
class Cut:
    """What is kept of a partition.

    Attributes:
        partition: of a domain.
        bins: [documents] the bin of each, -1 for the dropped.
        shown: rows to show, by side.
    """

    partition: Partition
    bins: np.ndarray
    shown: dict[str, np.ndarray]


def _between(rows: np.ndarray, start: int, end: int) -> np.ndarray:
    return rows[(rows >= start) & (rows < end)] - start


def _write_cut(store: DocumentStore, names: Sequence[str], cut: Cut) -> list[tuple[str, int, dict[str, Any]]]:
    """Write what is kept of a partition, by bin; the rows that are shown, with their sides."""
    table = cut.partition.read()
    for number, name in enumerate(names):
        selected = table.filter(pa.array(cut.bins == number))
        if len(selected):
            store.write(selected, name, cut.partition.number)
    found = []
    for side, rows in cut.shown.items():
        for row in rows.tolist():
            record = table.slice(row, 1).select(["id", "text"]).to_pylist()[0]
            found.append((side, row, {**record, "text": record["text"][:SAMPLE_CHARACTERS]}))
    return found


def _distribution(margin: np.ndarray, keep: np.ndarray) -> dict[str, Any]:
    finite = np.isfinite(margin)
    low, high = np.quantile(margin[finite], [0.001, 0.999])
    edges = np.linspace(low, high if high > low else low + 1e-6, BINS + 1)
    clipped = np.clip(margin, edges[0], edges[-1])
    return {
        "edges": edges.tolist(),
        "kept": np.histogram(clipped[keep & finite], edges)[0].tolist(),
        "dropped": np.histogram(clipped[~keep & finite], edges)[0].tolist(),
        "threshold": float(margin[keep].min()),
    }
