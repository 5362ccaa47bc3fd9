"""A law of losses under schedules, with or without an effect of order, as tables of runs."""

from pathlib import Path

import numpy as np
import pandas as pd

from mashbill.config import PlanConfig
from mashbill.mixtures import ScheduleTable, draw_mixtures
from mashbill.mixtures.design import spread_over_phases

DOMAINS = SETS = ("scarce", "plenty", "other")
TRANSFER = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]])
TOKENS = 1_000_000


def law(weights: np.ndarray, *, order: bool) -> np.ndarray:
    """[schedules, phases, sets] losses at the phases' ends, of [schedules, phases, domains].

    With order, a loss goes a part of the way to what the phase's mixture would end in, so that what is read
    last counts most. Without, it depends on what has been read in all.
    """
    losses = np.empty((*weights.shape[:2], len(SETS)))
    before, read = np.full((len(weights), len(SETS)), 6.0), np.zeros((len(weights), len(SETS)))
    for phase in range(weights.shape[1]):
        read = read + weights[:, phase] @ TRANSFER.T / weights.shape[1]
        ends = 2.5 + 0.5 * (0.05 + weights[:, phase] @ TRANSFER.T) ** -0.5
        before = before + 0.6 * (ends - before)
        losses[:, phase] = before if order else 2.5 + 0.5 * (0.05 + read) ** -0.5
    return losses


def write_tables(folder: Path, *, order: bool, runs: int = 24, phases: int = 2, seed: int = 0) -> list[Path]:
    """``schedules.csv`` and ``trajectories.csv`` of runs under the law, with a little noise."""
    config = PlanConfig(phases=phases)
    mixtures = draw_mixtures(np.full(len(DOMAINS), 1 / len(DOMAINS)), runs, config, seed=seed)
    weights = spread_over_phases(mixtures, config, seed)
    ScheduleTable(np.arange(runs), DOMAINS, np.full(weights.shape[:2], 1 / phases), weights).write(
        folder / "schedules.csv"
    )
    losses = law(weights, order=order) + np.random.default_rng(seed).normal(
        0, 0.01, (runs, phases, len(SETS))
    )
    points = pd.DataFrame(losses.reshape(-1, len(SETS)), columns=list(SETS))
    points.insert(0, "index", np.repeat(np.arange(runs), phases))
    points.insert(1, "tokens", np.tile((np.arange(phases) + 1) * TOKENS // phases, runs))
    points.to_csv(folder / "trajectories.csv", index=False)
    return [folder / "schedules.csv", folder / "trajectories.csv"]
