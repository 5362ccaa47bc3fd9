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


def test_noise_is_the_tasks_own_whatever_the_law_takes_up_of_it() -> None:
    """Three constants are fitted to twelve pairs."""
    found = []
    for trial in range(30):
        noise = 0.01 * np.random.default_rng(trial).standard_normal(len(LOSSES))
        found.append(fit_tasks(LOSSES, error_of(LOSSES) + noise).noise)
    assert np.sqrt(np.mean(np.square(found))) == pytest.approx(0.01, rel=0.09)


def test_an_interval_holds_the_noise_of_the_task_and_what_the_loss_may_be() -> None:
    errors = error_of(LOSSES) + 0.01 * np.random.default_rng(4).standard_normal(len(LOSSES))
    known, unknown = (
        np.log(2.6) + off * np.random.default_rng(5).standard_normal(200) for off in (0.0, 0.05)
    )

    def width(log_losses: np.ndarray, coverage: float) -> float:
        _, (low, high) = forecast_error(LOSSES, errors, log_losses=log_losses, coverage=coverage, seed=1)
        return high - low

    noise, nine, half = fit_tasks(LOSSES, errors).noise, width(known, 0.9), width(known, 0.5)
    assert nine > 2 * 1.645 * noise
    assert half < 0.6 * nine
    slope = SCALE * STEEPNESS * np.exp(-STEEPNESS * 2.6) * 2.6
    assert width(unknown, 0.9) > 2 * 1.645 * np.hypot(noise, 0.8 * slope * 0.05)


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


@pytest.mark.parametrize("coverage", [0.5, 0.9])
def test_a_final_loss_is_spread_as_its_interval_says(coverage: float) -> None:
    law = LawConstants(E=1, alpha=1, beta=1, b=-0.3)
    final = FinalLoss(
        loss=2.0,
        interval=(1.9, 2.3),
        coverage=coverage,
        constants=law,
        prior="",
        noise=0.01,
        held_out=None,
        parameters_factor=1,
        tokens_factor=1,
        curve=None,
        band=None,
    )
    drawn = np.exp([spread(final, seed=seed) for seed in range(40)])
    shares = [(1 - coverage) / 2, 0.5, (1 + coverage) / 2]
    assert np.quantile(drawn, shares) == pytest.approx([1.9, 2.0, 2.3], abs=0.02)
    assert len(np.unique(drawn)) == drawn.size  # each seed draws its own
