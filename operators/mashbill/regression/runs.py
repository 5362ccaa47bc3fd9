"""Runs from tables of mixtures and of losses, whoever trained them: read, checked and joined on their
index."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mashbill.config.groups import share_weights
from mashbill.errors import DataError
from mashbill.mixtures import LossTable, MixtureTable, SweepRuns
from mashbill.mixtures.mixture import LEAVE_OUT
from mashbill.mixtures.sweep_runs import align


def weigh_columns(target: Mapping[str, float], columns: Sequence[str], where: str) -> dict[str, float]:
    """Weights by loss column of a target's names and patterns; ``all`` stands for every column, unless one is
    called so.

    Args:
        target: weight of each name or pattern.
        columns: what there is.
        where: the file or files, for errors.
    Raises:
        DataError: a name or pattern matches no column.
    """
    try:
        return share_weights(
            {"*" if name == "all" not in columns else name: weight for name, weight in target.items()},
            columns,
        )
    except KeyError as error:
        raise DataError(
            f"{where}: column {error.args[0]}", "is missing", f"choose among {', '.join(columns)}"
        ) from error


def stacked_mixtures(paths: Sequence[Path]) -> MixtureTable:
    """Mixtures of several tables of the same domains.

    Raises:
        DataError: the domains differ, or an index occurs twice.
    """
    tables = [MixtureTable.read(path) for path in paths]
    domains, source = tables[0].columns, _sources(tables)
    weights = np.concatenate([ordered(table, domains, f"the runs of {tables[0].source}") for table in tables])
    return MixtureTable(_stacked_index(tables), domains, weights, source)


def read_losses(paths: Sequence[Path]) -> list[LossTable]:
    """Tables of losses, of the columns that all have.

    Raises:
        DataError: no column is in all.
    """
    tables = [LossTable.take(path) for path in paths]
    shared = tuple(name for name in tables[0].columns if all(name in table.columns for table in tables))
    if not shared:
        raise DataError(_sources(tables), "have no column in common", "give losses of the same metrics")
    return [table.having(shared) for table in tables]


def join_tables(
    mixtures: MixtureTable,
    losses: Sequence[LossTable],
    *,
    maximized: Sequence[str] = (),
    skip_failed: bool = False,
) -> SweepRuns:
    """Runs that have a mixture and losses, those whose losses are missing among them.

    Args:
        mixtures: of all runs.
        losses: tables of the same columns.
        maximized: columns where higher is better, which may be 0 or negative.
        skip_failed: leave out runs with a missing loss.
    Raises:
        DataError: a loss is missing (without skip_failed) or not above 0, an index occurs twice, or in one
            table only.
    """
    if skip_failed:
        losses = [table.without_infinite() for table in losses]
    for table in losses:
        _check_losses(table, maximized, skip_failed)
    stacked = LossTable(
        _stacked_index(losses),
        losses[0].columns,
        np.concatenate([t.losses for t in losses]),
        _sources(losses),
    )
    return SweepRuns(mixtures, align(mixtures, stacked))


def ordered(mixtures: MixtureTable, domains: Sequence[str], known_by: str = "the model") -> np.ndarray:
    """[mixtures, domains] weights in a given order of domains.

    Raises:
        DataError: a domain is missing, or one is there that no run had.
    """
    for name in domains:
        if name not in mixtures.columns:
            mend = f"give a weight for every domain that {known_by} has, 0 where there is none"
            raise DataError(f"{mixtures.source}: column {name}", "is missing", mend)
    unknown = [name for name in mixtures.columns if name not in domains]
    if unknown:
        where = f"{mixtures.source}: column {unknown[0]}"
        raise DataError(
            where, "is a domain that no run had", f"leave it out; {known_by} has {', '.join(domains)}"
        )
    return mixtures.having(domains).weights


def _check_losses(table: LossTable, maximized: Sequence[str], skip_failed: bool) -> None:
    if not skip_failed:
        table.check()
    missing = np.isnan(table.losses)
    if missing.any() and not skip_failed:
        row, column = np.argwhere(missing)[0]
        said = table.said.get((table.index[row], table.columns[column]))
        what = f"is {said!r:.40}, which is no loss" if said else "is missing"
        raise DataError(table.place(row, column), what, LEAVE_OUT)
    table.check_positive("give --maximize {column} where higher is better", maximized)


def _stacked_index(tables: Sequence[MixtureTable | LossTable]) -> np.ndarray:
    index = np.concatenate([table.index for table in tables])
    twice = [value for value, count in Counter(index.tolist()).items() if count > 1]
    if twice:
        raise DataError(
            _sources(tables),
            f"have index {twice[0]} twice",
            "number the runs of all tables apart",
        )
    return index


def _sources(tables: Sequence[MixtureTable | LossTable]) -> str:
    return ", ".join(table.source for table in tables)
