"""Which mixtures to try: RegMix's synthesis, and three designs of our own.

- ``regmix``: as RegMix's script draws them (``mixtures/synthesis.py``).
- ``maximin``: of some times as many draws around the natural proportions the ones that lie farthest apart, in
  roots of the weights, as a loss bends where a weight is near 0. The draws' strengths lie half-way, by their
  logarithms, between RegMix's and those of ``around-natural``.
- ``around-natural``: a Dirichlet whose strength counts for each domain, so that mixtures of many domains stay
  mixtures of many.
- ``space-filling``: evenly over all of the simplex.

Which is best for so many proxies was measured: docs/decisions/0014-designs-of-a-sweep.md.

With several phases, each mixture's text is spread over them at random while the mixture of the whole run
stays: what the losses owe to the order is then not mixed up with what they owe to the amounts.

Source of maximin: Johnson, Moore and Ylvisaker (1990), Minimax and maximin distance designs; picked one after
another, as in Mueller's coffee-house designs (2001).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count as counted
from typing import Self

import numpy as np

from mashbill.config import PlanConfig
from mashbill.errors import ConfigError
from mashbill.mixtures.dirichlet import draw_around, tempered
from mashbill.mixtures.limits import within_ceiling
from mashbill.mixtures.synthesis import synthesise

PLAN_TAG, PHASE_TAG, POOL_TAG = 101, 102, 104
MIN_DISTANCE = 1e-3
ATTEMPTS = 1_000  # draws refused one after another
FIRST_POINTS = 4  # of a Sobol sequence, as a power of 2
DRAWS_A_PICK, PICKS = 4, 256  # draws of which one is picked, and picks from the same draws at most
BALANCING = 200


def draw_mixtures(
    natural: np.ndarray, count: int, config: PlanConfig, *, seed: int, ceiling: np.ndarray | None = None
) -> np.ndarray:
    """Mixtures to try, by the config's design.

    Args:
        natural: [domains] natural proportions.
        count: mixtures to draw.
        config: design, temperature, strengths and least weight.
        seed: seed of the draw.
        ceiling: [domains] largest weights; None means no limit.
    Returns:
        [count, domains]; rows sum to 1, no two nearly alike, weights 0 or at least the least weight.
    Raises:
        ConfigError: so many different mixtures cannot be drawn.
    """
    if config.design == "regmix":
        return synthesise(natural, count, config, seed=seed, ceiling=ceiling)
    drawing = _Drawing.of(natural, config, seed=seed, ceiling=ceiling)
    designs = {
        "maximin": drawing.maximin(min(count, PICKS)),
        "around-natural": drawing.around_natural(),
        "space-filling": drawing.space_filling(),
    }
    drawn, result = designs[config.design], np.empty((count, len(natural)))
    found = refused = 0
    while found < count:
        weights = drawing.within(next(drawn)[None])[0]
        small = ((weights > 0) & (weights < config.min_weight)).any()
        if small or (np.abs(result[:found] - weights).sum(axis=1) <= MIN_DISTANCE).any():
            refused += 1
            if refused == ATTEMPTS:
                what = f"{count} different mixtures cannot be drawn"
                raise ConfigError(
                    "plan.mixtures", what, "lower it or plan.min_weight, or raise plan.max_epochs"
                )
            continue
        result[found], found, refused = weights, found + 1, 0
    return result


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


@dataclass(frozen=True)
class _Drawing:
    """Mixtures without end, by each of our designs.

    Attributes:
        prior: [domains] tempered natural proportions.
        highest: [domains] largest weights; 0 where the least weight is above.
        config: strengths and least weight.
        seed: seed of the draw.
    """

    prior: np.ndarray
    highest: np.ndarray
    config: PlanConfig
    seed: int

    @classmethod
    def of(cls, natural: np.ndarray, config: PlanConfig, *, seed: int, ceiling: np.ndarray | None) -> Self:
        """What is drawn around natural proportions under a ceiling."""
        highest = np.ones(len(natural)) if ceiling is None else ceiling
        usable = np.where(highest < config.min_weight, 0.0, highest)
        highest = usable if usable.sum() >= 1 else highest
        return cls(tempered(natural, config.temperature), highest, config, seed)

    def around_natural(self) -> Iterator[np.ndarray]:
        """[domains] each, the i-th a function of (seed, i)."""
        for i in counted():
            random = np.random.default_rng([self.seed, PLAN_TAG, i])
            strength = self._strengths(random, 1) * len(self.prior)
            yield draw_around(random, self.prior[None] * strength)[0]

    def space_filling(self) -> Iterator[np.ndarray]:
        """[domains] each: a Sobol sequence, made exponential and normalised."""
        from scipy.stats import qmc

        sequence, power = qmc.Sobol(len(self.prior), seed=self.seed), FIRST_POINTS
        points = sequence.random_base2(power)
        while True:
            spacings = -np.log(np.clip(points, 1e-12, 1 - 1e-12))
            yield from spacings / spacings.sum(axis=1, keepdims=True)
            points = sequence.random_base2(power)  # as many as there were, so that all together stay even
            power += 1

    def maximin(self, picks: int) -> Iterator[np.ndarray]:
        """[domains] each: the draw nearest to the prior, then always the one farthest from those before it.

        After so many picks others are drawn.
        """
        middle = np.sqrt(len(self.prior))
        for block in counted():
            random = np.random.default_rng([self.seed, POOL_TAG, block])
            strength = self._strengths(random, picks * DRAWS_A_PICK) * middle
            roots = np.sqrt(self.within(draw_around(random, self.prior * strength[:, None])))
            nearest = np.full(len(roots), np.inf)
            place = int(((roots - np.sqrt(self.prior)) ** 2).sum(axis=1).argmin())
            for _ in range(picks):
                yield roots[place] ** 2
                nearest = np.minimum(nearest, ((roots - roots[place]) ** 2).sum(axis=1))
                place = int(nearest.argmax())

    def within(self, mixtures: np.ndarray) -> np.ndarray:
        """[mixtures, domains] under the ceiling, small weights 0."""
        lowered = within_ceiling(mixtures, self.highest)
        large = np.where(lowered < self.config.min_weight, 0.0, lowered)
        large = np.where(large.any(axis=1, keepdims=True), large, lowered)
        return within_ceiling(large / large.sum(axis=1, keepdims=True), self.highest)

    def _strengths(self, random: np.random.Generator, count: int) -> np.ndarray:
        """[count] log-uniform between the config's bounds."""
        low, high = np.log(self.config.min_strength), np.log(self.config.max_strength)
        strengths: np.ndarray = np.exp(random.uniform(low, high, count))
        return strengths
