"""A fitted regression: the regressor, the runs it learnt from, what it predicts of runs it never saw, its
target."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from mashbill.artifacts import Artifact, Part, Place, Progress, Record, file_in, has_file
from mashbill.config.search import REGRESSORS
from mashbill.errors import DataError
from mashbill.mixtures import Prediction, SweepRuns
from mashbill.mixtures.outlier import OutlierLoss
from mashbill.regression.cross_validation import CrossValidation, conformal_half_width
from mashbill.regression.laws.ensemble import choose_regressor, compare, fit_regressor
from mashbill.regression.laws.gaussian_process import GaussianProcess
from mashbill.regression.laws.registry import regressor_named
from mashbill.regression.outliers import Outliers, find_outliers, no_outliers
from mashbill.regression.posterior import ErrorPosterior, Posterior
from mashbill.regression.regressor import Regressor
from mashbill.regression.state import State, part_of, read_state, within, write_state

MODEL = "regression.safetensors"
FORMAT = 1  # of the file; another is not read
EARLIER_MODEL = "regression.joblib"  # a pickle, which is never opened
UNREADABLE = (OSError, KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError)


@dataclass(frozen=True)
class FittedRegression:
    """A regressor fitted on runs, with the runs.

    Attributes:
        name: name of the regressor.
        regressor: fitted on all finished runs.
        domains, sets: names of the weights' and of the losses' columns.
        weights, losses: the runs it was fitted on.
        out_of_fold: [runs, sets] predictions by models that had not seen the run.
        outliers: losses that it did not learn from; None where none was looked for.
    """

    name: str
    regressor: Regressor
    domains: tuple[str, ...]
    sets: tuple[str, ...]
    weights: np.ndarray
    losses: np.ndarray
    out_of_fold: np.ndarray
    outliers: Outliers | None = None

    @property
    def known_losses(self) -> np.ndarray:
        """[runs, sets] losses that it learnt from; NaN in place of outliers."""
        return self.losses if self.outliers is None else np.where(self.outliers.found, np.nan, self.losses)

    @property
    def residuals(self) -> np.ndarray:
        """[runs, sets] measured less predicted, out of fold; NaN in place of outliers."""
        return self.known_losses - self.out_of_fold

    @property
    def posterior(self) -> Posterior:
        """What is believed around the regressor's predictions."""
        if isinstance(self.regressor, GaussianProcess):
            return self.regressor
        return ErrorPosterior(self.regressor, self.weights, self.residuals)

    def write(self, folder: Path) -> None:
        """Write it into a folder, as arrays and JSON values."""
        state = {"format": FORMAT, "name": self.name, "domains": self.domains, "sets": self.sets}
        arrays = {"weights": self.weights, "losses": self.losses, "out_of_fold": self.out_of_fold}
        if self.outliers is not None:
            arrays |= within("outliers", vars(self.outliers))
        write_state(folder / MODEL, {**state, **arrays, **within("regressor", self.regressor.state())})

    @classmethod
    def read(cls, place: Place) -> Self:
        """The regression that an artifact or a folder holds.

        Raises:
            DataError: there is none, or it was written by another version.
        """
        if has_file(place, EARLIER_MODEL) and not has_file(place, MODEL):
            where = place.address if isinstance(place, Artifact) else str(place)
            raise DataError(where, f"was made by an earlier version ({EARLIER_MODEL})", "fit again")
        path = file_in(place, MODEL)
        try:
            return cls._of(read_state(path))
        except UNREADABLE as error:
            reason = " ".join(str(error).split())
            raise DataError(
                str(path), f"holds no fitted regression ({reason:.200})", "fit it again"
            ) from error

    @classmethod
    def _of(cls, state: State) -> Self:
        """The regression of a state; ValueError and its like where it is none."""
        if state["format"] != FORMAT:
            raise ValueError(f"its format is {state['format']}, and {FORMAT} is read")
        name, domains, sets = state["name"], tuple(state["domains"]), tuple(state["sets"])
        weights, losses, out_of_fold = state["weights"], state["losses"], state["out_of_fold"]
        runs = len(weights)
        marks = part_of(state, "outliers")
        outliers = Outliers(**marks) if marks else None
        tables = (losses, out_of_fold, *marks.values())
        if weights.shape != (runs, len(domains)) or {t.shape for t in tables} != {(runs, len(sets))}:
            raise ValueError("its tables do not fit one another")
        regressor = regressor_named(name).from_state(part_of(state, "regressor"))
        if regressor.predict(weights[:1]).shape != (1, len(sets)):
            raise ValueError("its regressor predicts other sets")
        return cls(name, regressor, domains, sets, weights, losses, out_of_fold, outliers)


@dataclass(frozen=True)
class TargetModel:
    """A regression and what it is for.

    Attributes:
        fitted: the regression; columns to be maximised are negated in it.
        target: weight of each set.
        maximized: columns where higher is better.
    """

    fitted: FittedRegression
    target: Mapping[str, float]
    maximized: tuple[str, ...] = ()

    @property
    def weights(self) -> np.ndarray:
        """[sets] weight of each set in the target.

        Raises:
            DataError: a set of the target was not measured.
        """
        missing = [name for name in self.target if name not in self.fitted.sets]
        if missing:
            mend = f"choose among {', '.join(self.fitted.sets)}"
            raise DataError(f"mix.target.{missing[0]}", "is no set the sweep measured", mend)
        return np.array([self.target.get(name, 0.0) for name in self.fitted.sets])

    @property
    def signs(self) -> np.ndarray:
        """[sets] -1 where higher is better."""
        return np.array([-1.0 if name in self.maximized else 1.0 for name in self.fitted.sets])

    @property
    def known_losses(self) -> np.ndarray:
        """[runs] of the target; NaN where a set of it is an outlier.

        Raises:
            DataError: that is so of every run.
        """
        weights = self.weights
        losses: np.ndarray = self.fitted.known_losses[:, weights > 0] @ weights[weights > 0]
        if np.isnan(losses).all():
            raise DataError("losses", "have an outlier in every run", "fit fewer columns, or keep outliers")
        return losses

    @property
    def residuals(self) -> np.ndarray:
        """[runs without an outlier] of the target, measured less predicted, out of fold."""
        residuals = self.known_losses - self.fitted.out_of_fold @ self.weights
        return residuals[~np.isnan(residuals)]

    def outliers(self, index: np.ndarray) -> tuple[OutlierLoss, ...]:
        """The losses that the regression did not learn from, of [runs] indices."""
        fitted = self.fitted
        if fitted.outliers is None:
            return ()
        return fitted.outliers.listed(index, fitted.sets, fitted.losses, signs=self.signs)

    @property
    def noise(self) -> float:
        """Median absolute error of the target's prediction, out of fold."""
        return float(np.median(np.abs(self.residuals)))

    def loss(self, mixtures: np.ndarray) -> np.ndarray:
        """[mixtures] predicted target losses of [mixtures, domains]."""
        return self.fitted.regressor.predict(mixtures) @ self.weights

    def predictions(self, mixtures: Mapping[str, np.ndarray], coverage: float) -> dict[str, Prediction]:
        """Predicted target losses of named mixtures, with conformal intervals of a coverage."""
        half = conformal_half_width(self.residuals, coverage)
        predict, target = self.fitted.regressor.predict, self.weights
        losses = {name: float(predict(weights[None])[0] @ target) for name, weights in mixtures.items()}
        return {
            name: Prediction(loss=loss, interval=(loss - half, loss + half)) for name, loss in losses.items()
        }


class SetError(Part):
    """How well one set is predicted, out of fold: rank correlation and mean absolute error."""

    spearman: float
    mae: float


class RegressorErrors(Part):
    """How well one regressor predicts, over all sets and by set."""

    mean_spearman: float
    mean_mae: float
    targets: dict[str, SetError]


class TargetPredictions(Part):
    """Measured and predicted target losses by run, out of fold."""

    index: tuple[int | str, ...]
    measured: tuple[float, ...]
    predicted: tuple[float, ...]


class RegressorComparison(Record):
    """The regressors compared by cross-validation within the runs, what the chosen one predicted, and the
    losses that none of them learnt from."""

    FILE = "cross_validation.json"
    chosen: str
    runs: int
    domains: tuple[str, ...]
    regressors: dict[str, RegressorErrors]
    predictions: dict[str, TargetPredictions]
    outliers: tuple[OutlierLoss, ...] = ()

    @classmethod
    def of(cls, model: TargetModel, compared: Mapping[str, CrossValidation], index: np.ndarray) -> Self:
        """The record of a comparison.

        Args:
            model: what was fitted, and for what.
            compared: the regressors' cross-validation.
            index: [runs] of the runs.
        """
        fitted, measured = model.fitted, model.known_losses
        known = ~np.isnan(measured)
        predictions = TargetPredictions(
            index=tuple(index[known].tolist()),
            measured=tuple(measured[known].tolist()),
            predicted=tuple((fitted.out_of_fold @ model.weights)[known].tolist()),
        )
        return cls(
            chosen=fitted.name,
            runs=len(index),
            domains=fitted.domains,
            regressors={name: _errors(cv, fitted.sets) for name, cv in compared.items()},
            predictions={"target": predictions},
            outliers=model.outliers(index),
        )


def fit_runs(
    runs: SweepRuns,
    regressor: str,
    among: Sequence[str] = REGRESSORS,
    *,
    folds: int,
    seed: int,
    keep_outliers: bool = False,
    progress: Progress = lambda share, words: None,
) -> tuple[FittedRegression, dict[str, CrossValidation]]:
    """Compare regressors on finished runs by cross-validation, and fit one of them on all.

    Args:
        runs: finished ones.
        regressor: its name, or auto for the best of those that are compared.
        among: which are compared.
        folds, seed: of the cross-validation.
        keep_outliers: learn from losses that their mixture does not explain, too.
        progress: told of each regressor.
    Returns:
        The fitted regression, and the comparison by name.
    """
    weights, losses = runs.mixtures.weights, runs.losses.losses
    outliers = no_outliers(losses) if keep_outliers else find_outliers(weights, losses)
    known = np.where(outliers.found, np.nan, losses)
    compared = compare(among, weights, known, folds=folds, seed=seed, progress=progress)
    chosen = choose_regressor(compared) if regressor == "auto" else regressor
    progress(0.9, f"fitting {chosen}")
    model = fit_regressor(chosen, weights, known, compared=compared)
    domains, sets, out_of_fold = runs.mixtures.domains, runs.losses.columns, compared[chosen].predicted
    fitted = FittedRegression(chosen, model, domains, sets, weights, losses, out_of_fold, outliers)
    return fitted, compared


def _errors(cv: CrossValidation, sets: Sequence[str]) -> RegressorErrors:
    rows = zip(sets, cv.spearman.tolist(), cv.mae.tolist(), strict=True)
    return RegressorErrors(
        mean_spearman=round(float(cv.spearman.mean()), 4),
        mean_mae=round(float(cv.mae.mean()), 5),
        targets={name: SetError(spearman=round(rank, 4), mae=round(mae, 5)) for name, rank, mae in rows},
    )
