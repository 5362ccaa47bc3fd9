"""The interval of a forecast: it covers what it says, counting seeds and distance."""

import numpy as np
import pytest

from builders.laws_of_loss import C4, SIZES, by_hand, runs_of
from mashbill.forecast.interval import draw_laws, hold_out, interval_of
from mashbill.forecast.law import Points
from mashbill.mixtures.forecast import LawConstants

TRIALS = 60


def forecast(
    points: Points, parameters: float, tokens: float, *, seed: int = 0, draws: int = 200
) -> tuple[float, float, float]:
    """The loss expected, and the ends of its 90% interval."""
    drawn, held = draw_laws(points, seed=seed, draws=draws), hold_out(points, seed=seed)
    middle = float(np.log(drawn.law.losses(np.array([parameters]), np.array([tokens]))[0]))
    log_losses = drawn.log_losses(parameters, tokens, seed=seed)
    low, high = interval_of(log_losses, middle, coverage=0.9, widened=held.widened if held else 1.0)
    return float(np.exp(middle)), low, high


def width(points: Points, parameters: float, tokens: float) -> float:
    """Of the interval, as a ratio."""
    _, low, high = forecast(points, parameters, tokens, draws=80)
    return high / low


@pytest.mark.slow
@pytest.mark.parametrize(
    ("noise", "parameters", "tokens"), [(0.003, 6e8, 6e9), (0.01, 3e8, 3e9)], ids=["seeds", "noisy"]
)
def test_nine_of_ten_intervals_hold_the_final_loss(noise: float, parameters: float, tokens: float) -> None:
    """Of runs made anew each time, the final one with noise of its own."""
    inside, trials = 0, TRIALS
    for trial in range(trials):
        points = runs_of(C4, noise=noise, seed=trial)
        _, low, high = forecast(points, parameters, tokens, seed=trial, draws=60)
        own = np.exp(noise * np.random.default_rng(10_000 + trial).standard_normal())
        inside += low <= by_hand(C4, parameters, tokens) * own <= high
    assert 0.85 <= inside / trials <= 0.97


@pytest.mark.slow
def test_nine_of_ten_hold_it_where_the_exponent_leans_on_published_ones() -> None:
    """Three sizes, of laws whose exponents spread as the prior says."""
    inside, trials = 0, TRIALS
    for trial in range(trials):
        generator = np.random.default_rng(trial)
        rate = 0.256 * np.exp(0.25 * generator.standard_normal())
        at = 3e7**rate
        law = LawConstants(E=1.5, alpha=0.8 * at, beta=0.9 * at * 2.5**rate, b=-float(rate))
        points = runs_of(law, SIZES[:3], noise=0.003, seed=trial)
        _, low, high = forecast(points, 3e8, 3e9, seed=trial, draws=60)
        inside += low <= by_hand(law, 3e8, 3e9) * np.exp(0.003 * generator.standard_normal()) <= high
    assert 0.85 <= inside / trials <= 0.97


def test_the_interval_grows_with_the_distance() -> None:
    points = runs_of(C4, noise=0.003, seed=2)
    widths = [width(points, 10**e * 1.5e8, 10**e * 8e8) for e in (0.0, 0.5, 1.0, 1.5, 2.0)]
    assert widths == sorted(widths)
    assert widths[-1] - 1 > 3 * (widths[0] - 1)


def test_noisier_seeds_and_fewer_runs_give_wider_intervals() -> None:
    wide = np.mean([width(runs_of(C4, noise=0.01, seed=s), 4e8, 4e9) for s in range(3)])
    narrow = np.mean([width(runs_of(C4, noise=0.002, seed=s), 4e8, 4e9) for s in range(3)])
    assert wide > 2 * narrow - 1
    more = np.mean(
        [width(runs_of(C4, budgets=(1e8, 2e8, 4e8, 8e8), noise=0.01, seed=s), 4e8, 4e9) for s in range(3)]
    )
    assert more < wide


def test_the_interval_is_not_narrower_than_what_a_seed_does() -> None:
    """Within the runs, where the law is known well, a run's own noise is left: 2 x 1.645 deviations."""
    many = runs_of(C4, budgets=tuple(np.geomspace(1e8, 1e9, 8)), noise=0.01, seed=1)
    _, low, high = forecast(many, 4e7, 4e8)
    assert 0.8 * 3.29 * 0.01 < np.log(high / low) < 1.6 * 3.29 * 0.01


def test_largest_runs_that_the_others_do_not_foretell_widen_it() -> None:
    points = runs_of(C4, noise=0.001, seed=4)
    held = hold_out(points, seed=0)
    assert held is not None
    assert (held.runs, held.widened) == (2, 1.0)
    largest = points.parameters == points.parameters.max()
    bent = Points(points.parameters, points.tokens, np.where(largest, 1.1 * points.losses, points.losses))
    missed = hold_out(bent, seed=0)
    assert missed is not None
    assert missed.error == pytest.approx(0.095, abs=0.02)
    assert missed.widened == pytest.approx(missed.error / (1.645 * missed.expected))
    assert missed.widened > 1.5


def test_runs_without_noise_have_an_interval_all_the_same() -> None:
    expected, low, high = forecast(runs_of(C4), 6e8, 6e9, draws=40)
    assert expected == pytest.approx(by_hand(C4, 6e8, 6e9), rel=1e-3)
    assert 0 < low < expected < high < np.inf
    assert np.log(high / low) > 2 * 1.645 * 1e-4  # what any seed does at least


def test_with_three_sizes_nothing_is_held_out() -> None:
    assert hold_out(runs_of(C4, SIZES[:3]), seed=0) is None


def test_the_same_seed_gives_the_same_interval_and_bounds_are_losses() -> None:
    points = runs_of(C4, noise=0.05, seed=1)
    once, again = (forecast(points, 1e10, 1e11, seed=7, draws=40) for _ in range(2))
    assert once == again
    expected, low, high = once
    assert 0 < low <= expected <= high < np.inf
    assert forecast(points, 1e10, 1e11, seed=8, draws=40) != once


def test_widening_stretches_each_side_about_the_middle() -> None:
    log_losses = np.linspace(0.9, 1.3, 401)
    plain = interval_of(log_losses, 1.0, coverage=0.9, widened=1.0)
    assert np.log(plain) == pytest.approx([0.92, 1.28])
    wide = interval_of(log_losses, 1.0, coverage=0.9, widened=2.0)
    assert np.log(wide) == pytest.approx([0.84, 1.56])
    aside = interval_of(log_losses, 1.5, coverage=0.9, widened=1.0)
    assert np.log(aside) == pytest.approx([0.92, 1.5])  # what is expected lies within
