"""How well regressors predict runs they have not seen: cross-validation within the training runs, and nothing
else."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mashbill.errors import DataError
from mashbill.regression.regressor import Regressor
from mashbill.regression.seed_noise import same_mixtures

FOLD_TAG = 502
MIN_RUNS = 4


@dataclass(frozen=True)
class CrossValidation:
    """Out-of-fold predictions of one regressor.

    Attributes:
        predicted: [runs, targets] losses predicted for each run by a model that has not seen it.
        spearman: [targets] rank correlation with the measured losses.
        mae: [targets] mean absolute error, in the losses' unit.
    """

    predicted: np.ndarray
    spearman: np.ndarray
    mae: np.ndarray


def cross_validate(
    make: Callable[[], Regressor], weights: np.ndarray, losses: np.ndarray, *, folds: int, seed: int
) -> CrossValidation:
    """Cross-validate one regressor.

    Args:
        make: gives one that is not fitted yet.
        weights: [runs, domains] mixtures.
        losses: [runs, targets] measured losses; NaN where one is unknown, which is predicted and not judged.
        folds: folds, at most one a mixture.
        seed: seed of the folds.
    Raises:
        DataError: fewer than four runs.
    """
    predicted = np.empty_like(losses)
    for held, seen in split_folds(len(weights), folds, seed, mixtures=same_mixtures(weights)):
        predicted[held] = make().fit(weights[seen], losses[seen]).predict(weights[held])
    return measured_by(predicted, losses)


def split_folds(
    runs: int, folds: int, seed: int, *, mixtures: np.ndarray | None = None
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Runs held out of each fold, and those learnt from.

    Args:
        runs: how many.
        folds: folds.
        seed: of the order.
        mixtures: [runs] numbers of their mixtures; runs of one mixture are held out together, as one would
            tell what the other's loss is. None means that each has its own.
    Raises:
        DataError: fewer than four runs, or all of one mixture.
    """
    if runs < MIN_RUNS:
        raise DataError(
            "sweep", f"left {runs} finished runs", f"train at least {MIN_RUNS}: raise plan.mixtures"
        )
    numbers = np.arange(runs) if mixtures is None else mixtures
    _, first, places = np.unique(numbers, return_index=True, return_inverse=True)
    numbers, count = np.argsort(np.argsort(first))[places], len(first)  # in the order of the runs
    if count < 2:
        raise DataError("sweep", "has the same mixture in every run", "train on different mixtures")
    order = np.random.default_rng([seed, FOLD_TAG]).permutation(count)
    held = [np.flatnonzero(np.isin(numbers, part)) for part in np.array_split(order, min(folds, count))]
    return [(runs_held, np.setdiff1d(np.arange(runs), runs_held)) for runs_held in held]


def measured_by(predicted: np.ndarray, losses: np.ndarray) -> CrossValidation:
    """What [runs, targets] out-of-fold predictions are worth, where the losses are known."""
    errors = np.abs(predicted - losses)
    return CrossValidation(predicted, spearman(predicted, losses), np.nanmean(errors, axis=0))


def spearman(predicted: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """[targets] rank correlation of two [runs, targets] arrays, of the runs that were measured; 0 where one
    is constant."""
    from scipy.stats import rankdata

    known = ~np.isnan(measured)
    one, other = (
        rankdata(np.where(known, table, np.nan), axis=0, nan_policy="omit") for table in (predicted, measured)
    )
    one, other = one - np.nanmean(one, axis=0), other - np.nanmean(other, axis=0)
    scale = np.sqrt(np.nansum(one**2, axis=0) * np.nansum(other**2, axis=0))
    return np.divide(np.nansum(one * other, axis=0), scale, out=np.zeros(one.shape[1]), where=scale > 0)


def conformal_half_width(residuals: np.ndarray, coverage: float) -> float:
    """Half the width of an interval that covers a new run with the given probability.

    Split-conformal on out-of-fold residuals; with too few of them for the quantile, the largest widened in
    proportion.

    Args:
        residuals: [runs] measured less predicted; NaN where one is unknown.
        coverage: wanted coverage, in (0, 1).
    """
    ordered = np.sort(np.abs(residuals[~np.isnan(residuals)]))
    rank = int(np.ceil((len(ordered) + 1) * coverage))
    if rank <= len(ordered):
        return float(ordered[rank - 1])
    return float(ordered[-1] * (len(ordered) + 1) * coverage / len(ordered))
