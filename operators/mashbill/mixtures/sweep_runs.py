"""The runs of a sweep: what each was trained on, its final losses, and its losses on the way.

A plan may keep runs of an earlier sweep, which then count beside today's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from mashbill.artifacts import Place, file_in, has_file
from mashbill.errors import DataError
from mashbill.mixtures.mixture import LossTable, MixtureTable
from mashbill.mixtures.trajectory_table import TrajectoryTable

MIXTURES, LOSSES, TRAJECTORIES = "mixtures.csv", "losses.csv", "trajectories.csv"
KEPT_MIXTURES, KEPT_LOSSES = "kept_mixtures.csv", "kept_losses.csv"


@dataclass(frozen=True)
class SweepRuns:
    """Runs with a mixture and losses each, in the same order.

    Attributes:
        mixtures: what each was trained on; where phases differ, its mean.
        losses: bits per byte at the end, by set; NaN where a run failed.
        trajectories: losses on the way, where they are at hand.
    """

    mixtures: MixtureTable
    losses: LossTable
    trajectories: TrajectoryTable | None = None

    def __len__(self) -> int:
        return len(self.mixtures.index)

    @property
    def finished(self) -> Self:
        """The runs whose losses are all there."""
        there = ~np.isnan(self.losses.losses).any(axis=1)
        return type(self)(self.mixtures.only(there), self.losses.only(there), self.trajectories)

    def target_losses(self, target: Mapping[str, float]) -> np.ndarray:
        """[runs] loss of a weighted target."""
        weights = np.array([target.get(name, 0.0) for name in self.losses.columns])
        return self.losses.losses @ weights

    def and_also(self, others: Self) -> Self:
        """These runs and others, of the sets that both measured, by this one's domains."""
        sets = tuple(name for name in self.losses.columns if name in others.losses.columns)
        index = np.concatenate([self.mixtures.index, others.mixtures.index])
        beside = others.mixtures.having(self.mixtures.columns).weights
        weights = np.concatenate([self.mixtures.weights, beside])
        values = np.concatenate([self.losses.having(sets).losses, others.losses.having(sets).losses])
        source = self.mixtures.source
        mixtures = MixtureTable(index, self.mixtures.columns, weights, source)
        return type(self)(mixtures, LossTable(index, sets, values, self.losses.source))

    def write(self, folder: Path) -> None:
        """Write the tables that are there."""
        self.mixtures.write(folder / MIXTURES)
        self.losses.write(folder / LOSSES)
        if self.trajectories is not None:
            self.trajectories.write(folder / TRAJECTORIES)

    @classmethod
    def read(cls, *places: Place) -> Self:
        """Mixtures and losses of one or several sweeps; places without runs are passed over.

        Raises:
            DataError: no place has runs, a table is wrong, or an index is in one table only.
        """
        found = [cls.read_tables(file_in(p, MIXTURES), file_in(p, LOSSES)) for p in places if has_runs(p)]
        if not found:
            raise DataError(MIXTURES, "is missing", "run the sweep first")
        runs = found[0]
        for others in found[1:]:
            runs = runs.and_also(others)
        return runs

    @classmethod
    def read_tables(cls, mixtures: Path, losses: Path) -> Self:
        """Runs of two CSVs, joined on their index.

        Raises:
            DataError: a table is wrong, a loss is 0 or below, or an index is in one only.
        """
        table, measured = MixtureTable.read(mixtures), LossTable.read(losses)
        measured.check_positive()
        return cls(table, align(table, measured))


def has_runs(place: Place) -> bool:
    """Whether a sweep's tables are there."""
    return has_file(place, MIXTURES)


def read_trajectories(place: Place) -> TrajectoryTable:
    """The trajectories of a sweep."""
    return TrajectoryTable.read(file_in(place, TRAJECTORIES))


def write_kept_runs(runs: SweepRuns, folder: Path) -> None:
    """Write the earlier runs that count beside a plan."""
    runs.mixtures.write(folder / KEPT_MIXTURES)
    runs.losses.write(folder / KEPT_LOSSES)


def read_kept_runs(plan: Place) -> SweepRuns | None:
    """The earlier runs that count; None where there are none."""
    if not has_file(plan, KEPT_MIXTURES):
        return None
    return SweepRuns.read_tables(file_in(plan, KEPT_MIXTURES), file_in(plan, KEPT_LOSSES))


def runs_that_count(plan: Place, *sweeps: Place) -> SweepRuns:
    """Today's finished runs, and the earlier ones that a plan keeps, of the sets that both measured."""
    today, kept = SweepRuns.read(*sweeps).finished, read_kept_runs(plan)
    return today if kept is None else today.and_also(kept)


def align(mixtures: MixtureTable, losses: LossTable) -> LossTable:
    """Losses in the mixtures' order.

    Raises:
        DataError: an index is in one table only.
    """
    for one, other in ((mixtures, losses), (losses, mixtures)):
        there = set(other.index.tolist())
        alone = [index for index in one.index.tolist() if index not in there]
        if alone:
            more = f" (as {len(alone) - 1} more)" if len(alone) > 1 else ""
            where, what = f"{other.source}: index {alone[0]}", f"is missing, and {one.source} has it{more}"
            raise DataError(where, what, "keep the same runs in both")
    places = {index: row for row, index in enumerate(losses.index)}
    return losses.only(np.array([places[index] for index in mixtures.index]))
