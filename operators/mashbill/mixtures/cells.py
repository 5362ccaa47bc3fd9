"""CSVs as other trainers write them, read cell by cell: separators, byte marks, empty rows and columns, names
of runs as an index, columns of text, numbers with signs for thousands, and words for a run that failed."""

import csv
import io
import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mashbill.errors import DataError

log = logging.getLogger(__name__)
INDEX = "index"
NAMES = ("run", "run_name", "run name", "name", "run_id", "run id", "experiment", "trial")
FAILED = frozenset(
    {
        *("", "-", "nan", "na", "n/a", "#n/a", "null", "none", "<na>", "missing"),
        *(
            "diverged",
            "crashed",
            "failed",
            "failure",
            "killed",
            "error",
            "oom",
            "timeout",
            "canceled",
            "cancelled",
        ),
    }
)
"""What stands for a loss that is not there, whatever its case."""
UNNAMED = re.compile(r"(Unnamed: \d+)?")
THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?")
DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")
SEPARATORS = (",", ";", "\t")


@dataclass(frozen=True)
class Cells:
    """A CSV's cells, as text.

    Attributes:
        path: the file.
        header: names of the columns.
        rows: [rows][columns] cells, without blanks around them.
        decimal_comma: whether numbers have a comma where others have a point.
    """

    path: Path
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    decimal_comma: bool

    def column(self, name: str) -> list[str]:
        """The cells of a column."""
        place = self.header.index(name)
        return [row[place] for row in self.rows]

    def without(self, names: Iterable[str]) -> "Cells":
        """The cells without some columns."""
        gone = set(names)
        kept = [i for i, name in enumerate(self.header) if name not in gone]
        rows = tuple(tuple(row[i] for i in kept) for row in self.rows)
        return Cells(self.path, tuple(self.header[i] for i in kept), rows, self.decimal_comma)

    def number(self, cell: str) -> float | None:
        """The number that a cell is; None where it is none."""
        plain = cell.removesuffix("%").strip()
        if self.decimal_comma and DECIMAL_COMMA.fullmatch(plain):
            plain = plain.replace(",", ".")
        elif THOUSANDS.fullmatch(plain):
            plain = plain.replace(",", "")
        try:
            return None if "_" in plain else float(plain)
        except ValueError:
            return None


def read_cells(path: Path, needed: str) -> Cells:
    """The cells of a CSV, without rows and columns that are empty.

    Args:
        path: the file; commas, semicolons or tabs separate, UTF-8 or, by its mark, UTF-16.
        needed: what it must have, for errors.
    Raises:
        DataError: it is missing, empty or no CSV, or has two columns of one name.
    """
    mend = f"give a CSV with {needed}"
    text = read_text(path, mend)
    separator = separator_of(text)
    try:
        rows = [
            [cell.strip() for cell in row]
            for row in csv.reader(io.StringIO(text), delimiter=separator, strict=True)
        ]
    except csv.Error as error:
        raise DataError(str(path), f"cannot be read ({error})", mend) from error
    rows = [row for row in rows if any(row)]
    if not rows:
        raise DataError(str(path), "is empty", mend)
    header, *body = rows
    for number, row in enumerate(body, start=1):
        if any(row[len(header) :]):
            what = f"cannot be read: it has rows with more cells than the header (row {number})"
            raise DataError(str(path), what, mend)
    width = len(header)
    whole = [(row + [""] * width)[:width] for row in body]
    full = [i for i in range(width) if not UNNAMED.fullmatch(header[i]) or any(row[i] for row in whole)]
    names = [header[i] for i in full]
    twice = [name for i, name in enumerate(names) if name in names[:i]]
    if twice:
        raise DataError(f"{path}: column {twice[0]}", "stands twice", "keep one, or name them apart")
    return Cells(path, tuple(names), tuple(tuple(row[i] for i in full) for row in whole), separator == ";")


def read_text(path: Path, mend: str) -> str:
    """The text of a file, its byte mark taken off.

    Raises:
        DataError: it is missing, or no text.
    """
    try:
        data = path.read_bytes()
        return data.decode("utf-16" if data[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(str(path), f"cannot be read ({' '.join(str(error).split())})", mend) from error


def separator_of(text: str) -> str:
    """What separates the cells of a CSV: what its first line has most of."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    return max(SEPARATORS, key=first.count)


def take_index(cells: Cells) -> tuple[np.ndarray, Cells]:
    """The index of a table's rows, numbers or names of runs, and the other columns.

    It is the column called so, one without a name, as pandas writes it, one called as runs are, or a first
    column of names that differ.

    Raises:
        DataError: there is none, or a row has none, or two rows have the same.
    """
    name = _index_column(cells)
    if name is None:
        raise DataError(str(cells.path), "has no column index", "add one that joins mixtures and losses")
    given = cells.column(name)
    for row, cell in enumerate(given, start=1):
        if not cell:
            raise DataError(f"{cells.path}: row {row}", "has no index", "number the run")
    unnamed = [other for other in cells.header if UNNAMED.fullmatch(other)]
    index = _numbers_or_names(cells, name, given)
    repeated = [value for i, value in enumerate(given) if value in given[:i]]
    if repeated:
        raise DataError(f"{cells.path}: index {repeated[0]}", "stands twice", "keep one row an index")
    return index, cells.without({name, *unnamed})


def _index_column(cells: Cells) -> str | None:
    if INDEX in cells.header:
        return INDEX
    called = [name for name in cells.header if name.lower() in NAMES]
    unnamed = [name for name in cells.header if UNNAMED.fullmatch(name)]
    if called or unnamed:
        return (*called, *unnamed)[0]
    first = cells.header[0]
    given = cells.column(first)
    named = all(cell and cells.number(cell) is None for cell in given)
    return first if given and named and len(set(given)) == len(given) else None


def _numbers_or_names(cells: Cells, name: str, given: Sequence[str]) -> np.ndarray:
    """An index as numbers, where most of its cells are; else as names.

    Raises:
        DataError: a cell among numbers is none.
    """
    numbers = [cells.number(cell) for cell in given]
    wrong = [row for row, number in enumerate(numbers) if number is None or not float(number).is_integer()]
    if 2 * len(wrong) > len(given):
        return np.array(given, object)
    if wrong:
        where = f"{cells.path}: row {wrong[0] + 1}, column {name}"
        raise DataError(where, f"is {given[wrong[0]]!r:.40}, which is no number", "correct the cell")
    return np.array([int(number or 0) for number in numbers], np.int64)


@dataclass(frozen=True)
class Body:
    """The columns of a table that are numbers.

    Attributes:
        columns: their names.
        values: [rows, columns] NaN where a cell says that there is none.
        said: what such cells say, by row and column.
        text: names of the other columns, and the first cell of each that is no number.
    """

    columns: tuple[str, ...]
    values: np.ndarray
    said: dict[tuple[int, str], str]
    text: dict[str, str]


def read_body(cells: Cells, index: np.ndarray) -> Body:
    """The numbers of a table; columns of text are left out, with a word.

    A column is text where several cells say something and less than half of that are numbers; in one of
    numbers a cell may say that there is none.

    Raises:
        DataError: a cell among numbers is none, and says nothing of a failure.
    """
    columns, values, text = [], [], {}
    said: dict[tuple[int, str], str] = {}
    for name in cells.header:
        given = cells.column(name)
        numbers = [cells.number(cell) for cell in given]
        others = [
            row for row, number in enumerate(numbers) if number is None and given[row].lower() not in FAILED
        ]
        heard = sum(bool(cell) and cell.lower() not in FAILED for cell in given)
        if heard > 1 and 2 * len(others) > heard:
            text[name] = given[others[0]]
            continue
        if others:
            where = f"{cells.path}: index {index[others[0]]}, column {name}"
            raise DataError(where, f"is {given[others[0]]!r:.40}, which is no number", "correct the cell")
        said |= {
            (row, name): given[row] for row, number in enumerate(numbers) if number is None and given[row]
        }
        columns.append(name)
        values.append([np.nan if number is None else number for number in numbers])
    if text:
        one = "is text, and is" if len(text) == 1 else "are text, and are"
        log.warning("%s: column%s %s %s left out", cells.path, "s"[: len(text) - 1], ", ".join(text), one)
    return Body(tuple(columns), np.array(values, np.float64).T.reshape(len(cells.rows), -1), said, text)
