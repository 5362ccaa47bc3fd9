"""Fitting, judging and using a regression on tables of mixtures and losses, whoever trained the runs.

A fitted model is a folder: ``regression.joblib`` and ``model.json`` (target, columns, cross-validation).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from mashbill.errors import ConfigError, DataError
from mashbill.mixtures import LossTable, MixtureTable
from mashbill.regression.ensemble import FOLDS, REGRESSORS, choose_regressor, compare, fit_regressor
from mashbill.regression.fit import FittedRegression, join_runs
from mashbill.regression.validation import conformal_half_width, spearman

COVERAGE = 0.9
MIN_RUNS = 8
MODEL, FACTS = "regression.joblib", "model.json"


@dataclass(frozen=True)
class TableModel:
    """A regression and what it is for.

    Attributes:
        fitted: on the runs of the tables; columns to be maximised are negated in it.
        target: weight of each column.
        maximized: columns where higher is better.
    """

    fitted: FittedRegression
    target: Mapping[str, float]
    maximized: tuple[str, ...]

    @property
    def weights(self) -> np.ndarray:
        """[columns] weight of each column of the regression in the target."""
        return np.array([self.target.get(name, 0.0) for name in self.fitted.sets])

    @property
    def signs(self) -> np.ndarray:
        """[columns] -1 where higher is better."""
        return np.array([-1.0 if name in self.maximized else 1.0 for name in self.fitted.sets])

    def half_widths(self) -> np.ndarray:
        """[columns] half the width of each column's interval."""
        residuals = self.fitted.losses - self.fitted.out_of_fold
        return np.array([conformal_half_width(column, COVERAGE) for column in residuals.T])

    def predict(self, mixtures: MixtureTable) -> np.ndarray:
        """[mixtures, columns] predictions, in the columns' own sign.

        Raises:
            DataError: the table lacks a domain of the model.
        """
        predicted: np.ndarray = self.fitted.regressor.predict(ordered(mixtures, self.fitted.domains)) * self.signs
        return predicted


def fit_tables(
    mixtures: Sequence[Path],
    losses: Sequence[Path],
    target: Mapping[str, float],
    *,
    maximized: Sequence[str] = (),
    regressor: str = "auto",
    seed: int = 0,
) -> tuple[TableModel, dict[str, Any]]:
    """Fit a regression on CSVs of mixtures and of losses, joined on their index.

    Args:
        mixtures, losses: the tables.
        target: weight of each loss column, or ``{"all": 1.0}`` for every column evenly.
        maximized: columns where higher is better.
        regressor: its name, or auto for the best by cross-validation.
        seed: seed of the folds.
    Returns:
        The model, and its report: regressor, runs, domains, targets, cross_validation by column.
    Raises:
        DataError: too few runs, a column that is missing or constant, an index in one file only.
    """
    where = ", ".join(map(str, losses))
    mixed, lost = join_runs(stacked_mixtures(mixtures), stacked_losses(losses), where)
    target = {name: 1 / len(lost.columns) for name in lost.columns} if set(target) == {"all"} else dict(target)
    for name in (*target, *maximized):
        if name not in lost.columns:
            raise DataError(f"{where}: column {name}", "is missing", f"choose among {', '.join(lost.columns)}")
    if len(mixed.index) < MIN_RUNS:
        raise DataError(where, f"has {len(mixed.index)} finished runs", f"a regression needs at least {MIN_RUNS}")
    columns = tuple(name for name in lost.columns if name in target)
    signs = np.array([-1.0 if name in maximized else 1.0 for name in columns])
    values = lost.losses[:, [lost.columns.index(name) for name in columns]] * signs
    constant = [name for name, column in zip(columns, values.T, strict=True) if np.ptp(column) == 0]
    if constant:
        raise DataError(f"{where}: column {constant[0]}", "is constant, so nothing can be learnt of it", "leave it out of the target")
    compared = compare(REGRESSORS if regressor == "auto" else [regressor], mixed.weights, values, FOLDS, seed)
    chosen = choose_regressor(compared) if regressor == "auto" else regressor
    model = fit_regressor(chosen, mixed.weights, values, compared)
    fitted = FittedRegression(chosen, model, mixed.domains, columns, mixed.weights, values, compared[chosen].predicted)
    best = compared[chosen]
    report = {
        "regressor": chosen,
        "runs": len(mixed.index),
        "domains": len(mixed.domains),
        "targets": len(columns),
        "cross_validation": {name: {"spearman": float(best.spearman[i]), "mae": float(best.mae[i])} for i, name in enumerate(columns)},
    }
    return TableModel(fitted, target, tuple(maximized)), report


def stacked_mixtures(paths: Sequence[Path]) -> MixtureTable:
    """Mixtures of several tables of the same domains.

    Raises:
        DataError: the domains differ, or an index occurs twice.
    """
    tables = [MixtureTable.read(path) for path in paths]
    rows = [ordered(table, tables[0].columns) for table in tables]
    return MixtureTable(_stacked_index([t.index for t in tables], paths), tables[0].columns, np.concatenate(rows))


def stacked_losses(paths: Sequence[Path]) -> LossTable:
    """Losses of several tables, of the columns that all have.

    Raises:
        DataError: no column is in all, or an index occurs twice.
    """
    tables = [LossTable.read(path) for path in paths]
    shared = tuple(name for name in tables[0].columns if all(name in table.columns for table in tables))
    if not shared:
        raise DataError(", ".join(map(str, paths)), "have no column in common", "give losses of the same metrics")
    rows = [table.losses[:, [table.columns.index(name) for name in shared]] for table in tables]
    return LossTable(_stacked_index([t.index for t in tables], paths), shared, np.concatenate(rows))


def _stacked_index(indices: Sequence[np.ndarray], paths: Sequence[Path]) -> np.ndarray:
    index = np.concatenate(indices)
    values, counts = np.unique(index, return_counts=True)
    if (counts > 1).any():
        raise DataError(", ".join(map(str, paths)), f"have index {values[counts > 1][0]} twice", "number the runs of all tables apart")
    return index


def save_model(model: TableModel, report: Mapping[str, Any], folder: Path) -> None:
    """Write a model's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    joblib.dump(model.fitted, folder / MODEL)
    (folder / FACTS).write_text(json.dumps({**report, "target": dict(model.target), "maximized": list(model.maximized)}, indent=1))


def load_model(folder: Path) -> TableModel:
    """Read a model's folder.

    Raises:
        ConfigError: it holds none.
    """
    try:
        facts = json.loads((folder / FACTS).read_text())
        return TableModel(joblib.load(folder / MODEL), facts["target"], tuple(facts["maximized"]))
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(
            f"--model {folder}", f"holds no fitted model ({error})", "give the folder that `mashbill mixtures fit` wrote"
        ) from error


def evaluate_tables(model: TableModel, mixtures: Path, losses: Path) -> dict[str, Any]:
    """How well a model predicts runs it has not seen.

    Args:
        model: the model.
        mixtures, losses: tables of those runs.
    Returns:
        runs, mean_spearman, and by column spearman, pearson, mae, regret (measured loss of the run predicted best less the best
        measured), chosen_rank (of that run, from 1) and coverage_90.
    """
    mixed, lost = join_runs(MixtureTable.read(mixtures), LossTable.read(losses), str(losses))
    missing = [name for name in model.fitted.sets if name not in lost.columns]
    if missing:
        raise DataError(f"{losses}: column {missing[0]}", "is missing, and the model predicts it", "give the losses of the same metrics")
    measured = lost.losses[:, [lost.columns.index(name) for name in model.fitted.sets]]
    predicted = model.predict(mixed)
    widths, ranks = model.half_widths(), spearman(predicted, measured)
    targets = {}
    for i, name in enumerate(model.fitted.sets):
        sign = model.signs[i]
        chosen = int(np.argmin(predicted[:, i] * sign))
        better = measured[:, i] * sign
        targets[name] = {
            "spearman": float(ranks[i]),
            "pearson": float(np.corrcoef(predicted[:, i], measured[:, i])[0, 1]),
            "mae": float(np.abs(predicted[:, i] - measured[:, i]).mean()),
            "regret": float(better[chosen] - better.min()),
            "chosen_rank": int((better < better[chosen]).sum()) + 1,
            "coverage_90": float((np.abs(predicted[:, i] - measured[:, i]) <= widths[i]).mean()),
        }
    return {"runs": len(mixed.index), "mean_spearman": float(np.mean(ranks)), "targets": targets}


def ordered(mixtures: MixtureTable, domains: Sequence[str]) -> np.ndarray:
    """[mixtures, domains] weights in the model's order of domains.

    Raises:
        DataError: a domain is missing, or one is there that no run had.
    """
    for name in domains:
        if name not in mixtures.columns:
            raise DataError(f"column {name}", "is missing", "give a weight for every domain the model knows, 0 where it has none")
    unknown = [name for name in mixtures.columns if name not in domains]
    if unknown:
        raise DataError(f"column {unknown[0]}", "is a domain that no run had", f"the model knows {', '.join(domains)}")
    result: np.ndarray = mixtures.weights[:, [mixtures.columns.index(name) for name in domains]]
    return result
