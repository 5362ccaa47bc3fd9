"""The guard skips what is no number or a spike, by the window before it, and nothing else."""

import math

import numpy as np
import pytest

from mashbill.config.final_run import GuardConfig
from mashbill.training.guard import Guard

WINDOW = 16
SETTINGS = GuardConfig(window=WINDOW, deviations=6.0, rollback_after=3)


def after(values: list[float], *, norms: list[float] | None = None) -> Guard:
    """A guard that has seen steps."""
    guard = Guard(SETTINGS)
    for value, norm in zip(values, norms or [1.0] * len(values), strict=True):
        guard.judge(value, norm)
    return guard


def noise(mean: float, deviation: float) -> list[float]:
    """A window of values with exactly that mean and standard deviation."""
    drawn = np.random.default_rng(0).normal(size=WINDOW)
    scaled = (drawn - drawn.mean()) / drawn.std(ddof=1)
    return [float(value) for value in mean + deviation * scaled]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_or_norm_that_is_no_number_is_skipped_from_the_first_step_on(value: float) -> None:
    assert f"loss is {value}" in (Guard(SETTINGS).judge(value, 1.0) or "")
    assert f"gradient norm is {value}" in (Guard(SETTINGS).judge(1.0, value) or "")


@pytest.mark.parametrize("deviations, skipped", [(5.9, False), (6.1, True), (-30.0, False)])
def test_a_spike_is_what_lies_so_many_deviations_above_the_window(deviations: float, skipped: bool) -> None:
    by_loss = after(noise(3.0, 0.1)).judge(3.0 + 0.1 * deviations, 1.0)
    by_norm = after([3.0] * WINDOW, norms=noise(0.5, 0.02)).judge(3.0, 0.5 + 0.02 * deviations)
    assert (by_loss is not None) == (by_norm is not None) == skipped


def test_nothing_is_a_spike_before_half_of_the_window_is_there() -> None:
    before = noise(3.0, 0.1)
    assert after(before[: WINDOW // 2 - 1]).judge(100.0, 1.0) is None
    assert after(before[: WINDOW // 2]).judge(100.0, 1.0) is not None


def test_the_window_forgets_and_a_skipped_step_is_no_part_of_it() -> None:
    guard = after([9.0] * WINDOW + noise(3.0, 0.1))
    assert guard.judge(9.0, 1.0) is not None
    for _ in range(2):
        assert guard.judge(9.0, 1.0) is not None
    assert 9.0 not in guard.losses


def test_it_gives_up_after_so_many_skipped_in_a_row_and_one_taken_between_counts_anew() -> None:
    guard = after(noise(3.0, 0.1))
    said = []
    for value in (9.0, 9.0, 3.0, 9.0, 9.0, 9.0):
        guard.judge(value, 1.0)
        said.append(guard.gives_up)
    assert said == [False, False, False, False, False, True]


def test_a_guard_goes_on_from_its_state_as_if_nothing_had_been() -> None:
    guard, other = after(noise(3.0, 0.1), norms=noise(0.5, 0.02)), Guard(SETTINGS)
    for _ in range(SETTINGS.rollback_after):
        other.judge(math.nan, 1.0)
    assert other.gives_up
    other.restore(guard.state())
    assert not other.gives_up
    said = [guard.judge(*step) for step in ((3.05, 0.5), (3.62, 0.5), (3.0, 0.64), (3.58, 0.6))]
    assert [words is None for words in said] == [True, False, False, True]
    assert said == [other.judge(*step) for step in ((3.05, 0.5), (3.62, 0.5), (3.0, 0.64), (3.58, 0.6))]
