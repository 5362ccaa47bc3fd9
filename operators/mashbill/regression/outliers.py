"""Losses that their mixture does not explain: of a proxy that diverged, or a cell that was mistyped.

One of them spoils a regression, whichever: a process takes it for noise and forgets its lengths. So each loss
is held against what a process believes of its mixture without it. It is an outlier where it lies far from
there both in the process's own doubt, in the scale that most runs have, and in the spread of the losses.
Neither suffices alone: no process is exact where mixtures are extreme (of RegMix's clean sweep some losses
are 16 times their doubt away), and losses that hardly differ spread little.

Several outliers hide one another. As in least trimmed squares the search therefore starts from a process that
does not know the strangest eighth of the runs, found first by ranks, which no loss can stretch; then what
proves usual is known again, until nothing changes.

An outlier counts as unknown to every regressor alike, in its own set alone: a run may be bad in one and good
in the others. Of two runs alone in a corner of the simplex, both may be taken for outliers; so each is named,
with what was expected, and can be kept.

Source: trimming and reweighting after Rousseeuw (1984), least median of squares regression.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mashbill.mixtures.outlier import OutlierLoss
from mashbill.regression.process import learn, leave_one_out

ROOT = 1 / 3
LEAST_RUNS = 8
DOUBTS = 6.0
SPREADS_AND_PRODUCT = ((2.0, 18.0), (1.0, 40.0))
"""What an outlier is away from what is expected: more than so many doubts, and more than so many spreads
together with so much for the product of both."""
FEW_RUNS = 16.0  # so many ask for twice as much, as they say little of what is usual
MOST = 1 / 8  # of the runs of a set can be outliers
TRIMS, ROUNDS = 2, 6
LOWEST = 0.05  # standard deviations above the floor, below which all losses are one
MEDIAN_TO_DEVIATION = 1.4826  # of a normal distribution


@dataclass(frozen=True)
class Outliers:
    """Which losses are outliers.

    Attributes:
        found: [runs, sets] whether it is one.
        expected: [runs, sets] losses that the other runs let one expect.
    """

    found: np.ndarray
    expected: np.ndarray

    def listed(
        self, index: np.ndarray, sets: Sequence[str], losses: np.ndarray, *, signs: np.ndarray
    ) -> tuple[OutlierLoss, ...]:
        """The outliers among [runs, sets] losses, which [sets] signs give back their own sign."""
        return tuple(
            OutlierLoss(
                index=index[run] if isinstance(index[run], str) else int(index[run]),
                set=sets[column],
                loss=float(losses[run, column] * signs[column]),
                expected=float(self.expected[run, column] * signs[column]),
            )
            for run, column in np.argwhere(self.found)
        )


@dataclass(frozen=True)
class _Distance:
    """How far losses lie from what is expected, each [runs, sets]: in doubts and in spreads; and what is
    expected."""

    doubts: np.ndarray
    spreads: np.ndarray
    expected: np.ndarray

    def outliers(self) -> np.ndarray:
        """[runs, sets] whether each is one; where too many are, the strangest."""
        strict = 1 + (FEW_RUNS / len(self.doubts)) ** 2
        product, far = self.doubts * self.spreads, np.zeros(self.doubts.shape, bool)
        for spreads, together in SPREADS_AND_PRODUCT:
            far |= (self.spreads > spreads * strict) & (product > together * strict**2)
        far &= self.doubts > DOUBTS * strict
        return far & _strangest(np.where(far, self.doubts, 0.0))


def no_outliers(losses: np.ndarray) -> Outliers:
    """None among [runs, sets] losses."""
    return Outliers(np.zeros(losses.shape, bool), losses)


def find_outliers(weights: np.ndarray, losses: np.ndarray) -> Outliers:
    """Outliers among losses; of fewer than eight runs none can be told.

    Args:
        weights: [runs, domains] mixtures.
        losses: [runs, sets] measured, finite.
    """
    if len(losses) < LEAST_RUNS:
        return no_outliers(losses)
    nothing = np.zeros(losses.shape, bool)
    found = _strangest(_distance(weights, _normal_scores(losses), nothing).doubts)
    for _ in range(TRIMS):
        found = _strangest(_distance(weights, losses, found).doubts)
    expected, changing = losses.copy(), np.arange(losses.shape[1])
    for _ in range(ROUNDS):
        distance = _distance(weights, losses[:, changing], found[:, changing])
        expected[:, changing], before = distance.expected, found[:, changing]
        found[:, changing] = distance.outliers()
        changing = changing[(before != found[:, changing]).any(axis=0)]
        if not len(changing):
            break
    return Outliers(found, expected)


def _distance(weights: np.ndarray, losses: np.ndarray, hidden: np.ndarray) -> _Distance:
    """How far [runs, sets] losses lie from what a process expects that does not know the hidden ones."""
    known = np.where(hidden, np.nan, losses)
    usual = np.maximum(np.nanstd(known, axis=0), 1e-9)
    floor = np.nanmin(known, axis=0) - usual
    warped = np.log(np.maximum(losses - floor, LOWEST * usual))
    seen = np.where(hidden, np.nan, warped)
    middle, spread = np.nanmean(seen, axis=0), np.maximum(np.nanstd(seen, axis=0), 1e-9)
    targets = (seen - middle) / spread
    mean, deviation = leave_one_out(learn(weights, targets, ROOT), targets)
    doubts = np.abs((warped - middle) / spread - mean) / deviation
    doubts /= np.maximum(MEDIAN_TO_DEVIATION * np.median(doubts, axis=0), 1e-9)
    expected = np.exp(mean * spread + middle) + floor
    believed = np.where(_strangest(doubts), np.nan, losses)
    return _Distance(
        doubts, np.abs(losses - expected) / np.maximum(np.nanstd(believed, axis=0), 1e-9), expected
    )


def _strangest(doubts: np.ndarray) -> np.ndarray:
    """[runs, sets] whether a run is among the eighth that is doubted most."""
    places = np.argsort(np.argsort(-doubts, axis=0, kind="stable"), axis=0)
    return places < int(len(doubts) * MOST)


def _normal_scores(losses: np.ndarray) -> np.ndarray:
    """[runs, sets] losses with the same order and a normal distribution."""
    from scipy.stats import norm, rankdata

    scores: np.ndarray = norm.ppf(rankdata(losses, axis=0) / (len(losses) + 1))
    return scores
