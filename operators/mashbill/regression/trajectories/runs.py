"""Runs cut into phases: what each read in a phase, and every loss at its end; from tables of schedules and
trajectories."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mashbill.errors import DataError
from mashbill.mixtures import ScheduleTable

NEAR = 0.02  # of a run: a loss measured so close to a phase's end counts as its loss
POINT = ("index", "step", "tokens")


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

    def target_weights(self, target: dict[str, float], where: str) -> np.ndarray:
        """[sets] weights of a target.

        Raises:
            DataError: a name is no column of the losses.
        """
        missing = [name for name in target if name not in self.sets]
        if missing:
            raise DataError(
                f"{where}: column {missing[0]}", "is missing", f"choose among {', '.join(self.sets)}"
            )
        return np.array([target.get(name, 0.0) for name in self.sets])


def read_phased_runs(schedules: Path, trajectories: Path, phases: int = 1) -> PhasedRuns:
    """Join a table of schedules with one of trajectories; runs that did not reach the end are left out.

    Args:
        schedules: CSV of schedules, or of mixtures.
        trajectories: CSV with columns index, step, tokens and one a set; several rows a run.
        phases: equal phases that runs on one mixture are cut into.
    Raises:
        DataError: a run has no schedule, phases differ from run to run, or no loss was measured at a phase's
            end.
    """
    table = ScheduleTable.read(schedules)
    if np.ptp(table.shares, axis=0).max() > 1e-6:
        raise DataError(
            f"{schedules}: column share",
            "differs from one index to another",
            "give every index phases of the same shares",
        )
    shares, weights = table.shares[0], table.weights
    if len(shares) == 1 and phases > 1:
        shares, weights = np.full(phases, 1 / phases), np.repeat(weights, phases, axis=1)
    points, sets = _read_points(trajectories)
    alone = np.setdiff1d(points["index"], table.index)
    if len(alone):
        raise DataError(
            f"{trajectories}: index {alone[0]}", f"is not in {schedules}", "give the schedules of all runs"
        )
    found = {int(index): group for index, group in points.groupby("index")}
    length = float(points["tokens"].max())
    losses = np.full((len(table.index), len(shares), len(sets)), np.nan)
    for row, index in enumerate(table.index):
        group = found.get(int(index))
        if group is None or float(group["tokens"].max()) < (1 - NEAR) * length:
            continue  # it failed on the way
        losses[row] = _at_ends(group, shares, length, sets, f"{trajectories}: index {index}")
    kept = ~np.isnan(losses).any(axis=(1, 2))
    return PhasedRuns(table.index[kept], table.domains, sets, shares, weights[kept], losses[kept])


def _read_points(path: Path) -> tuple[Any, tuple[str, ...]]:
    """The rows of a table of trajectories, and the names of its sets."""
    import pandas as pd

    try:
        frame = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise DataError(
            str(path), f"cannot be read ({error})", "give a CSV with columns index, tokens and one a set"
        ) from error
    for column in ("index", "tokens"):
        if column not in frame:
            raise DataError(str(path), f"has no column {column}", "give columns index, tokens and one a set")
    for column in frame:
        if not pd.api.types.is_numeric_dtype(frame[column]):
            raise DataError(
                f"{path}: column {column}", "holds something that is no number", "correct the cell"
            )
        low = np.isinf(frame[column]) | (column not in POINT and frame[column] <= 0)
        if np.any(low):
            row = frame[low].iloc[0]
            raise DataError(
                f"{path}: index {row['index']:g}, column {column}",
                f"is {row[column]:g}",
                "give losses above 0, or leave it empty",
            )
    return frame, tuple(str(c) for c in frame.columns if c not in POINT)


def _at_ends(points: Any, shares: np.ndarray, length: float, sets: tuple[str, ...], where: str) -> np.ndarray:
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
