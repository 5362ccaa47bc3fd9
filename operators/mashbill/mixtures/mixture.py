"""Tables of mixtures and of losses, in RegMix's CSV form: an ``index`` column, then one column a domain or
metric."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from mashbill.errors import DataError
from mashbill.mixtures.cells import read_body, read_cells, read_text, separator_of, take_index

SUM_TOLERANCE, PERCENT = 0.02, 100
"""RegMix's published weights have three decimals: with 17 domains a row may be off by this much."""


@dataclass(frozen=True)
class Table:
    """Rows of numbers by index.

    Attributes:
        index: [rows] int, or names of runs.
        columns: names of the columns.
        values: [rows, columns] float64.
        source: the file or files it was read from, for errors.
        said: what cells say that have no number, by index and column.
        text: columns of text that were left out, and a cell of each.
    """

    index: np.ndarray
    columns: tuple[str, ...]
    values: np.ndarray
    source: str = ""
    said: Mapping[tuple[Any, str], str] = field(default_factory=dict)
    text: Mapping[str, str] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Write as CSV, numbers with all their digits."""
        import pandas as pd

        frame = pd.DataFrame(self.values, columns=list(self.columns))
        frame.insert(0, "index", self.index)
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.to_csv(path, index=False)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a CSV and check it; see ``take`` and ``check``.

        Raises:
            DataError: the file is no table, or the table is not what it stands for.
        """
        table = cls.take(path)
        table.check()
        return table

    @classmethod
    def take(cls, path: Path) -> Self:
        """Read a CSV, whoever wrote it (``mixtures/cells.py``).

        Raises:
            DataError: the file is missing or empty, has no index column, repeats an index or a column, or a
                cell is no number.
        """
        index, cells = take_index(read_cells(path, "an index column"))
        if not cells.rows or not cells.header:
            what = "has no rows" if cells.header else "has no column but the index"
            raise DataError(str(path), what, "add the runs")
        body = read_body(cells, index)
        said = {(index[row], name): words for (row, name), words in body.said.items()}
        return cls(index, body.columns, body.values, str(path), said, body.text)

    def check(self) -> None:
        """Raise DataError where the rows are not what the table stands for."""

    def only(self, rows: np.ndarray) -> Self:
        """The table with some of its rows."""
        return replace(self, index=self.index[rows], values=self.values[rows])

    def having(self, columns: Sequence[str]) -> Self:
        """The table with some of its columns, in the order given."""
        places = [self.columns.index(name) for name in columns]
        return replace(self, columns=tuple(columns), values=self.values[:, places])

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
        if len(sums) and (np.abs(sums / PERCENT - 1) <= SUM_TOLERANCE).all():
            self.values[:] /= PERCENT
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


LEAVE_OUT = "leave the run out of both tables, or give --skip-failed"


class LossTable(Table):
    """Losses: one column a metric; NaN where a run failed."""

    def without_infinite(self) -> Self:
        """The table where an infinite loss is one that is missing."""
        return replace(self, values=np.where(np.isinf(self.values), np.nan, self.values))

    @property
    def losses(self) -> np.ndarray:
        """[runs, metrics]."""
        return self.values

    def check(self) -> None:
        """Raise DataError where a loss is infinite."""
        if np.isinf(self.values).any():
            row, column = np.argwhere(np.isinf(self.values))[0]
            raise DataError(self.place(row, column), "is infinite", LEAVE_OUT)

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
        text = read_text(path, mend)
        given: dict[str, Any] = {
            "sep": separator_of(text),
            "decimal": "," if separator_of(text) == ";" else ".",
        }
        first = pd.read_csv(
            io.StringIO(text), header=None, nrows=1, dtype=str, keep_default_na=False, **given
        )
        header = first.iloc[0].tolist()
        frame = pd.read_csv(io.StringIO(text), **given)
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
