"""Which mixtures to train next, and whether more runs can still change the choice.

The Gaussian process draws whole loss surfaces from what it believes after the runs so far. Mixtures are
proposed one after another, each the one that together with those before promises the greatest improvement
over the present choice on the average surface (parallel expected improvement, by sampling). What the choice
gives away to the best of each surface is the most that more runs can win.
"""

from collections.abc import Sequence

import numpy as np

from mashbill.artifacts import Part, Record
from mashbill.mixtures.dirichlet import draw_around
from mashbill.regression.laws.gaussian_process import GaussianProcess
from mashbill.regression.simplex import SearchSpace, minimise

ADVICE_TAG = 507
POOL, WITHIN, NEAR, SURFACES = 20_000, 6_000, 1_500, 400
JITTER_STRENGTHS = (20.0, 100.0, 500.0)


class Proposal(Part):
    """A mixture to train, and on which share of the surfaces it is best of all that were looked at."""

    mixture: dict[str, float]
    chance: float


class Advice(Record):
    """What to train next.

    Attributes:
        next: mixtures that together promise the most, the most promising first.
        choice: the best mixture as things stand.
        gain: loss that the best of a surface has below the choice, on average: what more runs can win at
            most.
        gain_90: the same on the surface where it is greater than on 90% of them.
        noise: error of the regression that made the choice, where it is known; worth_it: whether gain_90 is
            above.
    """

    next: tuple[Proposal, ...]
    choice: dict[str, float]
    gain: float
    gain_90: float
    noise: float | None = None
    worth_it: bool | None = None

    @property
    def weights(self) -> np.ndarray:
        """[mixtures, domains] of the mixtures to train."""
        return np.array([list(entry.mixture.values()) for entry in self.next])


def advise(
    process: GaussianProcess,
    target: np.ndarray,
    space: SearchSpace,
    *,
    domains: Sequence[str],
    count: int,
    seed: int,
    noise: float | None = None,
    pool: np.ndarray | None = None,
) -> Advice:
    """Advise on the next runs.

    Args:
        process: fitted on the runs so far.
        target: [targets] weights.
        space: the mixtures that may be trained.
        domains: their names.
        count: mixtures to propose.
        seed: seed of simulation and surfaces.
        noise: error of the regression, where there is one.
        pool: [mixtures, domains] the only ones that can be trained; None means any of the space.
    """
    looked_at = _promising(process, target, space, seed=seed, pool=pool)
    surfaces = process.draw(looked_at, SURFACES, seed) @ target
    best = surfaces.argmin(axis=1)
    at_choice = surfaces[:, 0]
    gains = at_choice - surfaces.min(axis=1)
    wins = np.bincount(best, minlength=len(looked_at))
    order = _most_together(surfaces, at_choice, min(count, len(looked_at)))
    gain_90 = float(np.quantile(gains, 0.9))
    verdict = {} if noise is None else {"noise": noise, "worth_it": bool(gain_90 > noise)}
    return Advice(
        next=tuple(
            Proposal(mixture=_named(domains, looked_at[i]), chance=float(wins[i] / SURFACES)) for i in order
        ),
        choice=_named(domains, looked_at[0]),
        gain=float(gains.mean()),
        gain_90=gain_90,
        **verdict,
    )


def _promising(
    process: GaussianProcess, target: np.ndarray, space: SearchSpace, *, seed: int, pool: np.ndarray | None
) -> np.ndarray:
    """[mixtures, domains] that may be best given the doubt about them, the one that is best on average
    first."""

    def mean(mixtures: np.ndarray) -> np.ndarray:
        return process.predict(mixtures) @ target

    candidates = space.draw(POOL, seed) if pool is None else pool
    if pool is None and space.bundle is None:
        best = minimise(mean, candidates[int(mean(candidates).argmin())], space.limits, seed=seed)
        random = np.random.default_rng([seed, ADVICE_TAG])
        strength = np.repeat(JITTER_STRENGTHS, POOL // 10)[:, None]
        near = space.limits.applied(draw_around(random, (best + 0.1 / len(best)) * strength))
        candidates = np.concatenate([best[None], candidates, near])
    middle = mean(candidates)
    order = np.argsort(middle, kind="stable")[:WITHIN]
    candidates, middle = candidates[order], middle[order]
    hopeful = middle - 2 * np.sqrt(process.deviation(candidates) ** 2 @ target**2)
    hopeful[0] = -np.inf
    return candidates[np.argsort(hopeful, kind="stable")[:NEAR]]


def _most_together(surfaces: np.ndarray, at_choice: np.ndarray, count: int) -> list[int]:
    """Places of the mixtures with the greatest expected improvement together, found one after another."""
    order: list[int] = []
    served = at_choice.copy()
    for _ in range(count):
        drop = np.maximum(served[:, None] - surfaces, 0).mean(axis=0)
        drop[order] = -1
        order.append(int(drop.argmax()))
        served = np.minimum(served, surfaces[:, order[-1]])
    return order


def _named(domains: Sequence[str], weights: np.ndarray) -> dict[str, float]:
    return dict(zip(domains, weights.tolist(), strict=True))
