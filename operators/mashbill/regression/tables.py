"""Fitting, judging and using a regression on tables of mixtures and losses, whoever trained the runs.

A fitted model is a folder: ``regression.joblib`` and ``model.json`` (target, columns, cross-validation).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import joblib
import numpy as np

from mashbill.errors import ConfigError, DataError
from mashbill.mixtures import LossTable, MixtureTable
from mashbill.regression.cross_validation import conformal_half_width, spearman
from mashbill.regression.fitted import FittedRegression
from mashbill.regression.laws.ensemble import FOLDS, REGRESSORS, choose_regressor, compare, fit_regressor
from mashbill.regression.laws.registry import MIN_RUNS, least_runs
from mashbill.regression.runs import join_tables, ordered, read_losses, stacked_mixtures, weigh_columns

COVERAGE = 0.9
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
        return self.fitted.regressor.predict(ordered(mixtures, self.fitted.domains)) * self.signs


def fit_tables(
    mixtures: Sequence[Path],
    losses: Sequence[Path],
    target: Mapping[str, float],
    *,
    maximized: Sequence[str] = (),
    regressor: str = "auto",
    seed: int = 0,
    skip_failed: bool = False,
) -> tuple[TableModel, dict[str, Any]]:
    """Fit a regression on CSVs of mixtures and of losses, joined on their index.

    Args:
        mixtures, losses: the tables.
        target: weight of each loss column or pattern of columns; ``all`` stands for every column.
        maximized: columns where higher is better.
        regressor: its name, or auto for the best by cross-validation of those that can bear so few runs.
        seed: seed of the folds.
        skip_failed: leave out runs with a missing loss.
    Returns:
        The model, and its report: regressor, runs, skipped_runs, domains, targets, cross_validation by
            column, warnings.
    Raises:
        DataError: too few runs, a column that is missing or constant, a missing or negative loss, an index in
            one file only.
    """
    tables = read_losses(losses)
    target = _by_column(target, tables[0], ", ".join(map(str, losses)), maximized)
    columns = tuple(name for name in tables[0].columns if name in target)
    mixed = stacked_mixtures(mixtures)
    runs = join_tables(
        mixed, [table.having(columns) for table in tables], maximized=maximized, skip_failed=skip_failed
    )
    mixed, lost = runs.mixtures, runs.losses
    names = _able(regressor, mixed, lost.source)
    _check_constant(lost)
    warnings = _fixed_domains(mixed)
    values = lost.losses * np.array([-1.0 if name in maximized else 1.0 for name in columns])
    compared = compare(names, mixed.weights, values, FOLDS, seed)
    chosen = choose_regressor(compared) if regressor == "auto" else regressor
    model = fit_regressor(chosen, mixed.weights, values, compared)
    fitted = FittedRegression(
        chosen, model, mixed.domains, columns, mixed.weights, values, compared[chosen].predicted
    )
    best = compared[chosen]
    report = {
        "regressor": chosen,
        "runs": len(mixed.index),
        "skipped_runs": runs.skipped,
        "domains": len(mixed.domains),
        "targets": len(columns),
        "cross_validation": {
            name: {"spearman": float(best.spearman[i]), "mae": float(best.mae[i])}
            for i, name in enumerate(columns)
        },
        "warnings": warnings,
    }
    return TableModel(fitted, target, tuple(maximized)), report


def _by_column(
    target: Mapping[str, float], losses: LossTable, where: str, maximized: Sequence[str]
) -> dict[str, float]:
    """The target's weights by loss column."""
    weights = weigh_columns(target, losses.columns, where)
    weigh_columns(dict.fromkeys(maximized, 1.0), losses.columns, where)
    return weights


def _able(regressor: str, mixtures: MixtureTable, where: str) -> list[str]:
    """The regressors to compare, which can bear so few runs."""
    runs, domains = len(mixtures.index), len(mixtures.domains)
    names = (
        [name for name in REGRESSORS if least_runs(name, domains) <= runs]
        if regressor == "auto"
        else [regressor]
    )
    least = least_runs(regressor, domains)
    if runs < least:
        needs = (
            f"a regression needs at least {least}"
            if least == MIN_RUNS
            else f"{regressor} of {domains} domains needs at least {least}"
        )
        raise DataError(
            where,
            f"has {runs} finished runs",
            needs if least == MIN_RUNS else f"{needs}: train more, or give --regressor gp",
        )
    return names


def _check_constant(losses: LossTable) -> None:
    constant = [
        name for name, column in zip(losses.columns, losses.losses.T, strict=True) if np.ptp(column) == 0
    ]
    if constant:
        what = "is constant, so nothing can be learnt of it"
        raise DataError(f"{losses.source}: column {constant[0]}", what, "leave it out of the target")


def _fixed_domains(mixtures: MixtureTable) -> list[str]:
    """A warning where domains have the same weight in every run."""
    fixed = np.flatnonzero(np.ptp(mixtures.weights, axis=0) < 1e-9)
    if len(fixed) == len(mixtures.domains):
        raise DataError(mixtures.source, "has the same mixture in every run", "train on different mixtures")
    return [
        f"{mixtures.source}: column {mixtures.domains[i]}: has the same weight in every run, so nothing "
        "is known of it; "
        "train some mixtures with more or less of it"
        for i in fixed
    ]


def save_model(model: TableModel, report: Mapping[str, Any], folder: Path) -> None:
    """Write a model's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    joblib.dump(model.fitted, folder / MODEL)
    (folder / FACTS).write_text(
        json.dumps({**report, "target": dict(model.target), "maximized": list(model.maximized)}, indent=1)
    )


def load_model(folder: Path, option: str = "--model") -> TableModel:
    """Read a model's folder; errors name the option that gave it.

    Raises:
        ConfigError: it holds none.
    """
    try:
        facts = json.loads((folder / FACTS).read_text())
        return TableModel(joblib.load(folder / MODEL), facts["target"], tuple(facts["maximized"]))
    except (OSError, ValueError, KeyError, EOFError, AttributeError, ImportError, UnpicklingError) as error:
        what = f"holds no fitted model ({' '.join(str(error).split())})"
        raise ConfigError(
            f"{option} {folder}", what, "give the folder that `mashbill mixtures fit` wrote"
        ) from error


def evaluate_tables(
    model: TableModel, mixtures: Path, losses: Path, *, skip_failed: bool = False
) -> dict[str, Any]:
    """How well a model predicts runs it has not seen.

    Args:
        model: the model.
        mixtures, losses: tables of those runs.
        skip_failed: leave out runs with a missing loss.
    Returns:
        runs, skipped_runs, mean_spearman, and by column spearman, pearson, mae, regret (measured loss of the
        run predicted best less the best measured), chosen_rank (of that run, from 1) and coverage_90.
    Raises:
        DataError: a column or domain is missing, a loss is missing or negative, a column is constant, or
            fewer than two runs are left.
    """
    table = LossTable.read(losses)
    missing = [name for name in model.fitted.sets if name not in table.columns]
    if missing:
        raise DataError(
            f"{losses}: column {missing[0]}",
            "is missing, and the model predicts it",
            "give the losses of the same metrics",
        )
    given = [table.having(model.fitted.sets)]
    runs = join_tables(MixtureTable.read(mixtures), given, maximized=model.maximized, skip_failed=skip_failed)
    if len(runs.losses.index) < 2:
        raise DataError(
            str(losses), f"has {len(runs.losses.index)} finished runs", "an order needs at least 2"
        )
    _check_constant(runs.losses)
    measured, predicted = runs.losses.losses, model.predict(runs.mixtures)
    widths, ranks = model.half_widths(), spearman(predicted, measured)
    targets = {}
    for i, name in enumerate(model.fitted.sets):
        sign = model.signs[i]
        chosen = int(np.argmin(predicted[:, i] * sign))
        better = measured[:, i] * sign
        targets[name] = {
            "spearman": float(ranks[i]),
            "pearson": float(np.corrcoef(predicted[:, i], measured[:, i])[0, 1])
            if np.ptp(predicted[:, i])
            else 0.0,
            "mae": float(np.abs(predicted[:, i] - measured[:, i]).mean()),
            "regret": float(better[chosen] - better.min()),
            "chosen_rank": int((better < better[chosen]).sum()) + 1,
            "coverage_90": float((np.abs(predicted[:, i] - measured[:, i]) <= widths[i]).mean()),
        }
    return {
        "runs": len(measured),
        "skipped_runs": runs.skipped,
        "mean_spearman": float(np.mean(ranks)),
        "targets": targets,
    }
