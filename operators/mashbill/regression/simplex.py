"""The search for the best mixture: RegMix's simulation, and direct optimisation on the simplex, both within
limits."""

from collections.abc import Callable

import numpy as np

from mashbill.config import PlanConfig
from mashbill.mixtures import within_ceiling

CANDIDATE_TAG, SEARCH_TAG = 503, 505
ROUNDS, DRAWS, ELITES = 12, 2_000, 50
LOOSEST, TIGHTEST = 30.0, 30_000.0  # concentration of the draws in the first and the last round
LEAST_SHARE = 1e-4


def simulate(
    natural: np.ndarray, ceiling: np.ndarray, count: int, config: PlanConfig, seed: int
) -> np.ndarray:
    """[count, domains] candidates: Dirichlet around the tempered natural proportions, at strengths as in the
    plan."""
    random = np.random.default_rng([seed, CANDIDATE_TAG])
    prior = natural**config.temperature
    prior /= prior.sum()
    strength = np.exp(random.uniform(np.log(config.min_strength), np.log(config.max_strength), (count, 1)))
    return within_ceiling(draw_around(random, np.maximum(prior * strength * len(prior), 1e-3)), ceiling)


def draw_around(random: np.random.Generator, concentrations: np.ndarray) -> np.ndarray:
    """[draws, domains] one draw from the Dirichlet of each row of concentrations; those may be so small that
    all gammas vanish."""
    gammas = random.gamma(concentrations) + np.finfo(np.float64).tiny
    return gammas / gammas.sum(axis=1, keepdims=True)


def between(weights: np.ndarray, floor: np.ndarray, ceiling: np.ndarray) -> np.ndarray:
    """[mixtures, domains] mixtures brought between floors and ceilings; those that keep to them stay as they
    are.

    What is above a ceiling goes to the others in proportion; what lifts a domain to its floor is taken from
    what the others have above theirs.
    """
    lifted = np.maximum(within_ceiling(weights, ceiling), floor)
    above = lifted - floor
    total = above.sum(axis=1, keepdims=True)
    return lifted - above * np.divide(
        lifted.sum(axis=1, keepdims=True) - 1, total, out=np.zeros_like(total), where=total > 0
    )


def minimise(
    objective: Callable[[np.ndarray], np.ndarray],
    start: np.ndarray,
    floor: np.ndarray,
    ceiling: np.ndarray,
    seed: int,
) -> np.ndarray:
    """Direct optimisation on the simplex by the cross-entropy method: draws around the mean of the best, ever
    closer.

    Needs no gradient, so it serves every regressor.

    Args:
        objective: [mixtures, domains] to [mixtures], lower is better.
        start: [domains] where to begin; the answer is never worse.
        floor, ceiling: [domains] limits.
        seed: seed of the draws.
    Returns:
        [domains] the best mixture met.
    """
    random = np.random.default_rng([seed, SEARCH_TAG])
    best = between(start[None], floor, ceiling)[0]
    mean, lowest = best, float(objective(best[None])[0])
    for strength in np.geomspace(LOOSEST, TIGHTEST, ROUNDS):
        drawn = between(
            draw_around(random, np.repeat(np.maximum(mean, LEAST_SHARE)[None] * strength, DRAWS, axis=0)),
            floor,
            ceiling,
        )
        value = objective(drawn)
        order = np.argsort(value, kind="stable")[:ELITES]
        mean = drawn[order].mean(axis=0)
        if value[order[0]] < lowest:
            best, lowest = drawn[order[0]], float(value[order[0]])
    return best
