"""A run that is under way: what it followed, its losses so far, and what the limits still allow."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mashbill.errors import ConfigError, DataError
from mashbill.mixtures import Schedule, ScheduleTable
from mashbill.mixtures.mixture import read_frame
from mashbill.regression.trajectories.runs import PhasedRuns


@dataclass(frozen=True)
class UnderWay:
    """A run of which some phases are done.

    Attributes:
        schedule: what it has followed and would go on with, in the phases of the regression.
        done: phases that are over.
        observed: [sets] losses at the end of the last of them.
        shares: [phases left] of what is left; they sum to 1.
        left: share of the run that is left.
        spent: [domains] read so far, as weights of the whole run.
    """

    schedule: Schedule
    done: int
    observed: np.ndarray
    shares: np.ndarray
    left: float
    spent: np.ndarray


def read_under_way(running: Path | None, observed: Path | None, runs: PhasedRuns) -> UnderWay | None:
    """The run that is continued; None where neither table is given.

    Args:
        running: CSV of the schedule that it follows.
        observed: CSV of its losses at the end of a phase.
        runs: the runs of the regression.
    Raises:
        ConfigError: one table is given without the other.
        DataError: it lacks a domain, a set, or a phase that is over, or has other phases than the runs.
    """
    if running is None and observed is None:
        return None
    if running is None or observed is None:
        mend = "give the losses so far, and the schedule that led to them"
        raise ConfigError("--observed and --running", "go together", mend)
    table = ScheduleTable.read(running)
    for name in runs.domains:
        if name not in table.domains:
            mend = "give a weight for every domain of --schedules"
            raise DataError(f"{running}: column {name}", "is missing", mend)
    places = [table.domains.index(name) for name in runs.domains]
    shares, weights = table.shares[0], table.weights[0][:, places]
    if len(shares) == 1:
        shares, weights = runs.shares, np.repeat(weights, len(runs.shares), axis=0)
    if len(shares) != len(runs.shares) or np.abs(shares - runs.shares).max() > 1e-6:
        said = ", ".join(f"{share:.4g}" for share in runs.shares)
        mend = f"give the phases of --schedules, whose shares are {said}"
        raise DataError("--running", f"has {len(shares)} phases", mend)
    done, losses = _last_phase(observed, runs)
    rest, spent = runs.shares[done:], runs.shares[:done] @ weights[:done]
    schedule = Schedule(runs.domains, shares, weights)
    return UnderWay(schedule, done, losses, rest / rest.sum(), float(rest.sum()), spent)


def _last_phase(path: Path, runs: PhasedRuns) -> tuple[int, np.ndarray]:
    """The last phase that a table of losses says is over, and [sets] its losses."""
    frame = _read_observed(path, runs)
    last = frame.sort_values("phase").iloc[-1]
    done = int(last["phase"])
    if not 1 <= done < len(runs.shares):
        mend = f"give a phase of 1 to {len(runs.shares) - 1}: after the last none is left"
        raise DataError(f"{path}: column phase", f"is {done}", mend)
    losses = last[list(runs.sets)].to_numpy(np.float64)
    if (losses <= 0).any():
        where = f"{path}: column {runs.sets[int(np.argmax(losses <= 0))]}"
        raise DataError(where, "is not above 0", "give losses above 0")
    return done, losses


def _read_observed(path: Path, runs: PhasedRuns) -> Any:
    """A frame with the column phase and one a set, all numbers."""
    import pandas as pd

    frame = read_frame(path, "columns phase and one a set")
    for name in ("phase", *runs.sets):
        numbers = name in frame and pd.api.types.is_numeric_dtype(frame[name])
        if frame.empty or not numbers or frame[name].isna().any():
            mend = "give the phase that ended, and the loss of every set"
            raise DataError(f"{path}: column {name}", "is missing or has no number", mend)
    return frame
