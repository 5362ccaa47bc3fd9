"""Planning again when the domains changed: what a finished model keeps, and which of its runs still count."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mashbill.config import PlanConfig
from mashbill.mixtures import LossTable, MixtureTable, draw_mixtures
from mashbill.mixtures.bundle import Bundle, bundle_domains
from mashbill.regression.tables import TableModel

GONE_WEIGHT = 1e-3  # a run with less than this on domains that are gone or revised still counts
KEPT_FROM = 1_000_000  # index of the first run that is kept, out of the way of new ones


@dataclass(frozen=True)
class Replan:
    """A plan that uses an earlier model.

    Attributes:
        bundle: what is searched again, and what keeps its ratios.
        mixtures: new ones to train.
        kept, kept_losses: earlier runs that still count.
    """

    bundle: Bundle
    mixtures: MixtureTable
    kept: MixtureTable
    kept_losses: LossTable


def plan_again(
    model: TableModel,
    chosen: Mapping[str, float],
    tokens: Mapping[str, float],
    *,
    revised: Sequence[str] = (),
    count: int,
    seed: int,
    ceiling: np.ndarray | None = None,
) -> Replan:
    """Plan mixtures of what changed.

    Args:
        model: the earlier regression.
        chosen: the mixture that was chosen by it.
        tokens: today's domains and their tokens.
        revised: domains whose text changed.
        count: mixtures to plan.
        seed: seed of the draw.
        ceiling: [domains] largest weights; None means no limit.
    """
    domains = tuple(tokens)
    bundle = bundle_domains(domains, chosen, revised)
    have = np.array(list(tokens.values()))
    natural = bundle.reduce(have / have.sum())
    most = None if ceiling is None else bundle.limits(np.zeros(len(domains)), ceiling)[1]
    reduced = draw_mixtures(natural, count, PlanConfig(mixtures=count), seed, ceiling=most)
    kept, rows = _runs_that_count(model, domains, revised)
    index = np.arange(len(rows)) + KEPT_FROM
    signs = model.signs
    return Replan(
        bundle,
        MixtureTable(np.arange(count), domains, bundle.expand(reduced)),
        MixtureTable(index, domains, kept),
        LossTable(index, model.fitted.sets, model.fitted.losses[rows] * signs),
    )


def _runs_that_count(model: TableModel, domains: Sequence[str], revised: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """[runs, domains] mixtures of runs that read nothing that is gone or revised, in today's domains, and which runs they are."""
    old = model.fitted.domains
    changed = [i for i, name in enumerate(old) if name not in domains or name in revised]
    rows = np.flatnonzero(model.fitted.weights[:, changed].sum(axis=1) < GONE_WEIGHT)
    weights = np.zeros((len(rows), len(domains)))
    for place, name in enumerate(domains):
        if name in old and name not in revised:
            weights[:, place] = model.fitted.weights[rows, old.index(name)]
    return weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-12), rows
