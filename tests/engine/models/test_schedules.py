"""Learning-rate schedules: their ends, their integrals, and that they are those of their papers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mashbill.models.optimisation import learning_rate_at
from mashbill.models.schedules import Cosine, Power, Rates, WarmupStableDecay


def course(rates: Rates) -> np.ndarray:
    return np.array([rates.rate_at(step) for step in range(rates.steps)])


def power(steps: int = 1_000, batch: int = 64, tokens: int = 4_096, **settings: float) -> Power:
    law = {"amplitude": 4.0, "exponent": -0.51, "max_rate": 0.02, **settings}
    return Power(steps=steps, warmup=10, decay=steps // 10, batch=batch, batch_tokens=tokens, **law)


@given(steps=st.integers(3, 300), share=st.floats(0, 0.9), minimum=st.floats(0, 1e-3))
def test_the_cosine_is_that_of_the_proxies(steps: int, share: float, minimum: float) -> None:
    rates = Cosine(steps=steps, warmup=max(1, round(steps * share)), peak=2e-3, minimum=minimum)
    for step in range(steps):
        told = learning_rate_at(step, steps, 2e-3, minimum=minimum, warmup_share=share)
        assert rates.rate_at(step) == pytest.approx(told, rel=1e-12)


def test_a_cosine_spends_half_of_its_peak_on_average() -> None:
    rates = Cosine(steps=10_001, warmup=1, peak=1.0, minimum=0.0)
    assert course(rates)[1:].mean() == pytest.approx(0.5, abs=1e-3)
    assert rates.rate_at(10_000) == rates.rate_at(99_999) == 0.0


def test_wsd_rises_stays_and_falls_to_nothing() -> None:
    rates = WarmupStableDecay(steps=100, warmup=10, decay=20, peak=1e-3)
    found = course(rates)
    assert found[:10] == pytest.approx(1e-4 * np.arange(1, 11))
    assert set(found[10:81]) == {1e-3}
    assert found[80:] == pytest.approx(1e-3 * np.arange(20, 0, -1) / 20)
    assert rates.rate_at(100) == rates.rate_at(1_000) == 0.0
    assert found.sum() == pytest.approx(1e-3 * (5.5 + 70 + 10.5))  # two triangles and what lies between


def test_wsd_before_its_decay_does_not_know_how_long_the_run_is() -> None:
    short = WarmupStableDecay(steps=100, warmup=10, decay=20, peak=1e-3)
    long = WarmupStableDecay(steps=500, warmup=10, decay=50, peak=1e-3)
    assert list(course(short)[:80]) == list(course(long)[:80])


def test_the_power_law_depends_on_tokens_seen_and_not_on_the_length_of_the_run() -> None:
    short, long = power(steps=1_000), power(steps=50_000)
    assert list(course(short)[:900]) == list(course(long)[:900])
    # 64 x 4 x (4,096 x 500) ^ -0.51 is above the cap's 0.02 until 64 x 4 x n^-0.51 = 0.02: n = 113 million
    assert short.rate_at(499) == 0.02
    assert long.rate_at(39_999) == pytest.approx(256 * (40_000 * 4_096.0) ** -0.51)
    assert long.rate_at(27_000) == 0.02 > long.rate_at(28_500)


def test_twice_the_tokens_lower_the_power_laws_rate_by_its_exponent() -> None:
    rates = power(steps=10**6, max_rate=0.9)
    assert rates.rate_at(199_999) / rates.rate_at(99_999) == pytest.approx(2**-0.51)
    halved, doubled = power(steps=10**6, batch=32, tokens=2_048), power(steps=10**6, batch=64)
    assert halved.rate_at(799_999) * 2 == pytest.approx(doubled.rate_at(399_999))  # the same tokens seen


def test_the_power_law_decays_to_nothing_over_its_tail() -> None:
    rates = power(steps=1_000)
    assert rates.rate_at(900) == rates.course(900)
    assert course(rates)[900:] == pytest.approx(rates.course(900) * np.arange(100, 0, -1) / 100)
    assert rates.rate_at(1_000) == 0.0


@pytest.mark.parametrize(
    "rates",
    [
        Cosine(steps=50, warmup=10, start=1e-4, peak=1e-3, minimum=1e-5),
        WarmupStableDecay(steps=50, warmup=10, start=1e-4, decay=5, peak=1e-3),
    ],
    ids=["cosine", "wsd"],
)
def test_continued_training_warms_up_again_from_where_it_ended(rates: Rates) -> None:
    found = course(rates)
    assert found[0] == pytest.approx(1e-4 + 9e-5)
    assert np.diff(found[:10]) == pytest.approx(np.full(9, 9e-5))
    assert found[9] == found.max() == 1e-3
