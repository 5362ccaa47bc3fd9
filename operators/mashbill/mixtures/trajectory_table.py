"""Tables of trajectories: every loss of a run on its way, several rows a run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from mashbill.errors import DataError
from mashbill.mixtures.mixture import read_frame

POINT = ("index", "step", "tokens")
COLUMNS = "columns index, tokens and one a set"


@dataclass(frozen=True)
class TrajectoryTable:
    """Rows of (index, step, tokens, one loss a set).

    Attributes:
        frame: a pandas frame of them.
        source: the file it was read from, for errors.
    """

    frame: Any
    source: str = ""

    @classmethod
    def of(cls, points: Sequence[Mapping[str, float]]) -> Self:
        """A table of rows."""
        import pandas as pd

        return cls(pd.DataFrame(points))

    @property
    def sets(self) -> tuple[str, ...]:
        """Names of the sets."""
        return tuple(str(column) for column in self.frame.columns if column not in POINT)

    def runs(self) -> dict[int, Any]:
        """The rows of each run, by index."""
        return {int(index): rows for index, rows in self.frame.groupby("index")}

    def target_losses(self, target: Mapping[str, float]) -> np.ndarray:
        """[rows] loss of a weighted target."""
        return np.asarray(sum(weight * self.frame[name] for name, weight in target.items()), np.float64)

    def write(self, path: Path) -> None:
        """Write as CSV, numbers with all their digits."""
        self.frame.to_csv(path, index=False)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a CSV and check it; the column step may be missing, and cells may be empty.

        Raises:
            DataError: the file cannot be read, lacks a column, or a cell is no number, or no loss.
        """
        frame = read_frame(path, COLUMNS)
        for column in ("index", "tokens"):
            if column not in frame:
                raise DataError(str(path), f"has no column {column}", f"give {COLUMNS}")
        for column in frame:
            _check(frame, column, path)
        return cls(frame, str(path))


def _check(frame: Any, column: str, path: Path) -> None:
    """Raise DataError at a cell that is no number, or at a loss that is not above 0."""
    import pandas as pd

    if not pd.api.types.is_numeric_dtype(frame[column]):
        where = f"{path}: column {column}"
        raise DataError(where, "holds something that is no number", "correct the cell")
    low = np.isinf(frame[column]) | (column not in POINT and frame[column] <= 0)
    if np.any(low):
        row = frame[low].iloc[0]
        where = f"{path}: index {row['index']:g}, column {column}"
        raise DataError(where, f"is {row[column]:g}", "give losses above 0, or leave it empty")
