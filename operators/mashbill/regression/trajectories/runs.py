"""Runs cut into phases: what each read in a phase, and every loss at its end; from schedules and
trajectories."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mashbill.errors import DataError
from mashbill.mixtures import ScheduleTable, TrajectoryTable
from mashbill.mixtures.outlier import OutlierLoss
from mashbill.regression.outliers import find_outliers

NEAR = 0.02  # of a run: a loss measured so close to a phase's end counts as its loss


@dataclass(frozen=True)
class PhasedRuns:
    """Finished runs with the same phases.

    Attributes:
        index: [runs].
        domains, sets: names of the weights' and of the losses' columns.
        shares: [phases] of a run; they sum to 1.
        weights: [runs, phases, domains].
        losses: [runs, phases, sets] at the end of each phase.
    """

    index: np.ndarray
    domains: tuple[str, ...]
    sets: tuple[str, ...]
    shares: np.ndarray
    weights: np.ndarray
    losses: np.ndarray

    @property
    def means(self) -> np.ndarray:
        """[runs, domains] mixture of each whole run."""
        return np.einsum("p,rpd->rd", self.shares, self.weights)


def read_phased_runs(schedules: Path, trajectories: Path, phases: int = 1) -> PhasedRuns:
    """Join a CSV of schedules, or of mixtures, with one of trajectories; see ``phased_runs``."""
    table = ScheduleTable.read(schedules)
    return phased_runs(table, TrajectoryTable.read(trajectories), phases, where=str(schedules))


def phased_runs(
    table: ScheduleTable, trajectories: TrajectoryTable, phases: int = 1, *, where: str = "the plan"
) -> PhasedRuns:
    """Join schedules with trajectories; runs that did not reach the end are left out.

    Args:
        table: what each run followed.
        trajectories: losses on the way; several rows a run.
        phases: equal phases that runs on one mixture are cut into.
        where: where the schedules are from, for errors.
    Raises:
        DataError: a run has no schedule, phases differ from run to run, or no loss was measured at a phase's
            end.
    """
    if np.ptp(table.shares, axis=0).max() > 1e-6:
        mend = "give every index phases of the same shares"
        raise DataError(f"{where}: column share", "differs from one index to another", mend)
    shares, weights = table.shares[0], table.weights
    if len(shares) == 1 and phases > 1:
        shares, weights = np.full(phases, 1 / phases), np.repeat(weights, phases, axis=1)
    sets, source = trajectories.sets, trajectories.source
    found = trajectories.runs()
    alone = np.setdiff1d(list(found), table.index)
    if len(alone):
        raise DataError(f"{source}: index {alone[0]}", f"is not in {where}", "give the schedules of all runs")
    length = float(trajectories.frame["tokens"].max())
    losses = np.full((len(table.index), len(shares), len(sets)), np.nan)
    for row, index in enumerate(table.index):
        points = found.get(int(index))
        if points is None or float(points["tokens"].max()) < (1 - NEAR) * length:
            continue  # it failed on the way
        losses[row] = _at_ends(points, shares, length, sets=sets, where=f"{source}: index {index}")
    kept = ~np.isnan(losses).any(axis=(1, 2))
    return PhasedRuns(table.index[kept], table.domains, sets, shares, weights[kept], losses[kept])


def usual_runs(runs: PhasedRuns) -> tuple[PhasedRuns, tuple[OutlierLoss, ...]]:
    """The runs without those of which a loss is an outlier, and these losses.

    A whole run goes, as a phase's losses are what the next starts from.
    """
    count, phases = len(runs.index), len(runs.shares)
    losses = runs.losses.reshape(count, -1)
    outliers = find_outliers(runs.weights.reshape(count, -1), losses)
    names = [f"{name} after phase {phase + 1}" for phase in range(phases) for name in runs.sets]
    found = outliers.listed(runs.index, names, losses, signs=np.ones(len(names)))
    kept = ~outliers.found.any(axis=1)
    return replace(runs, index=runs.index[kept], weights=runs.weights[kept], losses=runs.losses[kept]), found


def _at_ends(
    points: Any, shares: np.ndarray, length: float, *, sets: tuple[str, ...], where: str
) -> np.ndarray:
    """[phases, sets] losses of one run at the end of each phase."""
    tokens, rows = points["tokens"].to_numpy(np.float64), []
    for phase, end in enumerate(np.cumsum(shares) * length):
        nearest = int(np.argmin(np.abs(tokens - end)))
        if abs(tokens[nearest] - end) > NEAR * length:
            mend = "measure there (sweep.evaluations a multiple of the phases), or ask for other phases"
            raise DataError(
                where, f"was not measured at the end of phase {phase + 1}, at {end:,.0f} tokens", mend
            )
        rows.append(points[list(sets)].to_numpy(np.float64)[nearest])
    return np.stack(rows)
