"""The fit stage: regressors compared by cross-validation, the chosen one fitted on all runs."""

import json
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from mashbill.artifacts import Counts, StageRun
from mashbill.mixtures import LossTable, MixtureTable
from mashbill.mixtures.reuse import with_kept_runs
from mashbill.regression.cross_validation import CrossValidation
from mashbill.regression.fitted import FittedRegression
from mashbill.regression.laws.ensemble import REGRESSORS, choose_regressor, compare, fit_regressor
from mashbill.regression.runs import align, finished


def fit(run: StageRun) -> Counts:
    """Fit and compare; the choice is by the mean rank correlation over the targets, out of fold."""
    today = read_runs(run.inputs["sweep"].path, run.inputs["refine"].path)
    mixtures, losses = with_kept_runs(*today, run.inputs["plan"].path)
    config = run.config.regression
    compared = compare(
        REGRESSORS, mixtures.weights, losses.losses, config.folds, run.config.seed, run.progress
    )
    chosen = choose_regressor(compared) if config.regressor == "auto" else config.regressor
    run.progress(0.9, f"fitting {chosen}")
    fitted = FittedRegression(
        chosen,
        fit_regressor(chosen, mixtures.weights, losses.losses, compared),
        mixtures.domains,
        losses.columns,
        mixtures.weights,
        losses.losses,
        compared[chosen].predicted,
    )
    joblib.dump(fitted, run.output / "regression.joblib")
    report = _describe(fitted, compared, fitted.target_weights(run.config.target), mixtures.index)
    (run.output / "cross_validation.json").write_text(json.dumps(report, indent=1))
    best = report["regressors"][chosen]
    kept = len(mixtures.index) - len(today[0].index)
    return {
        "runs": len(mixtures.index),
        "kept_runs": kept,
        "regressor": chosen,
        "spearman": best["mean_spearman"],
        "mae": best["mean_mae"],
    }


def read_runs(*sweeps: Path) -> tuple[MixtureTable, LossTable]:
    """Mixtures and losses of the runs that finished, joined on their index; of several sweeps over the same
    domains and sets.

    Raises:
        DataError: an index is in one table only.
    """
    mixtures = [
        MixtureTable.read(sweep / "mixtures.csv") for sweep in sweeps if (sweep / "mixtures.csv").exists()
    ]
    losses = [LossTable.read(sweep / "losses.csv") for sweep in sweeps if (sweep / "losses.csv").exists()]
    index, weights = (
        np.concatenate([t.index for t in mixtures]),
        np.concatenate([t.weights for t in mixtures]),
    )
    known, values = np.concatenate([t.index for t in losses]), np.concatenate([t.losses for t in losses])
    mixed = MixtureTable(index, mixtures[0].columns, weights, mixtures[0].source)
    runs = finished(mixed, align(mixed, LossTable(known, losses[0].columns, values, losses[0].source)))
    return runs.mixtures, runs.losses


def _describe(
    fitted: FittedRegression, compared: dict[str, CrossValidation], target: np.ndarray, index: np.ndarray
) -> dict[str, Any]:
    regressors = {
        name: {
            "mean_spearman": round(float(cv.spearman.mean()), 4),
            "mean_mae": round(float(cv.mae.mean()), 5),
            "targets": {
                s: {"spearman": round(float(cv.spearman[i]), 4), "mae": round(float(cv.mae[i]), 5)}
                for i, s in enumerate(fitted.sets)
            },
        }
        for name, cv in compared.items()
    }
    predictions = {
        "index": index.tolist(),
        "measured": (fitted.losses @ target).tolist(),
        "predicted": (fitted.out_of_fold @ target).tolist(),
    }
    return {
        "chosen": fitted.name,
        "runs": len(index),
        "domains": list(fitted.domains),
        "regressors": regressors,
        "predictions": {"target": predictions},
    }
