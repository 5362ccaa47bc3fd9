"""The search for the best mixture: RegMix's simulation, and direct optimisation on the simplex, within
limits."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mashbill.config import PlanConfig
from mashbill.mixtures import within_ceiling
from mashbill.mixtures.bundle import Bundle
from mashbill.regression.limits import Limits

CANDIDATE_TAG, SEARCH_TAG = 503, 505
ROUNDS, DRAWS, ELITES = 12, 2_000, 50
LOOSEST, TIGHTEST = 30.0, 30_000.0  # concentration of the draws in the first and the last round
LEAST_SHARE = 1e-4

Score = Callable[[np.ndarray], np.ndarray]
"""[mixtures, domains] to [mixtures], lower is better."""


@dataclass(frozen=True)
class SearchSpace:
    """The mixtures among which one is chosen.

    Attributes:
        natural: [domains] proportions around which mixtures are drawn.
        limits: what they keep to.
        bundle: domains whose ratios stay; None means that all are free.
    """

    natural: np.ndarray
    limits: Limits
    bundle: Bundle | None = None

    def draw(self, count: int, seed: int) -> np.ndarray:
        """[count, domains] mixtures around the natural one, within the limits."""
        return self._expand(self._drawn(count, seed))

    def mean_of_best(self, objective: Score, count: int, best: int, *, seed: int) -> np.ndarray:
        """[domains] the mean of the best of so many drawn mixtures, as RegMix chooses."""
        drawn = self._drawn(count, seed)
        chosen = drawn[np.argsort(objective(self._expand(drawn)), kind="stable")[:best]]
        _, limits = self._reduced
        return self._expand(limits.applied(chosen.mean(axis=0)[None]))[0]

    def minimise(self, objective: Score, count: int, *, seed: int) -> np.ndarray:
        """[domains] where a direct search ends that starts from the best of so many drawn mixtures."""

        def reduced(mixtures: np.ndarray) -> np.ndarray:
            return objective(self._expand(mixtures))

        drawn = self._drawn(count, seed)
        _, limits = self._reduced
        found = minimise(reduced, drawn[int(reduced(drawn).argmin())], limits, seed=seed)
        return self._expand(found[None])[0]

    @property
    def _reduced(self) -> tuple[np.ndarray, Limits]:
        """Natural proportions and limits of what is free: the bundle as one domain, and the others."""
        if self.bundle is None:
            return self.natural, self.limits
        limits = Limits(*self.bundle.limits(self.limits.floor, self.limits.highest))
        return self.bundle.reduce(self.natural), limits

    def _drawn(self, count: int, seed: int) -> np.ndarray:
        """[count, 1 + free, or domains] mixtures of what is free."""
        natural, limits = self._reduced
        return limits.applied(simulate(natural, count, PlanConfig(), seed=seed))

    def _expand(self, mixtures: np.ndarray) -> np.ndarray:
        """[mixtures, domains] of mixtures of what is free."""
        return mixtures if self.bundle is None else self.bundle.expand(mixtures)


def simulate(natural: np.ndarray, count: int, config: PlanConfig, *, seed: int) -> np.ndarray:
    """[count, domains] Dirichlet draws around the tempered natural proportions, at strengths as in the
    plan."""
    random = np.random.default_rng([seed, CANDIDATE_TAG])
    prior = natural**config.temperature
    prior /= prior.sum()
    low, high = np.log(config.min_strength), np.log(config.max_strength)
    strength = np.exp(random.uniform(low, high, (count, 1)))
    drawn = draw_around(random, np.maximum(prior * strength * len(prior), 1e-3))
    return within_ceiling(drawn, np.ones(len(natural)))


def draw_around(random: np.random.Generator, concentrations: np.ndarray) -> np.ndarray:
    """[draws, domains] one draw from the Dirichlet of each row of concentrations.

    They may be so small that all gammas vanish.
    """
    gammas = random.gamma(concentrations) + np.finfo(np.float64).tiny
    return gammas / gammas.sum(axis=1, keepdims=True)


def minimise(objective: Score, start: np.ndarray, limits: Limits, *, seed: int) -> np.ndarray:
    """Direct optimisation on the simplex by the cross-entropy method: draws around the mean of the best, ever
    closer.

    Needs no gradient, so it serves every regressor.

    Args:
        objective: what is minimised.
        start: [domains] where to begin; the answer is never worse.
        limits: of the mixtures.
        seed: seed of the draws.
    Returns:
        [domains] the best mixture met.
    """
    random = np.random.default_rng([seed, SEARCH_TAG])
    best = limits.applied(start[None])[0]
    mean, lowest = best, float(objective(best[None])[0])
    for strength in np.geomspace(LOOSEST, TIGHTEST, ROUNDS):
        concentrations = np.repeat(np.maximum(mean, LEAST_SHARE)[None] * strength, DRAWS, axis=0)
        drawn = limits.applied(draw_around(random, concentrations))
        value = objective(drawn)
        order = np.argsort(value, kind="stable")[:ELITES]
        mean = drawn[order].mean(axis=0)
        if value[order[0]] < lowest:
            best, lowest = drawn[order[0]], float(value[order[0]])
    return best
