"""Tables of mixtures and of losses, in RegMix's CSV form: an ``index`` column, then one column a domain or
metric."""

from collections.abc import Sequence
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
        source: the file or files it was read from, for errors.
    """

    index: np.ndarray
    columns: tuple[str, ...]
    values: np.ndarray
    source: str = ""

    def write(self, path: Path) -> None:
        """Write as CSV, numbers with all their digits."""
        import pandas as pd

        frame = pd.DataFrame(self.values, columns=list(self.columns))
        frame.insert(0, "index", self.index)
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.to_csv(path, index=False)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a CSV and check it.

        Raises:
            DataError: the file is missing or empty, has no index column, repeats an index or a column, or a
                cell is no number.
        """
        frame = read_frame(path, "an index column")
        if "index" not in frame:
            raise DataError(str(path), "has no column index", "add one that joins mixtures and losses")
        twice = frame["index"][frame["index"].duplicated()]
        if len(twice):
            raise DataError(f"{path}: index {twice.iloc[0]}", "stands twice", "keep one row an index")
        body = frame.drop(columns="index")
        if body.empty:
            raise DataError(
                str(path),
                "has no rows" if len(body.columns) else "has no column but the index",
                "add the runs",
            )
        _check_numbers(frame, path)
        table = cls(
            frame["index"].to_numpy(),
            tuple(map(str, body.columns)),
            body.to_numpy(
                dtype=np.float64, copy=True
            ),  # of one column it would be the frame's own, not to write to
            str(path),
        )
        table.check()
        return table

    def check(self) -> None:
        """Raise DataError where the rows are not what the table stands for."""

    def only(self, rows: np.ndarray) -> Self:
        """The table with some of its rows."""
        return type(self)(self.index[rows], self.columns, self.values[rows], self.source)

    def having(self, columns: Sequence[str]) -> Self:
        """The table with some of its columns, in the order given."""
        places = [self.columns.index(name) for name in columns]
        return type(self)(self.index, tuple(columns), self.values[:, places], self.source)

    def place(self, row: int, column: int) -> str:
        """Where a cell is: the file, the row's index and the column."""
        return f"{self.source}: index {self.index[row]}, column {self.columns[column]}"

    def row(self, i: int) -> dict[str, float]:
        """The i-th row, by column."""
        return {name: float(value) for name, value in zip(self.columns, self.values[i], strict=True)}


class MixtureTable(Table):
    """Mixtures: a weight for each domain; every row sums to 1 after reading."""

    @classmethod
    def numbered(cls, domains: Sequence[str], weights: np.ndarray) -> Self:
        """A table of [mixtures, domains] weights, numbered from 0."""
        return cls(np.arange(len(weights)), tuple(domains), weights)

    @property
    def domains(self) -> tuple[str, ...]:
        """Names of the domains."""
        return self.columns

    @property
    def weights(self) -> np.ndarray:
        """[mixtures, domains]."""
        return self.values

    def check(self) -> None:
        """Raise DataError where a weight is missing or negative, or a row does not sum to 1; then make rows
        sum exactly."""
        bad = ~np.isfinite(self.values) | (self.values < 0)
        if bad.any():
            row, column = np.argwhere(bad)[0]
            what = f"is {self.values[row, column]:g}, which is no weight"
            raise DataError(self.place(row, column), what, "give a number of at least 0")
        sums = self.values.sum(axis=1)
        off = np.abs(sums - 1) > SUM_TOLERANCE
        if off.any():
            row = int(np.argmax(off))
            raise DataError(
                f"{self.source}: index {self.index[row]}",
                f"sums to {sums[row]:g}",
                "make the row's weights sum to 1",
            )
        self.values[:] /= sums[:, None]


class LossTable(Table):
    """Losses: one column a metric; NaN where a run failed."""

    @property
    def losses(self) -> np.ndarray:
        """[runs, metrics]."""
        return self.values

    def check(self) -> None:
        """Raise DataError where a loss is infinite."""
        if np.isinf(self.values).any():
            row, column = np.argwhere(np.isinf(self.values))[0]
            raise DataError(self.place(row, column), "is infinite", "leave the run out of both tables")

    def check_positive(self, otherwise: str = "train it again", maximized: Sequence[str] = ()) -> None:
        """Raise DataError where a loss is 0 or below, which no bits and no nats per byte are.

        Args:
            otherwise: what else may be done, beside correcting it; ``{column}`` stands for the column.
            maximized: columns where higher is better, which may be anything.
        """
        low = (self.losses <= 0) & [name not in maximized for name in self.columns]
        if low.any():
            row, column = np.argwhere(low)[0]
            what = f"is {self.losses[row, column]:g}, which is no loss: bits and nats per byte are above 0"
            mend = f"correct it, or {otherwise.format(column=self.columns[column])}"
            raise DataError(self.place(row, column), what, mend)


def read_frame(path: Path, needed: str) -> Any:
    """A CSV as a pandas frame.

    Args:
        path: the file.
        needed: what it must have, for errors.
    Raises:
        DataError: it is missing, empty or no CSV, or has two columns of one name.
    """
    import pandas as pd

    mend = f"give a CSV with {needed}"
    try:
        header = pd.read_csv(path, header=None, nrows=1, dtype=str, keep_default_na=False).iloc[0].tolist()
        frame = pd.read_csv(path)
    except pd.errors.EmptyDataError as error:
        raise DataError(str(path), "is empty", mend) from error
    except (OSError, ValueError) as error:
        raise DataError(str(path), f"cannot be read ({' '.join(str(error).split())})", mend) from error
    if not isinstance(frame.index, pd.RangeIndex):
        raise DataError(str(path), "has rows with more cells than the header", mend)
    twice = [name for i, name in enumerate(header) if name in header[:i]]
    if twice:
        raise DataError(f"{path}: column {twice[0]}", "stands twice", "keep one, or name them apart")
    return frame


def _check_numbers(frame: Any, path: Path) -> None:
    """Raise DataError where a cell is no number."""
    import pandas as pd

    for column in frame:
        if not pd.api.types.is_numeric_dtype(frame[column]):
            number = pd.to_numeric(frame[column], errors="coerce")
            row = int(np.argmax(number.isna() & frame[column].notna()))
            where = (
                f"{path}: row {row + 1}" if column == "index" else f"{path}: index {frame['index'].iloc[row]}"
            )
            raise DataError(
                f"{where}, column {column}",
                f"is {frame[column].iloc[row]!r:.40}, which is no number",
                "correct the cell",
            )
    if frame["index"].isna().any():
        raise DataError(
            f"{path}: row {int(frame['index'].isna().argmax()) + 1}", "has no index", "number the run"
        )
