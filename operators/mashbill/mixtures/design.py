"""Which mixtures to try: RegMix's synthesis, a Dirichlet around the natural proportions at many strengths, or
all of the simplex evenly.

Source: RegMix (sail-sg/regmix): prior raised to a temperature of 0.5, strength log-uniform in 0.1..5, small
weights set to zero.

With several phases, each mixture's text is spread over them at random while the mixture of the whole run
stays: what the losses owe to the order is then not mixed up with what they owe to the amounts.
"""

import numpy as np

from mashbill.config import PlanConfig
from mashbill.errors import ConfigError
from mashbill.mixtures.limits import within_ceiling

PLAN_TAG, PHASE_TAG = 101, 102
MIN_DISTANCE = 1e-3
ATTEMPTS = 1_000
BALANCING = 200


def draw_mixtures(
    natural: np.ndarray, count: int, config: PlanConfig, *, seed: int, ceiling: np.ndarray | None = None
) -> np.ndarray:
    """Mixtures to try; around the natural one, the i-th is a function of (seed, i) and of those before it.

    Args:
        natural: [domains] natural proportions.
        count: mixtures to draw.
        config: design, temperature, strengths and least weight.
        seed: seed of the draw.
        ceiling: [domains] largest weights; None means no limit.
    Returns:
        [count, domains]; rows sum to 1, no two nearly alike.
    Raises:
        ConfigError: so many different mixtures cannot be drawn.
    """
    if config.design == "space-filling":
        spread = fill_simplex(len(natural), count, seed)
        return spread if ceiling is None else within_ceiling(spread, ceiling)
    prior = np.asarray(natural, np.float64) ** config.temperature
    prior /= prior.sum()
    drawn = np.empty((count, len(prior)))
    for i in range(count):
        generator = np.random.default_rng([seed, PLAN_TAG, i])
        for _ in range(ATTEMPTS):
            weights = _draw(prior, config, generator, ceiling=ceiling)
            if i == 0 or np.abs(drawn[:i] - weights).sum(axis=1).min() > MIN_DISTANCE:
                drawn[i] = weights
                break
        else:
            raise ConfigError(
                "plan.mixtures",
                f"{count} different mixtures cannot be drawn",
                "lower it, or raise plan.max_epochs",
            )
    return drawn


def spread_over_phases(mixtures: np.ndarray, config: PlanConfig, seed: int) -> np.ndarray:
    """Each mixture's domains spread over equal phases, the i-th a function of (seed, i); some hardly, some
    into one phase each.

    How much of a domain falls into each phase is drawn; rows and columns are then scaled in turn until every
    phase is full and every domain has its amount (iterative proportional fitting).

    Args:
        mixtures: [mixtures, domains] of whole runs.
        config: phases and the concentrations of the spread.
        seed: seed of the draw.
    Returns:
        [mixtures, phases, domains]; rows sum to 1, and their mean over the phases is the mixture.
    """
    result = np.empty((len(mixtures), config.phases, mixtures.shape[1]))
    for i, mixture in enumerate(mixtures):
        generator = np.random.default_rng([seed, PHASE_TAG, i])
        strength = np.exp(generator.uniform(np.log(config.min_spread), np.log(config.max_spread)))
        phases = (generator.gamma(strength, size=result.shape[1:]) + 1e-9) * mixture
        for _ in range(BALANCING):
            phases *= mixture / np.maximum(phases.mean(axis=0), 1e-300)
            phases /= phases.sum(axis=1, keepdims=True)
        result[i] = phases
    return result


def fill_simplex(domains: int, count: int, seed: int) -> np.ndarray:
    """[count, domains] mixtures spread evenly over all of the simplex: a Sobol sequence, made exponential and
    normalised."""
    from scipy.stats import qmc

    points = qmc.Sobol(domains, seed=seed).random_base2(max(1, int(np.ceil(np.log2(max(count, 2))))))[:count]
    spacings = -np.log(np.clip(points, 1e-12, 1 - 1e-12))
    return spacings / spacings.sum(axis=1, keepdims=True)


def _draw(
    prior: np.ndarray, config: PlanConfig, generator: np.random.Generator, *, ceiling: np.ndarray | None
) -> np.ndarray:
    strength = np.exp(generator.uniform(np.log(config.min_strength), np.log(config.max_strength)))
    gammas = generator.gamma(np.maximum(prior * strength * len(prior), 1e-3))
    weights: np.ndarray = gammas / gammas.sum() if gammas.sum() > 0 else prior
    if ceiling is not None:
        weights = within_ceiling(weights[None], ceiling)[0]
    weights = np.where(weights < config.min_weight, 0.0, weights)
    weights = weights / weights.sum()
    return weights if ceiling is None else within_ceiling(weights[None], ceiling)[0]
