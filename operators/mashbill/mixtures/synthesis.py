"""RegMix's own rule for the mixtures of a sweep, as its script has it.

A Dirichlet around the tempered natural proportions, whose concentrations sum to the strength itself, whatever
the number of domains: most mixtures have a few domains. Draws that take more than 15 times a natural
proportion are rejected, small weights become 0, the others multiples of the least weight, equal ones are
dropped, and of 100 times as many draws as are needed the mixtures are picked at random.

Source: sail-sg/regmix, mixture_config/synthesize_mixture.py. How the mixtures that it published differ from
what it draws: docs/decisions/0014-designs-of-a-sweep.md.
"""

import numpy as np

from mashbill.config import PlanConfig
from mashbill.errors import ConfigError
from mashbill.mixtures.dirichlet import draw_around, tempered
from mashbill.mixtures.limits import within_ceiling

SYNTHESIS_TAG = 103
STRENGTHS = 15
DRAWS_A_MIXTURE = 100
MOST_USE = 15.0  # times a domain's natural proportion
BLOCK = 20_000
NO_GRID = 1e-9  # multiples of the least weight; of this, where there is none


def synthesise(
    natural: np.ndarray, count: int, config: PlanConfig, *, seed: int, ceiling: np.ndarray | None = None
) -> np.ndarray:
    """Mixtures by RegMix's rule.

    The ceiling is our addition: what is left of the draws is brought under it before small weights become 0.

    Args:
        natural: [domains] natural proportions.
        count: mixtures to draw.
        config: temperature, least and greatest strength, and least weight.
        seed: seed of the draws.
        ceiling: [domains] largest weights; None means no limit but RegMix's own.
    Returns:
        [count, domains]; rows sum to 1.
    Raises:
        ConfigError: too few draws are left.
    """
    random = np.random.default_rng([seed, SYNTHESIS_TAG])
    grid = config.min_weight or NO_GRID
    prior = natural / natural.sum()
    draws = count * DRAWS_A_MIXTURE
    kept = [
        _multiples(_within_use(prior, size, config, random=random), grid, ceiling)
        for size in (min(BLOCK, draws - start) for start in range(0, draws, BLOCK))
    ]
    different = np.unique(np.concatenate(kept), axis=0)
    if len(different) < count:
        raise ConfigError(
            "plan.mixtures",
            f"{count} different mixtures cannot be drawn as RegMix draws them: {len(different)} of {draws:,} "
            f"draws differ and keep under {MOST_USE:g} times the natural proportions",
            'lower it or plan.min_weight, or choose plan.design = "maximin"',
        )
    chosen = different[random.choice(len(different), count, replace=False)].astype(np.float64)
    chosen /= chosen.sum(axis=1, keepdims=True)
    return chosen if ceiling is None else within_ceiling(chosen, ceiling)


def _within_use(
    prior: np.ndarray, draws: int, config: PlanConfig, *, random: np.random.Generator
) -> np.ndarray:
    """[at most draws, domains] those draws that take no domain too often."""
    strengths = np.geomspace(config.min_strength, config.max_strength, STRENGTHS)
    strength = random.choice(strengths, (draws, 1))
    drawn = draw_around(random, tempered(prior, config.temperature) * strength)
    rows: np.ndarray = drawn[(drawn <= MOST_USE * prior).all(axis=1)]
    return rows


def _multiples(drawn: np.ndarray, grid: float, ceiling: np.ndarray | None) -> np.ndarray:
    """[mixtures, domains] weights in whole multiples of the grid, small ones 0."""
    weights = drawn if ceiling is None else within_ceiling(drawn, ceiling)
    weights = np.where(weights < grid, 0.0, weights)
    weights = weights[weights.any(axis=1)]
    weights /= weights.sum(axis=1, keepdims=True)
    return np.round(weights / grid).astype(np.int64)
