"""A forecast put together: what it says, how sure it is, and where it declines."""

from dataclasses import replace

import numpy as np
import pytest

from builders.laws_of_loss import C4, SIZES, by_hand, measured, run_to_come, runs_of
from mashbill.errors import DataError
from mashbill.forecast.interval import draw_laws, interval_of
from mashbill.forecast.law import Points
from mashbill.forecast.predict import LadderRun, cautions, predict
from mashbill.mixtures.forecast import SmallRun

NOISE = 0.003


def ladder(sizes: tuple[float, ...] = SIZES, *, noise: float = NOISE) -> list[LadderRun]:
    points = runs_of(C4, sizes, noise=noise)
    found = []
    for parameters, tokens, loss in zip(points.parameters, points.tokens, points.losses, strict=True):
        run = SmallRun(
            parameters=int(parameters),
            tokens=int(tokens),
            batch_tokens=100_000,
            learning_rate=1e-3,
            seed=0,
            loss=float(loss),
            fitted=True,
        )
        on_the_way = loss * (np.arange(1, 6) / 5) ** -0.1
        found.append(LadderRun(run, measured(run_to_come(run.parameters, run.tokens, 100_000), on_the_way)))
    return found


def test_a_final_loss_is_foretold_with_its_band_and_how_far_it_lies() -> None:
    final = run_to_come(600_000_000, 6_000_000_000, 500_000)
    found = predict(ladder(), final, coverage=0.9, seed=0)
    truth = by_hand(C4, 6e8, 6e9)
    assert found.loss == pytest.approx(truth, rel=0.02)
    assert found.interval[0] < truth < found.interval[1]
    assert (found.parameters_factor, found.tokens_factor) == pytest.approx((4.0, 7.5))
    assert found.band is not None
    assert found.band.band_at(12_000) == pytest.approx(found.interval)
    half = found.band.band_at(6_000)
    assert half is not None
    assert half[0] < truth * 0.5**-0.1 < half[1]
    assert found.prior == ""
    assert cautions(found, ladder()) == []


def test_a_run_that_diverged_or_is_of_another_kind_counts_for_nothing() -> None:
    runs, final = ladder(), run_to_come(600_000_000, 6_000_000_000, 500_000)
    before = predict(runs, final, coverage=0.9, seed=0)
    astray = replace(runs[0], run=runs[0].run.model_copy(update={"loss": None, "fitted": False}), curve=None)
    other = replace(runs[0], run=runs[0].run.model_copy(update={"loss": 9.0, "fitted": False}), curve=None)
    after = predict([*runs, astray, other], final, coverage=0.9, seed=0)
    assert after.loss == before.loss
    assert after.interval == before.interval
    assert "1 of 10 runs diverged and count for nothing" in cautions(after, [*runs, astray, other])


def test_a_decade_and_a_half_out_it_says_that_the_interval_grows() -> None:
    near = predict(ladder(), run_to_come(1_000_000_000, 8_000_000_000), coverage=0.9, seed=0)
    far = predict(ladder(), run_to_come(1_000_000_000, 32_000_000_000), coverage=0.9, seed=0)
    assert far.interval[1] / far.interval[0] > near.interval[1] / near.interval[0]
    (words,) = cautions(far, ladder())
    assert "40 times the tokens of the largest run, 1.6 decades: the interval grows" in words


@pytest.mark.parametrize(
    ("parameters", "tokens", "words"),
    [
        (49_000_000_000, 8_000_000_000, r"327 times the parameters .* past 2.5 .*; raise forecast.largest"),
        (1_000_000_000, 800_000_000_000, r"1,000 times the tokens .* 3.0 decades.*; raise forecast.budgets"),
    ],
)
def test_too_far_out_it_declines_in_a_line(parameters: int, tokens: int, words: str) -> None:
    with pytest.raises(DataError, match=words) as refused:
        predict(ladder(), run_to_come(parameters, tokens), coverage=0.9, seed=0)
    assert "\n" not in str(refused.value)


def test_what_misses_the_largest_runs_says_so_and_is_as_much_wider() -> None:
    runs, final = ladder(), run_to_come(600_000_000, 6_000_000_000, 500_000)
    largest = max(one.run.parameters for one in runs)
    bent = [
        replace(one, run=one.run.model_copy(update={"loss": 1.1 * (one.run.loss or 0)}))
        if one.run.parameters == largest
        else one
        for one in runs
    ]
    found = predict(bent, final, coverage=0.9, seed=0)
    assert found.held_out is not None
    assert found.held_out.widened > 1.5
    (words,) = cautions(found, bent)
    assert f"the interval is {found.held_out.widened:.1f} times as wide for it" in words
    kept = [one.run for one in bent]
    rows = (np.array([getattr(run, name) for run in kept]) for name in ("parameters", "tokens", "loss"))
    drawn = draw_laws(Points(*rows), seed=0)
    log_losses = drawn.log_losses(final.parameters, final.tokens, seed=0)
    plain = interval_of(log_losses, np.log(found.loss), coverage=0.9, widened=1.0)
    stretched = found.held_out.widened * np.log(np.array(plain) / found.loss)
    assert np.log(np.array(found.interval) / found.loss) == pytest.approx(stretched)


def test_too_few_sizes_are_refused_and_three_lean_on_published_exponents() -> None:
    final = run_to_come(300_000_000, 3_000_000_000)
    with pytest.raises(DataError, match="2 sizes finished, and a law needs 3"):
        predict(ladder(SIZES[:2]), final, coverage=0.9, seed=0)
    with pytest.raises(DataError, match="no run finished"):
        predict([], final, coverage=0.9, seed=0)
    runs = ladder(SIZES[:3])
    found = predict(runs, final, coverage=0.9, seed=0)
    said = cautions(found, runs)
    assert any("RedPajama" in words for words in said)
    assert any("nothing was held against fact" in words for words in said)


def test_more_coverage_is_a_wider_interval() -> None:
    final = run_to_come(600_000_000, 6_000_000_000)
    half, most = (predict(ladder(), final, coverage=share, seed=0).interval for share in (0.5, 0.95))
    assert most[0] < half[0] < half[1] < most[1]
