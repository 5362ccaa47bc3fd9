"""The search for the best mixture: RegMix's simulation, and direct optimisation on the simplex, within
limits.

RegMix's candidates are draws from the Dirichlet of the natural proportions themselves, most of them of a few
domains. A direct search starts from the best of such and of mixtures of many domains, so that it finds an
optimum of either kind.

Source of the simulation: sail-sg/regmix, regression_fitting/regression.ipynb.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mashbill.mixtures.bundle import Bundle
from mashbill.mixtures.dirichlet import draw_around, tempered
from mashbill.regression.limits import Limits

CANDIDATE_TAG, SEARCH_TAG = 503, 505
ROUNDS, DRAWS, ELITES = 12, 2_000, 50
LOOSEST, TIGHTEST = 30.0, 30_000.0  # concentration of the draws in the first and the last round
LEAST_SHARE = 1e-4
TEMPERATURE, WEAKEST, STRONGEST = 0.5, 0.1, 5.0
"""Of candidates of many domains: power of the natural proportions, and bounds of each domain's strength."""

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
        """[count, domains] candidates of few and of many domains, within the limits."""
        return self._expand(self._drawn(candidates, count, seed))

    def mean_of_best(self, objective: Score, count: int, best: int, *, seed: int) -> np.ndarray:
        """[domains] the mean of the best of so many of RegMix's candidates, as RegMix chooses."""
        drawn = self._drawn(simulate, count, seed)
        chosen = drawn[np.argsort(objective(self._expand(drawn)), kind="stable")[:best]]
        _, limits = self._reduced
        return self._expand(limits.applied(chosen.mean(axis=0)[None]))[0]

    def minimise(self, objective: Score, count: int, *, seed: int) -> np.ndarray:
        """[domains] where a direct search ends that starts from the best of so many candidates."""

        def reduced(mixtures: np.ndarray) -> np.ndarray:
            return objective(self._expand(mixtures))

        drawn = self._drawn(candidates, count, seed)
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

    def _drawn(self, draw: Callable[[np.ndarray, int, int], np.ndarray], count: int, seed: int) -> np.ndarray:
        """[count, 1 + free, or domains] mixtures of what is free."""
        natural, limits = self._reduced
        return limits.applied(draw(natural, count, seed))

    def _expand(self, mixtures: np.ndarray) -> np.ndarray:
        """[mixtures, domains] of mixtures of what is free."""
        return mixtures if self.bundle is None else self.bundle.expand(mixtures)


def simulate(natural: np.ndarray, count: int, seed: int) -> np.ndarray:
    """[count, domains] RegMix's candidates: draws from the Dirichlet of the [domains] natural proportions."""
    random = np.random.default_rng([seed, CANDIDATE_TAG])
    return draw_around(random, np.repeat(natural[None], count, axis=0))


def candidates(natural: np.ndarray, count: int, seed: int) -> np.ndarray:
    """[count, domains] half of them RegMix's, half of many domains: around the tempered natural proportions,
    with a strength for each domain."""
    few = simulate(natural, count - count // 2, seed)
    random = np.random.default_rng([seed, CANDIDATE_TAG, 0])
    strength = np.exp(random.uniform(np.log(WEAKEST), np.log(STRONGEST), (count // 2, 1)))
    many = draw_around(random, tempered(natural, TEMPERATURE) * strength * len(natural))
    return np.concatenate([few, many])


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
