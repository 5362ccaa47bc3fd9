"""Which mixtures to train next, and whether more runs can still change the choice.

The Gaussian process draws whole loss surfaces from what it believes after the runs so far. Mixtures are
proposed one after another, each the one that together with those before promises the greatest improvement
over the present choice on the average surface (parallel expected improvement, by sampling). What the choice
gives away to the best of each surface is the most that more runs can win.
"""

from dataclasses import dataclass

import numpy as np

from mashbill.config import PlanConfig
from mashbill.mixtures.bundle import Bundle
from mashbill.regression.laws.gaussian_process import GaussianProcess
from mashbill.regression.simplex import between, draw_around, minimise, simulate

ADVICE_TAG = 507
POOL, WITHIN, NEAR, SURFACES = 20_000, 6_000, 1_500, 400
JITTER_STRENGTHS = (20.0, 100.0, 500.0)


@dataclass(frozen=True)
class Advice:
    """What to train next.

    Attributes:
        mixtures: [mixtures, domains] that together promise the most, the most promising first.
        chances: [mixtures] share of the surfaces on which each is best of all that were looked at.
        choice: [domains] the best mixture as things stand.
        gain: loss that the best of a surface has below the choice, on average: what more runs can win at
            most.
        gain_90: the same on the surface where it is greater than on 90% of them.
    """

    mixtures: np.ndarray
    chances: np.ndarray
    choice: np.ndarray
    gain: float
    gain_90: float


def advise(
    process: GaussianProcess,
    target: np.ndarray,
    natural: np.ndarray,
    floor: np.ndarray,
    ceiling: np.ndarray,
    *,
    count: int,
    seed: int,
    pool: np.ndarray | None = None,
) -> Advice:
    """Advise on the next runs.

    Args:
        process: fitted on the runs so far.
        target: [targets] weights.
        natural: [domains] proportions around which mixtures are simulated.
        floor, ceiling: [domains] limits of the mixtures.
        count: mixtures to propose.
        seed: seed of simulation and surfaces.
        pool: [mixtures, domains] the only ones that can be trained; None means any within the limits.
    """
    looked_at = _promising(process, target, natural, floor, ceiling, seed, pool)
    surfaces = process.draw(looked_at, SURFACES, seed) @ target
    best = surfaces.argmin(axis=1)
    at_choice = surfaces[:, 0]
    gains = at_choice - surfaces.min(axis=1)
    wins = np.bincount(best, minlength=len(looked_at))
    order = _together(surfaces, at_choice, min(count, len(looked_at)))
    return Advice(
        looked_at[order],
        wins[order] / SURFACES,
        looked_at[0],
        float(gains.mean()),
        float(np.quantile(gains, 0.9)),
    )


def draw_in_bundle(
    bundle: Bundle, natural: np.ndarray, floor: np.ndarray, ceiling: np.ndarray, seed: int
) -> np.ndarray:
    """[mixtures, domains] mixtures within limits in which some domains keep their ratios: a pool to advise
    on."""
    reduced = bundle.reduce(natural)
    drawn = simulate(reduced, np.ones(len(reduced)), POOL, PlanConfig(), seed)
    return bundle.expand(between(drawn, *bundle.limits(floor, ceiling)))


def _promising(
    process: GaussianProcess,
    target: np.ndarray,
    natural: np.ndarray,
    floor: np.ndarray,
    ceiling: np.ndarray,
    seed: int,
    pool: np.ndarray | None,
) -> np.ndarray:
    """[mixtures, domains] that may be best given the doubt about them, the one that is best on average
    first."""

    def mean(mixtures: np.ndarray) -> np.ndarray:
        return process.predict(mixtures) @ target

    candidates = pool
    if candidates is None:
        drawn = between(simulate(natural, np.ones(len(natural)), POOL, PlanConfig(), seed), floor, ceiling)
        best = minimise(mean, drawn[int(mean(drawn).argmin())], floor, ceiling, seed)
        random = np.random.default_rng([seed, ADVICE_TAG])
        strength = np.repeat(JITTER_STRENGTHS, POOL // 10)[:, None]
        near = between(draw_around(random, (best + 0.1 / len(best)) * strength), floor, ceiling)
        candidates = np.concatenate([best[None], drawn, near])
    middle = mean(candidates)
    order = np.argsort(middle, kind="stable")[:WITHIN]
    candidates, middle = candidates[order], middle[order]
    hopeful = middle - 2 * np.sqrt(process.deviation(candidates) ** 2 @ target**2)
    hopeful[0] = -np.inf
    return candidates[np.argsort(hopeful, kind="stable")[:NEAR]]


def _together(surfaces: np.ndarray, at_choice: np.ndarray, count: int) -> list[int]:
    """Places of the mixtures with the greatest expected improvement together, found one after another."""
    order: list[int] = []
    served = at_choice.copy()
    for _ in range(count):
        drop = np.maximum(served[:, None] - surfaces, 0).mean(axis=0)
        drop[order] = -1
        order.append(int(drop.argmax()))
        served = np.minimum(served, surfaces[:, order[-1]])
    return order
