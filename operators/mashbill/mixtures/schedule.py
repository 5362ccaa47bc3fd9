"""Schedules: a run in phases, each a share of it and a mixture of its own; and tables of them.

A table is RegMix's form with two more columns: ``index``, ``phase`` (from 1), ``share``, then one column a
domain. A table of plain mixtures reads as schedules of one phase.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from mashbill.errors import DataError
from mashbill.mixtures.mixture import SUM_TOLERANCE, MixtureTable, read_frame


@dataclass(frozen=True)
class Schedule:
    """Mixtures by phase of a run.

    Attributes:
        domains: names of the domains.
        shares: [phases] share of the run that each phase takes; they sum to 1.
        weights: [phases, domains]; every row sums to 1.
    """

    domains: tuple[str, ...]
    shares: np.ndarray
    weights: np.ndarray

    @classmethod
    def constant(cls, mixture: Mapping[str, float]) -> Self:
        """One mixture for the whole run."""
        return cls(tuple(mixture), np.ones(1), np.array([list(mixture.values())], np.float64))

    @property
    def mean(self) -> dict[str, float]:
        """The mixture of the run as a whole, by domain."""
        return dict(zip(self.domains, (self.shares @ self.weights).tolist(), strict=True))

    def ends(self, length: int) -> list[int]:
        """Where each phase ends in a run of so many steps or sequences; the last at its end."""
        return [*(round(float(share) * length) for share in np.cumsum(self.shares)[:-1]), length]

    def table(self) -> "ScheduleTable":
        """The schedule as a table of one."""
        return ScheduleTable(np.arange(1), self.domains, self.shares[None], self.weights[None])

    def as_json(self) -> list[dict[str, Any]]:
        """The phases as JSON values."""
        rows = zip(self.shares.tolist(), self.weights.tolist(), strict=True)
        return [{"share": share, "mixture": dict(zip(self.domains, row, strict=True))} for share, row in rows]

    @classmethod
    def from_json(cls, phases: list[dict[str, Any]]) -> Self:
        """A schedule from ``as_json``'s values."""
        rows = [list(phase["mixture"].values()) for phase in phases]
        return cls(
            tuple(phases[0]["mixture"]), np.array([phase["share"] for phase in phases]), np.array(rows)
        )


@dataclass(frozen=True)
class ScheduleTable:
    """Schedules by index, all with the same number of phases.

    Attributes:
        index: [schedules] int.
        domains: names of the domains.
        shares: [schedules, phases].
        weights: [schedules, phases, domains].
    """

    index: np.ndarray
    domains: tuple[str, ...]
    shares: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(cls, mixtures: MixtureTable) -> Self:
        """Mixtures as schedules of one phase."""
        ones = np.ones((len(mixtures.index), 1))
        return cls(mixtures.index, mixtures.columns, ones, mixtures.weights[:, None])

    def schedule(self, i: int) -> Schedule:
        """The i-th schedule."""
        return Schedule(self.domains, self.shares[i], self.weights[i])

    def means(self) -> MixtureTable:
        """Each schedule's mean mixture."""
        return MixtureTable(self.index, self.domains, np.einsum("sp,spd->sd", self.shares, self.weights))

    def write(self, path: Path) -> None:
        """Write as CSV, numbers with all their digits."""
        import pandas as pd

        schedules, phases, domains = self.weights.shape
        frame = pd.DataFrame(self.weights.reshape(-1, domains), columns=list(self.domains))
        frame.insert(0, "index", np.repeat(self.index, phases))
        frame.insert(1, "phase", np.tile(np.arange(phases) + 1, schedules))
        frame.insert(2, "share", self.shares.ravel())
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.to_csv(path, index=False)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a CSV of schedules, or of mixtures as schedules of one phase; rows then sum exactly to 1.

        Raises:
            DataError: the file cannot be read, a phase is missing or stands twice, shares or weights do not
                sum to 1.
        """
        frame = read_frame(path, "columns index, phase, share and one a domain")
        if "phase" not in frame:
            return cls.of(MixtureTable.read(path))
        for column in ("index", "share"):
            if column not in frame:
                raise DataError(
                    str(path), f"has no column {column}", "give columns index, phase, share and one a domain"
                )
        if frame.empty:
            raise DataError(str(path), "has no rows", "give at least one schedule")
        _check_numbers(frame, path)
        frame = frame.sort_values(["index", "phase"], kind="stable")
        index, phases = _check_phases(frame, path)
        domains = tuple(str(c) for c in frame.columns if c not in {"index", "phase", "share"})
        weights = frame[list(domains)].to_numpy(np.float64).reshape(len(index), phases, -1)
        shares = frame["share"].to_numpy(np.float64).reshape(len(index), phases)
        _check_sums(shares, [f"{path}: index {i}, column share" for i in index])
        _check_sums(
            weights.reshape(-1, len(domains)),
            [f"{path}: index {i}, phase {p + 1}" for i in index for p in range(phases)],
        )
        return cls(
            index, domains, shares / shares.sum(1, keepdims=True), weights / weights.sum(2, keepdims=True)
        )


def _check_numbers(frame: Any, path: Path) -> None:
    """Raise DataError at a cell that is no number of at least 0; a share must be above 0."""
    import pandas as pd

    for column in frame:
        if not pd.api.types.is_numeric_dtype(frame[column]):
            raise DataError(
                f"{path}: column {column}", "holds something that is no number", "correct the cell"
            )
        wrong = (
            ~np.isfinite(frame[column]) | (frame[column] < 0) | ((column == "share") & (frame[column] == 0))
        )
        if wrong.any():
            row = frame[wrong].iloc[0]
            where = f"{path}: index {row['index']:g}, phase {row['phase']:g}, column {column}"
            raise DataError(where, f"is {row[column]:g}", "give a number of at least 0, and shares above 0")


def _check_phases(frame: Any, path: Path) -> tuple[np.ndarray, int]:
    """[schedules] index, and the number of phases; ``frame`` is sorted by index and phase.

    Raises:
        DataError: a schedule's phases are not 1, 2, ... as many as the others'.
    """
    phases = max(1, int(frame["phase"].max()))
    for index, found in frame.groupby("index")["phase"]:
        if found.tolist() != list(range(1, phases + 1)):
            said = ", ".join(f"{value:g}" for value in found)
            raise DataError(
                f"{path}: index {index}",
                f"has phases {said}",
                f"give every index each of the phases 1 to {phases} once",
            )
    return frame["index"].drop_duplicates().to_numpy(), phases


def _check_sums(rows: np.ndarray, where: list[str]) -> None:
    """Raise DataError at a row that does not sum to 1."""
    sums = rows.sum(axis=1)
    off = np.abs(sums - 1) > SUM_TOLERANCE
    if off.any():
        first = int(np.argmax(off))
        raise DataError(where[first], f"sums to {sums[first]:g}", "make it sum to 1")
