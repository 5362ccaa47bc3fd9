"""Caution and advice speak of the regressor that was chosen: of its predictions, of errors like its own."""

import numpy as np
import pytest

from mashbill.config import MixConfig
from mashbill.mixtures import LossTable, MixtureTable, SweepRuns
from mashbill.regression.advice import advise
from mashbill.regression.fitted import FittedRegression, TargetModel, fit_runs
from mashbill.regression.laws.gaussian_process import GaussianProcess
from mashbill.regression.limits import no_limits
from mashbill.regression.optimum import search
from mashbill.regression.posterior import ErrorPosterior
from mashbill.regression.simplex import SearchSpace

DOMAINS = ("a", "b", "c")
BOTTOM = np.array([0.55, 0.35, 0.1])


def bowl(weights: np.ndarray) -> np.ndarray:
    """A loss that is lowest within the simplex, which no straight line knows."""
    return 2 + 3 * ((weights - BOTTOM) ** 2).sum(axis=1)


def fitted(name: str, noise: float = 0.01) -> FittedRegression:
    random = np.random.default_rng(0)
    weights = random.dirichlet(np.ones(3), 40)
    losses = (bowl(weights) + random.normal(0, noise, 40))[:, None]
    index = np.arange(40)
    runs = SweepRuns(MixtureTable(index, DOMAINS, weights), LossTable(index, ("loss",), losses))
    return fit_runs(runs, name, [name], folds=5, seed=0)[0]


def space() -> SearchSpace:
    return SearchSpace(np.full(3, 1 / 3), no_limits(3))


def test_the_choice_that_advice_improves_is_the_chosen_regressors() -> None:
    """A line is lowest in a corner, the process near the bottom of the bowl."""
    line, process = fitted("linear"), fitted("gp")
    lowest = np.eye(3)[int(line.regressor.predict(np.eye(3))[:, 0].argmin())]
    chosen = {
        fit.name: advise(fit.posterior, np.ones(1), space(), domains=DOMAINS, count=3, seed=0)
        for fit in (line, process)
    }
    assert list(chosen["linear"].choice.values()) == pytest.approx(lowest, abs=0.02)
    assert list(chosen["gp"].choice.values()) == pytest.approx(BOTTOM, abs=0.2)
    assert chosen["linear"].gain > 3 * chosen["gp"].gain  # a line that is wrong leaves more to be won


@pytest.mark.parametrize("name", ["linear", "lightgbm"])
def test_errors_on_unseen_mixtures_are_as_large_as_believed(name: str) -> None:
    fit = fitted(name)
    assert isinstance(fit.posterior, ErrorPosterior)
    unseen = np.random.default_rng(1).dirichlet(np.ones(3), 400)
    predicted = fit.posterior.predict(unseen)
    assert np.array_equal(predicted, fit.regressor.predict(unseen))
    believed = fit.posterior.deviation(unseen)
    errors = np.abs(predicted[:, 0] - bowl(unseen))
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(np.sqrt(np.mean(believed**2)), rel=0.6)
    other = (
        GaussianProcess().fit(fit.weights, fit.losses).deviation(unseen)
    )  # what a process beside it doubts
    assert np.sqrt(np.mean(other**2)) < np.sqrt(np.mean(believed**2)) / 2
    draws = fit.posterior.draw(unseen[:40], 3_000, 0)
    spread = np.sqrt(np.mean((draws - predicted[:40]) ** 2, axis=0))
    assert spread == pytest.approx(believed[:40], rel=0.15, abs=1e-3)


def test_caution_counts_the_chosen_regressors_errors() -> None:
    """A line is far off in its lowest corner, as the runs beside it say: caution leads away from there."""
    fit = fitted("linear")
    model = TargetModel(fit, {"loss": 1.0})
    found = {
        caution: search(model, space(), MixConfig.model_validate({"caution": caution}), seed=0)
        for caution in (0.0, 5.0)
    }
    doubt = {caution: fit.posterior.deviation(mixture[None])[0, 0] for caution, mixture in found.items()}
    assert doubt[5.0] < doubt[0.0] / 2
    assert bowl(found[5.0][None]) < bowl(found[0.0][None])


def test_the_process_keeps_the_posterior_it_has() -> None:
    fit = fitted("gp")
    assert fit.posterior is fit.regressor
