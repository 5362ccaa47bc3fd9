"""A mergeable quantile sketch of scores, weighted by bytes: thresholds without a global sort.

Scores fall into buckets whose width is a fixed share of their size (as in DDSketch, arXiv 1908.10693);
merging adds weights. Weights above a bucket's edge are exact, so a threshold at an edge is off by at most the
weight of its bucket, which is stated.
"""

from dataclasses import dataclass, field
from typing import Self

import numpy as np

RELATIVE_WIDTH = 1e-3
SMALLEST = 1e-6
_STEP = np.log1p(RELATIVE_WIDTH)


@dataclass
class QuantileSketch:
    """Weights by bucket.

    Attributes:
        weights: weight of each bucket that has any; the bucket's number grows with the score.
    """

    weights: dict[int, float] = field(default_factory=dict)

    def add(self, scores: np.ndarray, weights: np.ndarray) -> Self:
        """Add [documents] scores with their weights; minus infinity has a bucket of its own."""
        numbers, places = np.unique(buckets(scores), return_inverse=True)
        for number, weight in zip(numbers.tolist(), np.bincount(places, weights).tolist(), strict=True):
            self.weights[number] = self.weights.get(number, 0.0) + weight
        return self

    def merge(self, other: "QuantileSketch") -> Self:
        """Add another sketch's weights."""
        for number, weight in other.weights.items():
            self.weights[number] = self.weights.get(number, 0.0) + weight
        return self

    @property
    def total(self) -> float:
        """All weight."""
        return sum(self.weights.values())

    def top(self, share: float) -> tuple[int, float]:
        """The lowest bucket of the best share.

        Args:
            share: share of the weight, in (0, 1].
        Returns:
            The bucket's number, and by how much of the weight the share may be passed if its whole bucket is
            taken.
        """
        above, wanted = 0.0, share * self.total
        numbers = sorted(self.weights, reverse=True)
        for number in numbers:
            above += self.weights[number]
            if above >= wanted * (1 - 1e-12):
                return number, self.weights[number] / max(self.total, 1e-300)
        return numbers[-1], 0.0

    def value(self, share: float) -> float:
        """The score below which a share of the weight lies, as far as buckets tell; 0 where there is none."""
        below, wanted = 0.0, share * self.total
        for number in sorted(self.weights):
            below += self.weights[number]
            if below >= wanted:
                return float(np.sign(number) * SMALLEST * np.exp(abs(number) * _STEP))
        return 0.0


def buckets(scores: np.ndarray) -> np.ndarray:
    """[documents] int64 bucket of each score: monotonous, 0.1% wide, symmetric around 0."""
    size = np.log(np.maximum(np.abs(scores), SMALLEST) / SMALLEST) / _STEP
    number = np.where(
        np.isfinite(size),
        np.sign(scores) * np.ceil(np.where(np.isfinite(size), size, 0)),
        np.sign(scores) * 2.0**40,
    )
    return number.astype(np.int64)
