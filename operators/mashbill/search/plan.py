"""Mixtures planned from the start: as many as the config asks for, around the natural proportions."""

import numpy as np

from mashbill.artifacts import Counts, StageRun
from mashbill.config import PlanConfig
from mashbill.mixtures import MixturePlan, MixtureTable, ScheduleTable, draw_mixtures, epoch_ceiling
from mashbill.mixtures.design import spread_over_phases
from mashbill.tokens import TokenStore


def plan_from_the_start(run: StageRun) -> Counts:
    """Draw the sweep's mixtures from the natural proportions of the tokenized text."""
    store, config = TokenStore(run.inputs["tokenize"]), run.config.plan
    have = store.train_amounts()
    ceiling = epoch_ceiling(have, run.config.sweep.tokens, config.max_epochs)
    natural, count = have / have.sum(), config.count(len(have))
    weights = draw_mixtures(natural, count, config, seed=run.config.seed, ceiling=ceiling)
    table = MixtureTable(np.arange(count), store.domains, weights)
    planned(table, natural, config, seed=run.config.seed).write(run.output)
    return {
        "mixtures": count,
        "domains": len(have),
        "limited_domains": int((ceiling < 1).sum()),
        "phases": config.phases,
    }


def planned(mixtures: MixtureTable, natural: np.ndarray, config: PlanConfig, *, seed: int) -> MixturePlan:
    """The plan of some mixtures; with several phases, each is spread over them.

    Args:
        mixtures: to try.
        natural: [domains] natural proportions.
        config: phases and how unevenly domains fall into them.
        seed: seed of the spread.
    """
    if config.phases == 1:
        return MixturePlan(mixtures, natural)
    phased = spread_over_phases(mixtures.weights, config, seed)
    shares = np.full(phased.shape[:2], 1 / config.phases)
    return MixturePlan(mixtures, natural, ScheduleTable(mixtures.index, mixtures.columns, shares, phased))
