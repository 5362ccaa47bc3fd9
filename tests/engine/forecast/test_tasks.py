"""Errors on tasks from losses, on pairs made from published constants."""

import numpy as np
import pytest

from mashbill.errors import DataError
from mashbill.forecast.tasks import fit_tasks, forecast_error, spread
from mashbill.mixtures.forecast import FinalLoss, LawConstants

HIGHEST, SCALE, STEEPNESS = 0.8497, 2.0789, 0.7561
"""17 tasks on C4: arXiv 2403.08540."""
LOSSES = np.linspace(2.5, 4.0, 12)


def error_of(losses: np.ndarray) -> np.ndarray:
    return np.asarray(HIGHEST - SCALE * np.exp(-STEEPNESS * losses))


def test_published_constants_are_found_again_and_foretell_a_better_model() -> None:
    law = fit_tasks(LOSSES, error_of(LOSSES))
    assert (law.highest, law.scale, law.steepness) == pytest.approx((HIGHEST, SCALE, STEEPNESS), rel=1e-3)
    assert law.errors(np.array([2.2])) == pytest.approx(error_of(np.array([2.2])), abs=1e-3)


@pytest.mark.slow
def test_nine_of_ten_intervals_hold_the_error_of_the_final_model() -> None:
    inside, trials = 0, 60
    for trial in range(trials):
        generator = np.random.default_rng(trial)
        errors = error_of(LOSSES) + 0.01 * generator.standard_normal(len(LOSSES))
        log_losses = np.log(2.3) + 0.01 * generator.standard_normal(200)
        _, (low, high) = forecast_error(LOSSES, errors, log_losses=log_losses, coverage=0.9, seed=trial)
        loss = 2.3 * np.exp(0.01 * generator.standard_normal())
        inside += low <= error_of(np.array([loss]))[0] + 0.01 * generator.standard_normal() <= high
    assert 0.8 <= inside / trials <= 0.99


def test_a_lower_loss_never_means_more_errors_and_none_leaves_0_to_1() -> None:
    law = fit_tasks(LOSSES, error_of(LOSSES))
    errors = law.errors(np.linspace(0.01, 12, 200))
    assert (np.diff(errors) >= 0).all()
    assert errors.min() >= 0
    assert errors.max() <= 1


@pytest.mark.parametrize(
    ("losses", "errors", "words"),
    [
        ([3.0, 2.9, 2.8, 2.7], [0.6] * 4, "4 different losses have an error, and the law needs 5: unknown"),
        ([3.0] * 9, [0.6] * 9, "1 different losses"),
        ([3.0, 2.9, 2.8, 2.7, 0.0], [0.6] * 5, "a loss is not above 0"),
        ([3.0, 2.9, 2.8, 2.7, 2.6], [60.0] * 5, "or an error not from 0 to 1"),
        ([3.0, 2.9, 2.8, 2.7, np.nan], [0.6] * 5, "a loss is not above 0"),
    ],
)
def test_pairs_that_say_nothing_leave_it_unknown(
    losses: list[float], errors: list[float], words: str
) -> None:
    with pytest.raises(DataError, match=words):
        fit_tasks(np.array(losses), np.array(errors))


def test_a_final_loss_is_spread_as_its_interval_says() -> None:
    law = LawConstants(E=1, alpha=1, beta=1, b=-0.3)
    final = FinalLoss(
        loss=2.0,
        interval=(1.9, 2.3),
        coverage=0.9,
        constants=law,
        prior="",
        noise=0.01,
        held_out=None,
        parameters_factor=1,
        tokens_factor=1,
        curve=None,
        band=None,
    )
    drawn = np.exp(np.concatenate([spread(final, seed=seed) for seed in range(40)]))
    assert np.quantile(drawn, [0.05, 0.5, 0.95]) == pytest.approx([1.9, 2.0, 2.3], abs=0.02)
