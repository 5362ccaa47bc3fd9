"""Planning again when the domains changed: what a finished model keeps, and which of its runs still count."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mashbill.config import PlanConfig
from mashbill.mixtures import LossTable, MixtureTable, SweepRuns, draw_mixtures
from mashbill.mixtures.bundle import Bundle, bundle_domains
from mashbill.regression.fitted import FittedRegression

GONE_WEIGHT = 1e-3  # a run with less than this on domains that are gone or revised still counts
KEPT_FROM = 1_000_000_000  # index of the first run that is kept, out of the way of new ones


@dataclass(frozen=True)
class Replan:
    """A plan that uses an earlier model.

    Attributes:
        bundle: what is searched again, and what keeps its ratios.
        mixtures: new ones to train.
        kept: earlier runs that still count.
    """

    bundle: Bundle
    mixtures: MixtureTable
    kept: SweepRuns

    @property
    def searched(self) -> tuple[str, ...]:
        """Domains whose weights are searched again."""
        return self.bundle.names[1:]

    @property
    def ratios(self) -> dict[str, float]:
        """Ratios of the domains that keep them."""
        pairs = zip(self.bundle.domains, self.bundle.ratios.tolist(), strict=True)
        return {name: ratio for name, ratio in pairs if name not in self.searched}


def plan_again(
    fitted: FittedRegression,
    chosen: Mapping[str, float],
    tokens: Mapping[str, float],
    *,
    revised: Sequence[str] = (),
    seed: int,
    ceiling: np.ndarray | None = None,
    config: PlanConfig,
) -> Replan:
    """Plan mixtures of what changed.

    Args:
        fitted: the earlier regression.
        chosen: the mixture that was chosen by it.
        tokens: today's domains and their tokens.
        revised: domains whose text changed.
        seed: seed of the draw.
        ceiling: [domains] largest weights; None means no limit.
        config: how many mixtures, and how they are drawn.
    Raises:
        ConfigError: fewer than two domains are unchanged, or their ratios don't keep under the ceiling.
    """
    domains = tuple(tokens)
    bundle = bundle_domains(domains, chosen, revised)
    have = np.array(list(tokens.values()))
    natural = bundle.reduce(have / have.sum())
    most = None if ceiling is None else bundle.limits(np.zeros(len(domains)), ceiling)[1]
    count = config.count(len(bundle.names))
    reduced = draw_mixtures(natural, count, config, seed=seed, ceiling=most)
    kept = earlier_runs(fitted, domains, revised)
    return Replan(bundle, MixtureTable(np.arange(count), domains, bundle.expand(reduced)), kept)


def earlier_runs(fitted: FittedRegression, domains: Sequence[str], revised: Sequence[str]) -> SweepRuns:
    """Earlier runs that read nothing that is gone or revised: their mixtures of today's domains, and their
    losses.

    Args:
        fitted: the earlier regression, with its runs.
        domains: today's.
        revised: domains whose text changed.
    """
    old = fitted.domains
    changed = [i for i, name in enumerate(old) if name not in domains or name in revised]
    rows = np.flatnonzero(fitted.weights[:, changed].sum(axis=1) < GONE_WEIGHT)
    weights = np.zeros((len(rows), len(domains)))
    for place, name in enumerate(domains):
        if name in old and name not in revised:
            weights[:, place] = fitted.weights[rows, old.index(name)]
    index = np.arange(len(rows)) + KEPT_FROM
    weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1e-12)
    losses = LossTable(index, fitted.sets, fitted.losses[rows])
    return SweepRuns(MixtureTable(index, tuple(domains), weights), losses)
