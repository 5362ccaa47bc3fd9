"""Regression over loss curves: what a phase makes of the losses at its start, rolled out to the end of a
schedule.

Proxies give more than their last loss. In each phase a loss keeps a part of where it was, and the rest comes
of the phase's mixture and of what the model knows already, for which the losses of all sets stand:

    loss at the end = kept * loss at the start + f(mixture, losses at the start)

with one number ``kept`` a phase, as forgetting is the optimiser's more than the text's, and one Gaussian
process ``f`` a phase for all sets; that they differ from phase to phase says where in the learning-rate
schedule it is. A schedule's final losses are those of phase after phase, each starting from what was
predicted, or, in a run under way, from what was observed. Runs on one mixture serve as well, but there the
start and the mixture say nearly the same.

Whether order counts at all is for cross-validation to say: a process that sees the mean mixture only is the
baseline.

Source: the setting is RegMix-D's (arXiv 2606.18663: loss trajectories, offline and online schedules);
features and phases are ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np

from mashbill.artifacts import Progress
from mashbill.errors import DataError
from mashbill.mixtures.schedule_choice import Error, TrajectoryCrossValidation
from mashbill.regression.cross_validation import spearman, split_folds
from mashbill.regression.laws.gaussian_process import GaussianProcess
from mashbill.regression.trajectories.runs import PhasedRuns

MIN_RUNS = 8
LEAST_LOSS = 1e-3
PENALTIES = tuple(np.geomspace(1e-3, 1e2, 16).tolist())


class ScheduleRegression(Protocol):
    """Predicts the final losses of schedules."""

    def predict(self, weights: np.ndarray, observed: np.ndarray | None = None) -> np.ndarray:
        """[schedules, sets] final losses of [schedules, phases left, domains], from [sets] losses observed at
        their start."""


class TransitionRegression:
    """A share that is kept and a Gaussian process, phase by phase."""

    def fit(self, weights: np.ndarray, losses: np.ndarray) -> Self:
        """Learn from [runs, phases, domains] weights and [runs, phases, sets] losses at the phases' ends."""
        before = np.concatenate([np.zeros_like(losses[:, :1]), losses[:, :-1]], axis=1)
        self.kept = np.array(
            [_kept(weights[:, p], before[:, p], losses[:, p]) for p in range(weights.shape[1])]
        )
        rest = losses - self.kept[:, None] * before
        self.processes = [
            GaussianProcess().fit(_features(weights[:, p], before[:, p] if p else None), rest[:, p])
            for p in range(weights.shape[1])
        ]
        return self

    def predict(self, weights: np.ndarray, observed: np.ndarray | None = None) -> np.ndarray:
        """Final losses by roll-out.

        Args:
            weights: [schedules, phases left, domains].
            observed: [sets] losses at the start of the first of them; None where that is the first of the
                run.
        Returns:
            [schedules, sets].
        """
        first = len(self.processes) - weights.shape[1]
        losses = np.zeros((1, 1)) if observed is None else observed[None]
        for phase in range(weights.shape[1]):
            features = _features(weights[:, phase], losses if first + phase else None)
            losses = self.kept[first + phase] * losses + self.processes[first + phase].predict(features)
        return losses


def _features(weights: np.ndarray, losses: np.ndarray | None) -> np.ndarray:
    """[schedules, domains + sets] a phase's mixtures and the losses at its start; before the first phase
    there are none."""
    if losses is None:
        return weights
    start = np.broadcast_to(np.maximum(losses, LEAST_LOSS), (len(weights), losses.shape[1]))
    return np.concatenate([weights, start], axis=1)


def _kept(weights: np.ndarray, start: np.ndarray, end: np.ndarray) -> float:
    """Share of [runs, sets] losses at the start that is left at the end, by ridge regression with the
    mixture; mean over sets."""
    from sklearn.linear_model import RidgeCV

    shares = np.zeros(start.shape[1])
    for i in np.flatnonzero(np.ptp(start, axis=0) > 0):
        features = np.concatenate([np.sqrt(weights), start[:, i : i + 1]], axis=1)
        spread = np.maximum(features.std(axis=0), 1e-9)
        shares[i] = (
            RidgeCV(PENALTIES).fit((features - features.mean(axis=0)) / spread, end[:, i]).coef_[-1]
            / spread[-1]
        )
    return float(np.clip(shares, 0, 1).mean())


class MeanRegression:
    """A Gaussian process over the mean mixture, to which order means nothing.

    Args:
        shares: [phases] of the run.
    """

    def __init__(self, shares: np.ndarray) -> None:
        self.shares = shares

    def fit(self, weights: np.ndarray, losses: np.ndarray) -> Self:
        """Learn from [runs, phases, domains] weights and [runs, phases, sets] losses; of these the last."""
        self.process = GaussianProcess().fit(np.einsum("p,rpd->rd", self.shares, weights), losses[:, -1])
        return self

    def predict(self, weights: np.ndarray, observed: np.ndarray | None = None) -> np.ndarray:
        """[schedules, sets] final losses of [schedules, phases, domains]; it has no use for observed
        losses."""
        del observed
        return self.process.predict(np.einsum("p,rpd->rd", self.shares, weights))


@dataclass(frozen=True)
class FittedTrajectories:
    """The regression on all runs, and those that each left a fold out.

    Attributes:
        runs: what it was fitted on.
        regression: on all runs.
        partial: one a fold, on the runs outside it.
        out_of_fold: [runs, sets] final losses rolled out by regressions that had not seen the run.
        static: [runs, sets] the same by processes over the mean mixture.
    """

    runs: PhasedRuns
    regression: TransitionRegression
    partial: Sequence[ScheduleRegression]
    out_of_fold: np.ndarray
    static: np.ndarray

    def compared(self, target: np.ndarray) -> "Compared":
        """How well the final target loss of unseen runs is predicted, with order and without.

        Args:
            target: [sets] weights.
        """
        measured = self.runs.losses[:, -1] @ target
        rolled, static = self.out_of_fold @ target, self.static @ target
        ahead = (static - measured) ** 2 - (rolled - measured) ** 2
        errors = TrajectoryCrossValidation(
            runs=len(measured), trajectories=_error(rolled, measured), static=_error(static, measured)
        )
        return Compared(errors, bool(ahead.mean() > ahead.std(ddof=1) / np.sqrt(len(ahead))))


@dataclass(frozen=True)
class Compared:
    """Predictions of unseen runs, with order and without.

    Attributes:
        errors: of both.
        order_counts: whether the mean squared error with order is lower by more than the standard error of
            the difference.
    """

    errors: TrajectoryCrossValidation
    order_counts: bool


def _error(predicted: np.ndarray, measured: np.ndarray) -> Error:
    """Errors of [runs] predictions."""
    errors = predicted - measured
    rank = float(spearman(predicted[:, None], measured[:, None])[0])
    return Error(spearman=rank, mae=float(np.abs(errors).mean()), rmse=float(np.sqrt((errors**2).mean())))


def fit_trajectories(
    runs: PhasedRuns, *, folds: int, seed: int, progress: Progress = lambda share, words: None
) -> FittedTrajectories:
    """Fit and cross-validate; a fold is of whole runs.

    Args:
        runs: the runs.
        folds, seed: of the cross-validation.
        progress: told of each fold.
    Raises:
        DataError: too few runs, or fewer than two phases.
    """
    if len(runs.index) < MIN_RUNS:
        raise DataError(
            "schedules", f"has {len(runs.index)} finished runs", f"a regression needs at least {MIN_RUNS}"
        )
    if not np.ptp(runs.weights, axis=0).any():
        raise DataError("schedules", "are the same in every run", "train proxies on different schedules")
    if len(runs.shares) < 2:
        raise DataError(
            "schedules",
            "has one phase",
            "train proxies on schedules of several phases, or ask for more phases",
        )
    rolled, static = np.empty_like(runs.losses[:, -1]), np.empty_like(runs.losses[:, -1])
    partial = []
    mean = MeanRegression(runs.shares)
    splits = split_folds(len(runs.index), folds, seed)
    for i, (held, seen) in enumerate(splits):
        progress(i / (len(splits) + 1), f"cross-validating the trajectories, fold {i + 1} of {len(splits)}")
        partial.append(TransitionRegression().fit(runs.weights[seen], runs.losses[seen]))
        rolled[held] = partial[-1].predict(runs.weights[held])
        static[held] = mean.fit(runs.weights[seen], runs.losses[seen]).predict(runs.weights[held])
    progress(len(splits) / (len(splits) + 1), "fitting the trajectories")
    return FittedTrajectories(
        runs, TransitionRegression().fit(runs.weights, runs.losses), partial, rolled, static
    )
