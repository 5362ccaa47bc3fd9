"""Fitting, judging and using a regression on tables of mixtures and losses, whoever trained the runs.

A fitted model is a folder: the regression, and a card that says what it is for and how well it predicts.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mashbill.artifacts import Part, Record
from mashbill.config.search import REGRESSORS
from mashbill.errors import ConfigError, DataError
from mashbill.mixtures import LossTable, MixtureTable, SweepRuns
from mashbill.mixtures.outlier import OutlierLoss
from mashbill.regression.cross_validation import conformal_half_width, spearman
from mashbill.regression.fitted import FittedRegression, SetError, TargetModel, fit_runs
from mashbill.regression.laws.ensemble import FOLDS
from mashbill.regression.laws.registry import MIN_RUNS, least_runs
from mashbill.regression.runs import join_tables, ordered, read_losses, stacked_mixtures, weigh_columns

COVERAGE = 0.9
MEND = "check that run, or give --keep-outliers"


class ModelCard(Record):
    """What a model is for, and how well it predicts.

    Attributes:
        regressor: its name.
        runs: that it was fitted on; skipped_runs: left out, as losses of theirs are missing.
        domains, targets: how many.
        cross_validation: error of each column, out of fold.
        warnings: of what the runs cannot tell, and of losses that are left out.
        target: weight of each column; maximized: columns where higher is better.
        outliers: losses that their mixture does not explain, which nothing was learnt from.
    """

    FILE = "model.json"
    regressor: str
    runs: int
    skipped_runs: int
    domains: int
    targets: int
    cross_validation: dict[str, SetError]
    warnings: tuple[str, ...]
    target: dict[str, float]
    maximized: tuple[str, ...]
    outliers: tuple[OutlierLoss, ...] = ()


class ColumnJudgement(Part):
    """How well one column of unseen runs is predicted.

    Attributes:
        spearman, pearson: correlations; mae: mean absolute error.
        regret: measured loss of the run predicted best less the best measured; chosen_rank: of that run, from
            1.
        coverage_90: share of the runs inside the 90% interval.
    """

    spearman: float
    pearson: float
    mae: float
    regret: float
    chosen_rank: int
    coverage_90: float


class Judgement(Part):
    """How well a model predicts runs it has not seen."""

    runs: int
    skipped_runs: int
    mean_spearman: float
    targets: dict[str, ColumnJudgement]


def fit_tables(
    mixtures: Sequence[Path],
    losses: Sequence[Path],
    target: Mapping[str, float],
    *,
    maximized: Sequence[str] = (),
    regressor: str = "auto",
    seed: int = 0,
    skip_failed: bool = False,
    keep_outliers: bool = False,
) -> tuple[TargetModel, ModelCard]:
    """Fit a regression on CSVs of mixtures and of losses, joined on their index.

    Args:
        mixtures, losses: the tables.
        target: weight of each loss column or pattern of columns; ``all`` stands for every column.
        maximized: columns where higher is better.
        regressor: its name, or auto for the best by cross-validation of those that can bear so few runs.
        seed: seed of the folds.
        skip_failed: leave out runs with a missing loss.
        keep_outliers: learn from losses that their mixture does not explain, too.
    Raises:
        DataError: too few runs, a column that is missing or constant, a loss that is missing or not above 0,
            an index in one file only.
    """
    tables = read_losses(losses)
    target = _by_column(target, tables[0], ", ".join(map(str, losses)), maximized=maximized)
    columns = tuple(name for name in tables[0].columns if name in target)
    given = [table.having(columns) for table in tables]
    joined = join_tables(stacked_mixtures(mixtures), given, maximized=maximized, skip_failed=skip_failed)
    runs = joined.finished
    names = _able(regressor, runs.mixtures, runs.losses.source)
    _check_constant(runs.losses, runs.losses.losses)
    warnings = _fixed_domains(runs.mixtures)
    signs = np.array([-1.0 if name in maximized else 1.0 for name in columns])
    signed = SweepRuns(runs.mixtures, LossTable(runs.losses.index, columns, runs.losses.losses * signs))
    fitted, compared = fit_runs(signed, regressor, names, folds=FOLDS, seed=seed, keep_outliers=keep_outliers)
    model, best = TargetModel(fitted, target, tuple(maximized)), compared[fitted.name]
    outliers = model.outliers(runs.losses.index)
    _check_constant(runs.losses, fitted.known_losses, " but for outliers")
    errors = zip(columns, best.spearman.tolist(), best.mae.tolist(), strict=True)
    card = ModelCard(
        regressor=fitted.name,
        runs=len(runs),
        skipped_runs=len(joined) - len(runs),
        domains=len(fitted.domains),
        targets=len(columns),
        cross_validation={name: SetError(spearman=rank, mae=mae) for name, rank, mae in errors},
        warnings=(*warnings, *(one.warning(runs.losses.source, MEND) for one in outliers)),
        target=dict(target),
        maximized=tuple(maximized),
        outliers=outliers,
    )
    return model, card


def predict(model: TargetModel, mixtures: MixtureTable) -> np.ndarray:
    """[mixtures, columns] predictions, in the columns' own sign.

    Raises:
        DataError: the table lacks a domain of the model.
    """
    return model.fitted.regressor.predict(ordered(mixtures, model.fitted.domains)) * model.signs


def save_model(model: TargetModel, card: ModelCard, folder: Path) -> None:
    """Write a model's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    model.fitted.write(folder)
    card.write(folder)


def load_model(folder: Path, option: str = "--model") -> TargetModel:
    """Read a model's folder; errors name the option that gave it.

    Raises:
        ConfigError: it holds none.
    """
    try:
        card = ModelCard.read(folder)
        return TargetModel(FittedRegression.read(folder), card.target, card.maximized)
    except DataError as error:
        what = f"holds no fitted model ({error.where} {error.what})"
        mend = f"{error.mend}, or give the folder that `mashbill mixtures fit` wrote"
        raise ConfigError(f"{option} {folder}", what, mend) from error


def evaluate_tables(
    model: TargetModel, mixtures: Path, losses: Path, *, skip_failed: bool = False
) -> Judgement:
    """How well a model predicts runs it has not seen.

    Args:
        model: the model.
        mixtures, losses: tables of those runs.
        skip_failed: leave out runs with a missing loss.
    Raises:
        DataError: a column or domain is missing, a loss is missing or not above 0, a column is constant, or
            fewer than two runs are left.
    """
    fitted, table = model.fitted, LossTable.take(losses)
    missing = [name for name in fitted.sets if name not in table.columns]
    if missing:
        where, what = f"{losses}: column {missing[0]}", "is missing, and the model predicts it"
        raise DataError(where, what, "give the losses of the same metrics")
    given = [table.having(fitted.sets)]
    mixed = MixtureTable.read(mixtures)
    joined = join_tables(mixed, given, maximized=model.maximized, skip_failed=skip_failed)
    runs = joined.finished
    if len(runs) < 2:
        raise DataError(str(losses), f"has {len(runs)} finished runs", "an order needs at least 2")
    _check_constant(runs.losses, runs.losses.losses)
    measured, predicted = runs.losses.losses, predict(model, runs.mixtures)
    ranks = spearman(predicted, measured)
    columns = {}
    for i, name in enumerate(fitted.sets):
        half = conformal_half_width(fitted.residuals[:, i], COVERAGE)
        columns[name] = _judge(
            predicted[:, i], measured[:, i], float(ranks[i]), sign=model.signs[i], half=half
        )
    skipped = len(joined) - len(runs)
    return Judgement(
        runs=len(runs), skipped_runs=skipped, mean_spearman=float(np.mean(ranks)), targets=columns
    )


def _judge(
    predicted: np.ndarray, measured: np.ndarray, rank: float, *, sign: float, half: float
) -> ColumnJudgement:
    """The judgement of [runs] predictions of one column; its intervals are twice ``half`` wide."""
    errors, better = np.abs(predicted - measured), measured * sign
    chosen = int(np.argmin(predicted * sign))
    pearson = float(np.corrcoef(predicted, measured)[0, 1]) if np.ptp(predicted) else 0.0
    return ColumnJudgement(
        spearman=rank,
        pearson=pearson,
        mae=float(errors.mean()),
        regret=float(better[chosen] - better.min()),
        chosen_rank=int((better < better[chosen]).sum()) + 1,
        coverage_90=float((errors <= half).mean()),
    )


def _by_column(
    target: Mapping[str, float], losses: LossTable, where: str, *, maximized: Sequence[str]
) -> dict[str, float]:
    """The target's weights by loss column."""
    for name in (*target, *maximized):
        if name in losses.text:
            what = f"is text ({losses.text[name]!r:.40}), and no loss"
            raise DataError(f"{where}: column {name}", what, f"choose among {', '.join(losses.columns)}")
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


def _check_constant(losses: LossTable, known: np.ndarray, but: str = "") -> None:
    """Raise DataError where a column of [runs, columns] losses, NaN where one is unknown, is constant."""
    spread = np.nanmax(known, axis=0) - np.nanmin(known, axis=0)
    constant = [losses.columns[i] for i in np.flatnonzero(spread == 0)]
    if constant:
        what = f"is constant{but}, so nothing can be learnt of it"
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
