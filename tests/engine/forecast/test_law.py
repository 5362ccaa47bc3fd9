"""The law of final losses, on runs made from constants that are known."""

from dataclasses import replace

import numpy as np
import pytest

from builders.laws_of_loss import (
    C4,
    REDPAJAMA,
    REFINEDWEB,
    SIZES,
    by_hand,
    grid,
    loss_of,
    runs_of,
)
from mashbill.errors import DataError
from mashbill.forecast.law import Law, Points, fit_law
from mashbill.mixtures.forecast import LawConstants

PUBLISHED = {"c4": C4, "redpajama": REDPAJAMA, "refinedweb": REFINEDWEB}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_constants_give_the_losses_of_the_papers_own_form(name: str) -> None:
    """Over-trained 1.4B on 900B tokens, 6.9B on 138B, and the smallest of their testbed."""
    law = Law.of(PUBLISHED[name])
    for parameters, tokens in ((1.4e9, 900e9), (6.9e9, 138e9), (11e6, 220e6)):
        expected = by_hand(PUBLISHED[name], parameters, tokens)
        assert loss_of(law, parameters, tokens) == pytest.approx(expected, rel=1e-9)


def test_the_papers_rounded_coefficients_agree_with_its_constants() -> None:
    """C4: 1.51 + (141 M^0.121 + 190 M^-0.121) C^-0.121, as printed."""
    for parameters, tokens in ((1.4e9, 900e9), (6.9e9, 138e9)):
        compute, ratio = 6 * parameters * tokens, tokens / parameters
        printed = 1.51 + (141 * ratio**0.121 + 190 * ratio**-0.121) * compute**-0.121
        assert loss_of(Law.of(C4), parameters, tokens) == pytest.approx(printed, rel=5e-3)


@pytest.mark.parametrize("name", PUBLISHED)
def test_constants_are_found_again_from_runs_without_noise(name: str) -> None:
    constants = PUBLISHED[name]
    found = fit_law(runs_of(constants)).constants()
    for field in LawConstants.model_fields:
        assert getattr(found, field) == pytest.approx(getattr(constants, field), rel=1e-4)


@pytest.mark.parametrize(
    "constants",
    [
        LawConstants(E=0.6, alpha=40.0, beta=80.0, b=-0.3),  # bits per byte
        LawConstants(E=0.05, alpha=10.0, beta=900.0, b=-0.45),  # hardly a floor, and tokens alone matter
        LawConstants(E=2.0, alpha=5e3, beta=3.0, b=-0.5),  # size alone matters
    ],
)
def test_other_laws_are_forecast_far_out(constants: LawConstants) -> None:
    law = fit_law(runs_of(constants))
    assert loss_of(law, 3e9, 60e9) == pytest.approx(by_hand(constants, 3e9, 60e9), rel=2e-3)


def test_one_run_that_went_astray_hardly_moves_the_law() -> None:
    budgets = (1e8, 4e8, 16e8)
    clean, rows = runs_of(C4, budgets=budgets, noise=1e-3), np.arange(12)
    astray = replace(clean, losses=np.where(rows == 7, 1.2 * clean.losses, clean.losses))
    expected = by_hand(C4, 4e8, 4e9)
    assert loss_of(fit_law(astray), 4e8, 4e9) == pytest.approx(expected, rel=0.02)


def test_order_and_units_change_no_forecast() -> None:
    points = runs_of(C4, noise=0.003, seed=3)
    before = loss_of(fit_law(points), 1e9, 10e9)
    order = np.random.default_rng(0).permutation(len(points))
    assert loss_of(fit_law(points.only(order)), 1e9, 10e9) == pytest.approx(before, rel=1e-4)
    in_bits = replace(points, losses=points.losses / np.log(2) / 4.3)
    assert loss_of(fit_law(in_bits), 1e9, 10e9) * np.log(2) * 4.3 == pytest.approx(before, rel=1e-4)
    in_millions = Points(points.parameters / 1e6, points.tokens / 1e9, points.losses)
    assert loss_of(fit_law(in_millions), 1e3, 10) == pytest.approx(before, rel=1e-4)


@pytest.mark.parametrize("seed", range(6))
def test_losses_fall_with_size_and_with_tokens_and_stay_above_zero(seed: int) -> None:
    """Whatever the runs say: here losses at random."""
    parameters, tokens = grid()
    losses = np.random.default_rng(seed).uniform(0.5, 4.0, len(parameters))
    law = fit_law(Points(parameters, tokens, losses))
    far = np.geomspace(1e5, 1e14, 40)
    for across in (law.losses(far, np.full(40, 1e9)), law.losses(np.full(40, 1e9), far)):
        assert (across > 0).all()
        assert (np.diff(across) <= 1e-12).all()


def test_few_sizes_lean_on_published_exponents_and_enough_do_not() -> None:
    """Runs of an exponent far from the published ones: four sizes find it, three are drawn towards those."""
    steep = LawConstants(E=1.0, alpha=3e3, beta=6e3, b=-0.5)
    four, three = runs_of(steep, noise=2e-3), runs_of(steep, SIZES[:3], noise=2e-3)
    assert not four.leans
    assert three.leans
    free = fit_law(four).constants().b
    leant = fit_law(three).constants().b
    assert abs(free + 0.5) < abs(leant + 0.5)
    assert -0.5 < leant < -0.256


@pytest.mark.parametrize(
    ("points", "words"),
    [
        (runs_of(C4, SIZES[:2]), r"forecast: 2 sizes finished, and a law needs 3; raise forecast.sizes"),
        (runs_of(C4, SIZES[:1]), r"1 size finished"),
        (runs_of(C4, SIZES, (2e8,)), r"4 different runs finished, and the law has 4 constants"),
        (
            Points(
                np.array([1e6, 2e6, 4e6, 8e6, 16e6]), 20 * np.array([1e6, 2e6, 4e6, 8e6, 16e6]), np.ones(5)
            ),
            r"as many tokens a parameter, .*; add a budget to forecast.budgets",
        ),
        (replace(runs_of(C4), losses=np.array([3.0] * 7 + [np.nan])), r"run 7 has losses of nan"),
        (replace(runs_of(C4), losses=np.array([3.0, -1.0] + [3.0] * 6)), r"run 1 has losses of -1"),
        (replace(runs_of(C4), tokens=np.zeros(8)), r"run 0 has tokens of 0"),
    ],
)
def test_runs_that_say_too_little_are_refused_in_a_line(points: Points, words: str) -> None:
    with pytest.raises(DataError, match=words) as refused:
        fit_law(points)
    assert "\n" not in str(refused.value)


def test_a_seed_more_is_no_run_of_another_kind() -> None:
    """Three sizes at one budget, each twice, are three points."""
    points = runs_of(C4, SIZES[:3], (2e8,))
    twice = points.only(np.repeat(np.arange(3), 2))
    with pytest.raises(DataError, match="3 different runs"):
        fit_law(twice)
