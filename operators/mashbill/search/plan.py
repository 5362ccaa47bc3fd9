"""Mixtures planned from the start: as many as the config asks for, around the natural proportions."""

import json
from pathlib import Path

import numpy as np

from mashbill.artifacts import Counts, StageRun
from mashbill.config import PlanConfig
from mashbill.mixtures import MixtureTable, ScheduleTable, draw_mixtures, epoch_ceiling
from mashbill.mixtures.design import spread_over_phases


def plan(run: StageRun) -> Counts:
    """Draw the sweep's mixtures from the natural proportions of the tokenized text."""
    sets = json.loads((run.inputs["tokenize"].path / "tokens.json").read_text())["sets"]
    tokens = {name: entry["train"]["tokens"] for name, entry in sets.items() if entry["kind"] == "domain"}
    have = np.array(list(tokens.values()), np.float64)
    config = run.config.plan
    ceiling = epoch_ceiling(have, run.config.sweep.tokens, config.max_epochs)
    natural = have / have.sum()
    count = config.count(len(tokens))
    weights = draw_mixtures(natural, count, config, run.config.seed, ceiling=ceiling)
    write_plan(
        MixtureTable(np.arange(count), tuple(tokens), weights), natural, config, run.config.seed, run.output
    )
    return {
        "mixtures": count,
        "domains": len(tokens),
        "limited_domains": int((ceiling < 1).sum()),
        "phases": config.phases,
    }


def write_plan(
    mixtures: MixtureTable, natural: np.ndarray, config: PlanConfig, seed: int, folder: Path
) -> None:
    """Write planned mixtures, the natural one, and, with several phases, how each mixture is spread over
    them.

    Args:
        mixtures: to try.
        natural: [domains] natural proportions.
        config: phases and how unevenly domains fall into them.
        seed: seed of the spread.
        folder: where to write.
    """
    mixtures.write(folder / "mixtures.csv")
    MixtureTable(np.arange(1), mixtures.columns, natural[None]).write(folder / "natural.csv")
    if config.phases > 1:
        phased = spread_over_phases(mixtures.weights, config, seed)
        shares = np.full(phased.shape[:2], 1 / config.phases)
        ScheduleTable(mixtures.index, mixtures.columns, shares, phased).write(folder / "schedules.csv")
