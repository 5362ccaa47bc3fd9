"""What is kept of each domain, from what its partitions measure: thresholds, for which no place needs all
scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from mashbill.config import SelectionConfig
from mashbill.quality.lots import as_uniform, draw_lots
from mashbill.quality.scores import Scores
from mashbill.quality.sketch import QuantileSketch, buckets

NOISE_TAG, LEAST_TAG = 411, 412
Best = list[tuple[float, int]]
"""Documents by what they are ordered by: minus the margin, then a lot."""


@dataclass(frozen=True)
class Cutoff:
    """What is kept of a domain. It is a small value that tasks are sent.

    Attributes:
        domain: name; seed: of what is drawn; config: how documents are chosen.
        lowest: lowest bucket of what documents are ordered by; None where a threshold decides.
        last: the last of the best that fill up the least number of documents; None where enough are kept.
        bins: lowest bucket of the margin in each quality bin but the last.
    """

    domain: str
    seed: int
    config: SelectionConfig
    lowest: int | None = None
    last: tuple[float, int] | None = None
    bins: tuple[int, ...] = ()

    def keys(self, scores: Scores) -> np.ndarray:
        """[documents] what documents are ordered by: the margin, or, sampling, the margin with noise that is
        a function of (seed, domain, id).

        Adding Gumbel noise and taking the top is sampling without replacement with probabilities that grow as
        exp(margin / temperature).
        """
        if self.config.method != "temperature":
            return scores.margin
        uniform = as_uniform(draw_lots(self.domain, scores.id, seed=self.seed, tag=NOISE_TAG))
        return scores.margin / self.config.temperature - np.log(-np.log(uniform))

    def keep(self, scores: Scores) -> np.ndarray:
        """[documents] bool."""
        keys = self.keys(scores)
        if self.lowest is None:
            kept: np.ndarray = keys >= self.config.threshold
        else:
            kept = buckets(keys) >= self.lowest
        if self.last is not None:
            margin, lot = self.last
            lots = draw_lots(self.domain, scores.id, seed=self.seed, tag=LEAST_TAG)
            kept |= (-scores.margin < margin) | ((-scores.margin == margin) & (lots <= lot))
        return kept

    def binned(self, scores: Scores, keep: np.ndarray) -> np.ndarray:
        """[documents] the bin of each kept document, from 0 (best), of equal bytes each; -1 for the
        dropped."""
        number = np.where(keep, 0, -1)
        for cut, lowest in enumerate(self.bins, 1):
            number[keep & (buckets(scores.margin) < lowest)] = cut
        return number

    def best(self, scores: Scores) -> Best:
        """The best of some documents, no more than the least number of them."""
        lots = draw_lots(self.domain, scores.id, seed=self.seed, tag=LEAST_TAG)
        order = np.lexsort((lots, -scores.margin))[: self.config.min_documents]
        return list(zip((-scores.margin[order]).tolist(), lots[order].tolist(), strict=True))

    def in_bins(self, kept: QuantileSketch) -> "Cutoff":
        """The same with quality bins.

        Args:
            kept: margins of what is kept, weighted by bytes.
        """
        shares = [cut / self.config.bins for cut in range(1, self.config.bins)]
        return replace(self, bins=tuple(kept.top(share)[0] for share in shares))


@dataclass
class Measured:
    """What is measured of the scores of a domain, or of a partition of it.

    Attributes:
        bytes: of text, by what documents are ordered by; documents: the same, counted.
        margins: finite ones, counted.
        above: documents at and above the threshold.
    """

    bytes: QuantileSketch = field(default_factory=QuantileSketch)
    documents: QuantileSketch = field(default_factory=QuantileSketch)
    margins: QuantileSketch = field(default_factory=QuantileSketch)
    above: int = 0

    @classmethod
    def of(cls, scores: Scores, cutoff: Cutoff) -> "Measured":
        """What is measured of some scores, for a cutoff to come of it."""
        keys, finite = cutoff.keys(scores), scores.margin[np.isfinite(scores.margin)]
        return cls(
            bytes=QuantileSketch().add(keys, scores.bytes),
            documents=QuantileSketch().add(keys, np.ones(len(keys))),
            margins=QuantileSketch().add(finite, np.ones(len(finite))),
            above=int((keys >= cutoff.config.threshold).sum()),
        )

    def add(self, other: "Measured") -> None:
        """Add what is measured of another partition."""
        self.bytes.merge(other.bytes)
        self.documents.merge(other.documents)
        self.margins.merge(other.margins)
        self.above += other.above

    def kept(self, lowest: int | None) -> int:
        """How many documents are kept from a bucket on, or by the threshold."""
        if lowest is None:
            return self.above
        return round(sum(weight for number, weight in self.documents.weights.items() if number >= lowest))


def open_cutoffs(domains: Sequence[str], config: SelectionConfig, seed: int) -> dict[str, Cutoff]:
    """Cutoffs of which nothing is known yet but how documents are ordered."""
    return {domain: Cutoff(domain, seed, config) for domain in domains}


def decided(
    cutoffs: Mapping[str, Cutoff], measured: Mapping[str, Measured]
) -> tuple[dict[str, Cutoff], float]:
    """Cutoffs by the config's method and share, of each domain or overall.

    Documents of one score, or of one bucket of the sketch, are kept all or none, so that no order decides
    among them.

    Args:
        cutoffs: open ones.
        measured: of each domain.
    Returns:
        Them, and by how much of the text the share may be passed (the weight of one bucket).
    """
    config = next(iter(cutoffs.values())).config
    if config.method == "threshold":
        return dict(cutoffs), 0.0
    groups = [(d,) for d in cutoffs] if config.scope == "domain" else [tuple(cutoffs)]
    found: dict[str, Cutoff] = {}
    error = 0.0
    for names in groups:
        sketch = QuantileSketch()
        for name in names:
            sketch.merge(measured[name].bytes)
        lowest, over = sketch.top(config.keep_share)
        error = max(error, over)
        found |= {name: replace(cutoffs[name], lowest=lowest) for name in names}
    return {domain: found[domain] for domain in cutoffs}, error


def short_of(cutoffs: Mapping[str, Cutoff], measured: Mapping[str, Measured]) -> list[str]:
    """Domains of which fewer documents are kept than the least number."""
    return [d for d, c in cutoffs.items() if measured[d].kept(c.lowest) < c.config.min_documents]


def filled_up(cutoff: Cutoff, best: Sequence[Best]) -> Cutoff:
    """A cutoff that keeps the least number of documents too, as far as there are so many.

    Args:
        cutoff: which keeps fewer.
        best: the best documents of each partition.
    """
    merged = sorted(one for part in best for one in part)[: cutoff.config.min_documents]
    return replace(cutoff, last=merged[-1]) if merged else cutoff


def choose(
    scores: Mapping[str, Scores], config: SelectionConfig, seed: int
) -> tuple[dict[str, np.ndarray], float]:
    """Which documents are kept, of scores that are all at hand.

    Args:
        scores: of each domain's documents.
        config: method, share or threshold, scope and the least number of documents.
        seed: seed of temperature sampling.
    Returns:
        [documents] bool by domain, and by how much of the text the share may be passed.
    """
    cutoffs = open_cutoffs(tuple(scores), config, seed)
    measured = {domain: Measured.of(scores[domain], cutoff) for domain, cutoff in cutoffs.items()}
    cutoffs, error = decided(cutoffs, measured)
    for domain in short_of(cutoffs, measured):
        cutoffs[domain] = filled_up(cutoffs[domain], [cutoffs[domain].best(scores[domain])])
    return {domain: cutoff.keep(scores[domain]) for domain, cutoff in cutoffs.items()}, error
