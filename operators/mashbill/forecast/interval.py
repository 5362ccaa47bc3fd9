"""What a forecast lies between: the law refitted to runs as they might have come out, and a final run's own
noise.

A refit's runs are the law's with noise drawn anew, its size among what is not known (few runs say little of
it), so that the interval grows with the distance as far as the runs leave the law open. Where the law,
fitted without the largest runs, misses them by more than its own account allows, the interval is widened by
as much.
"""

from dataclasses import dataclass

import numpy as np

from mashbill.forecast.law import CONSTANTS, MIN_SIZES, Law, Points, fit_law
from mashbill.mixtures.forecast import HeldOut

DRAWS, HELD_OUT_DRAWS = 200, 60
LEAST_NOISE = 1e-4
OUTSIDE = 1.645  # deviations that nine of ten errors keep within


@dataclass(frozen=True)
class Drawn:
    """Laws as they might be.

    Attributes:
        law: that of the runs; noise: deviation of a run's log loss from it.
        laws: refits; deviations: [draws] the noise that each was drawn with.
        freedom: how many runs there are beyond what fits the constants.
    """

    law: Law
    noise: float
    laws: tuple[Law, ...]
    deviations: np.ndarray
    freedom: int

    def log_losses(self, parameters: float, tokens: float, *, seed: int) -> np.ndarray:
        """[draws] log losses that a run of this size and budget may end with, its own noise among it."""
        at = np.array([parameters]), np.array([tokens])
        drawn = np.array([np.log(law.losses(*at)[0]) for law in self.laws])
        return drawn + self.deviations * np.random.default_rng([seed, 1]).standard_normal(len(drawn))


def draw_laws(points: Points, *, seed: int, draws: int = DRAWS) -> Drawn:
    """Fit the law, and refit it to runs as they might have come out."""
    law = fit_law(points)
    expected = np.log(law.losses(points.parameters, points.tokens))
    freedom = max(1, len(points) - CONSTANTS)
    off = np.log(points.losses) - expected
    noise = max(LEAST_NOISE, float(np.sqrt((off**2).sum() / freedom)))
    generator = np.random.default_rng([seed, 0])
    deviations = noise * np.sqrt(freedom / generator.chisquare(freedom, draws))
    laws = []
    for deviation in deviations:
        losses = np.exp(expected + deviation * generator.standard_normal(len(points)))
        again = Points(points.parameters, points.tokens, losses)
        laws.append(fit_law(again, start=law, lean=law.lean + generator.standard_normal()))
    return Drawn(law, noise, tuple(laws), deviations, freedom)


def hold_out(points: Points, *, seed: int) -> HeldOut | None:
    """Forecast the runs of the largest size from the others; None where too few are left."""
    largest = points.parameters == points.parameters.max()
    rest = points.only(~largest)
    if rest.sizes < MIN_SIZES or len(np.unique(rest.tokens)) < 2 or len(rest) <= CONSTANTS + 1:
        return None
    drawn = draw_laws(rest, seed=seed, draws=HELD_OUT_DRAWS)
    held = points.only(largest)
    expected = np.log(drawn.law.losses(held.parameters, held.tokens))
    spread = [
        float(drawn.log_losses(n, d, seed=seed + i).std())
        for i, (n, d) in enumerate(zip(held.parameters, held.tokens, strict=True))
    ]
    error = float(np.sqrt(((np.log(held.losses) - expected) ** 2).mean()))
    own = float(np.sqrt(np.mean(np.square(spread))))
    return HeldOut(runs=len(held), error=error, expected=own, widened=max(1.0, error / (OUTSIDE * own)))


def interval_of(
    log_losses: np.ndarray, middle: float, *, coverage: float, widened: float
) -> tuple[float, float]:
    """Lowest and highest of a share of drawn log losses, as losses, each side stretched about the middle."""
    low, high = np.quantile(log_losses, [(1 - coverage) / 2, (1 + coverage) / 2])
    low, high = min(low, middle), max(high, middle)
    return float(np.exp(middle + (low - middle) * widened)), float(np.exp(middle + (high - middle) * widened))
