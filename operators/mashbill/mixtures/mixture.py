"""Tables of mixtures and of losses, in RegMix's CSV form: an ``index`` column, then one column a domain or metric."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from mashbill.errors import DataError

SUM_TOLERANCE = 0.02
"""RegMix's published weights have three decimals: with 17 domains a row may be off by this much."""


@dataclass(frozen=True)
class Table:
    """Rows of numbers by index.

    Attributes:
        index: [rows] int.
        columns: names of the columns.
        values: [rows, columns] float64.
    """

    index: np.ndarray
    columns: tuple[str, ...]
    values: np.ndarray

    def write(self, path: Path) -> None:
        """Write as CSV, numbers with all their digits."""
        import pandas as pd

        frame = pd.DataFrame(self.values, columns=list(self.columns))
        frame.insert(0, "index", self.index)
        frame.to_csv(path, index=False)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a CSV and check it.

        Raises:
            DataError: the file is missing, has no index column, repeats an index, or a cell is no number.
        """
        import pandas as pd

        try:
            frame = pd.read_csv(path)
        except (OSError, ValueError) as error:
            raise DataError(str(path), f"cannot be read ({error})", "give a CSV with an index column") from error
        if "index" not in frame:
            raise DataError(str(path), "has no column index", "add one that joins mixtures and losses")
        twice = frame["index"][frame["index"].duplicated()]
        if len(twice):
            raise DataError(f"{path}: index {twice.iloc[0]}", "stands twice", "keep one row an index")
        body = frame.drop(columns="index")
        for column in body:
            if not pd.api.types.is_numeric_dtype(body[column]):
                raise DataError(f"{path}: column {column}", "holds something that is no number", "correct the cell")
        table = cls(frame["index"].to_numpy(), tuple(map(str, body.columns)), body.to_numpy(dtype=np.float64))
        table.check(str(path))
        return table

    def check(self, path: str) -> None:
        """Raise DataError where the rows are not what the table stands for."""

    def row(self, i: int) -> dict[str, Any]:
        """The i-th row, by column."""
        return {name: float(value) for name, value in zip(self.columns, self.values[i], strict=True)}


class MixtureTable(Table):
    """Mixtures: a weight for each domain; every row sums to 1 after reading."""

    @property
    def domains(self) -> tuple[str, ...]:
        """Names of the domains."""
        return self.columns

    @property
    def weights(self) -> np.ndarray:
        """[mixtures, domains]."""
        return self.values

    def check(self, path: str) -> None:
        """Raise DataError where a weight is missing or negative, or a row does not sum to 1; then make rows sum exactly."""
        bad = ~np.isfinite(self.values) | (self.values < 0)
        if bad.any():
            row, column = np.argwhere(bad)[0]
            where = f"{path}: index {self.index[row]}, column {self.columns[column]}"
            raise DataError(where, f"is {self.values[row, column]:g}, which is no weight", "give a number of at least 0")
        sums = self.values.sum(axis=1)
        off = np.abs(sums - 1) > SUM_TOLERANCE
        if off.any():
            row = int(np.argmax(off))
            raise DataError(f"{path}: index {self.index[row]}", f"sums to {sums[row]:g}", "make the row's weights sum to 1")
        self.values[:] /= sums[:, None]


class LossTable(Table):
    """Losses: one column a metric; NaN where a run failed."""

    @property
    def losses(self) -> np.ndarray:
        """[runs, metrics]."""
        return self.values

    def check(self, path: str) -> None:
        """Raise DataError where a loss is infinite."""
        if np.isinf(self.values).any():
            row, column = np.argwhere(np.isinf(self.values))[0]
            raise DataError(f"{path}: index {self.index[row]}, column {self.columns[column]}", "is infinite", "leave the run out")
