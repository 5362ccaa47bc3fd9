"""How well regressors predict runs they have not seen: cross-validation within the training runs, and nothing
else."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mashbill.errors import DataError
from mashbill.regression.regressor import Regressor

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
        losses: [runs, targets] measured losses.
        folds: folds, at most one a run.
        seed: seed of the folds.
    Raises:
        DataError: fewer than four runs.
    """
    predicted = np.empty_like(losses)
    for held, seen in split_folds(len(weights), folds, seed):
        predicted[held] = make().fit(weights[seen], losses[seen]).predict(weights[held])
    return measured_by(predicted, losses)


def split_folds(runs: int, folds: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Runs held out of each fold, and those learnt from.

    Raises:
        DataError: fewer than four runs.
    """
    if runs < MIN_RUNS:
        raise DataError(
            "sweep", f"left {runs} finished runs", f"train at least {MIN_RUNS}: raise plan.mixtures"
        )
    order = np.random.default_rng([seed, FOLD_TAG]).permutation(runs)
    return [(held, np.setdiff1d(order, held)) for held in np.array_split(order, min(folds, runs))]


def measured_by(predicted: np.ndarray, losses: np.ndarray) -> CrossValidation:
    """What [runs, targets] out-of-fold predictions are worth."""
    return CrossValidation(predicted, spearman(predicted, losses), np.abs(predicted - losses).mean(axis=0))


def spearman(predicted: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """[targets] rank correlation of two [runs, targets] arrays; 0 where one is constant."""
    from scipy.stats import rankdata

    one, other = rankdata(predicted, axis=0), rankdata(measured, axis=0)
    one, other = one - one.mean(axis=0), other - other.mean(axis=0)
    scale = np.sqrt((one**2).sum(axis=0) * (other**2).sum(axis=0))
    return np.divide((one * other).sum(axis=0), scale, out=np.zeros(one.shape[1]), where=scale > 0)


def conformal_half_width(residuals: np.ndarray, coverage: float) -> float:
    """Half the width of an interval that covers a new run with the given probability.

    Split-conformal on out-of-fold residuals; with too few of them for the quantile, the largest widened in
    proportion.

    Args:
        residuals: [runs] measured less predicted.
        coverage: wanted coverage, in (0, 1).
    """
    ordered = np.sort(np.abs(residuals))
    rank = int(np.ceil((len(ordered) + 1) * coverage))
    if rank <= len(ordered):
        return float(ordered[rank - 1])
    return float(ordered[-1] * (len(ordered) + 1) * coverage / len(ordered))
