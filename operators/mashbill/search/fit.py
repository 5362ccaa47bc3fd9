"""The fit stage: regressors compared by cross-validation, the chosen one fitted on all runs."""

import logging

from mashbill.artifacts import Counts, StageRun
from mashbill.mixtures import SweepRuns
from mashbill.mixtures.sweep_runs import runs_that_count
from mashbill.regression.fitted import MODEL, RegressorComparison, TargetModel, fit_runs

MEND = "look at that proxy, or set regression.keep_outliers"
log = logging.getLogger(__name__)
OUTPUTS = {MODEL: "the fitted regressor", RegressorComparison.FILE: "the regressors compared"}


def fit(run: StageRun) -> Counts:
    """Fit and compare; the choice is by the mean rank correlation over the targets, out of fold."""
    sweeps, config = (run.inputs["sweep"], run.inputs["refine"]), run.config.regression
    runs = runs_that_count(run.inputs["plan"], *sweeps)
    fitted, compared = fit_runs(
        runs,
        config.regressor,
        folds=config.folds,
        seed=run.config.seed,
        keep_outliers=config.keep_outliers,
        progress=run.progress,
    )
    fitted.write(run.output)
    comparison = RegressorComparison.of(TargetModel(fitted, run.config.target), compared, runs.mixtures.index)
    comparison.write(run.output)
    for outlier in comparison.outliers:
        log.warning(outlier.warning("sweep", MEND))
    best = comparison.regressors[fitted.name]
    return {
        "runs": len(runs),
        "kept_runs": len(runs) - len(SweepRuns.read(*sweeps).finished),
        "outliers": len(comparison.outliers),
        "regressor": fitted.name,
        "spearman": best.mean_spearman,
        "mae": best.mean_mae,
    }
