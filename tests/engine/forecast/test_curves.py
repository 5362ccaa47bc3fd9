"""Curves on the way to a final loss: the form that holds elsewhere is taken, and the band holds the curve."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from scipy import stats

from builders.laws_of_loss import measured, run_to_come
from mashbill.forecast.curves import FORMS, Curve, fit_curve
from mashbill.forecast.step_laws import annealed, by_steps
from mashbill.forecast.trajectory import Trajectory
from mashbill.models.optimisation import learning_rate_at

POINTS = 10
LossAt = Callable[[Trajectory, np.ndarray], np.ndarray]
SMALL = [(n, d, b) for n in (60_000, 110_000, 200_000, 360_000) for d, b in ((98_304, 512), (393_216, 1_024))]
FINAL = run_to_come(1_500_000, 786_432)


def by_critical_batch(run: Trajectory, steps: np.ndarray) -> np.ndarray:
    """(Nc / N)^aN + (Sc / Smin)^aS, solved for the loss step by step, as the critical batch hangs on it."""
    losses = []
    for step in steps:
        low, high = 1e-3, 1e3
        for _ in range(200):
            middle = (low * high) ** 0.5
            critical = 800 * (middle / 3) ** (-1 / 0.21)
            fewest = step / (1 + critical / run.batch_tokens)
            found = 1.5 * (run.parameters / 1e5) ** -0.08 + 1.6 * (fewest / 100) ** -0.3
            low, high = (low, middle) if found < middle else (middle, high)
        losses.append(middle)
    return np.array(losses)


def by_annealing(run: Trajectory, steps: np.ndarray) -> np.ndarray:
    """L0 + B N^-b + A S1^-a - C S2, areas summed step by step."""
    rates = [learning_rate_at(i, run.steps, 1.0, minimum=0.1, warmup_share=0.05) for i in range(run.steps)]
    momentum, seen, area, losses = 0.0, 0.0, 0.0, []
    before = rates[0]
    for rate in rates:
        momentum = 0.999 * momentum + max(0.0, before - rate)
        area, seen, before = area + momentum, seen + rate * run.batch_tokens, rate
        law = 0.6 + 0.5 * (run.parameters / 1e5) ** -0.2 + 1.2 * (seen / 1e5) ** -0.35
        losses.append(law - 0.002 * area)
    return np.array(losses)[np.asarray(steps) - 1]


def by_share(run: Trajectory, steps: np.ndarray) -> np.ndarray:
    """The same fall at the same share, whatever the run."""
    return 2 * (run.parameters / 1e5) ** -0.1 * (steps / run.steps) ** -0.07


def by_size(run: Trajectory, steps: np.ndarray) -> np.ndarray:
    """A fall that is steeper for larger models, and gentler for longer runs."""
    steep = 0.2 + 0.04 * np.log(run.parameters / 2e5) - 0.03 * np.log(run.tokens / 2e5)
    return 2 * (run.parameters / 1e5) ** -0.1 * (steps / run.steps) ** -steep


def ladder(law: LossAt, *, noise: float = 0.0) -> list[Trajectory]:
    generator = np.random.default_rng(5)
    found = []
    for parameters, tokens, batch in SMALL:
        run = run_to_come(parameters, tokens, batch)
        steps = np.round(run.steps * (np.arange(POINTS) + 1) / POINTS).astype(int)
        found.append(measured(run, law(run, steps) * np.exp(noise * generator.standard_normal(POINTS))))
    return found


def taken(runs: Sequence[Trajectory]) -> Curve:
    found = fit_curve(runs)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("law", "name"),
    [
        (by_share, "share"),
        (by_size, "trend"),
        (by_critical_batch, "steps"),
        (by_annealing, "annealing"),
    ],
)
def test_the_form_that_the_curves_have_is_taken_and_foretells_the_final_one(law: LossAt, name: str) -> None:
    curve = taken(ladder(law, noise=2e-4))
    assert curve.form.name == name
    assert curve.form.errors[name] == min(curve.form.errors.values())
    steps = np.array([40, 120, 250, 384])
    truth = law(FINAL, steps)
    assert curve.falls(FINAL, steps) == pytest.approx(np.log(truth / truth[-1]), abs=0.012)


@pytest.mark.parametrize("form", [by_steps, annealed])
def test_laws_of_steps_fall_all_the_way_where_their_curves_do(form: Callable[..., LossAt]) -> None:
    fall = form(ladder(by_critical_batch))
    falls = fall(FINAL, np.arange(20, FINAL.steps + 1, 20))
    assert (np.diff(falls) < 0).all()


@pytest.mark.parametrize("name", FORMS)
def test_every_form_ends_where_the_final_loss_is(name: str) -> None:
    fall = FORMS[name](ladder(by_annealing))
    assert fall(FINAL, np.array([FINAL.steps])) == pytest.approx([0.0], abs=1e-9)


def test_the_band_ends_with_the_interval_and_widens_before() -> None:
    curve = taken(ladder(by_annealing, noise=0.01))
    band = curve.band(FINAL, 2.0, (1.96, 2.05))
    assert band.steps[-1] == FINAL.steps == 384
    assert (band.low[-1], band.expected[-1], band.high[-1]) == pytest.approx((1.96, 2.0, 2.05))
    widths = np.log(np.array(band.high) / np.array(band.low))
    assert widths[:-1].min() >= widths[-1]
    assert band.steps == tuple(sorted(set(band.steps)))
    known = curve.band(FINAL, 2.0, (2.0, 2.0))  # of which no more is open than the way there
    at = np.interp(np.array(known.steps) / FINAL.steps, curve.shares, curve.errors)
    for one, other in ((known.high, known.expected), (known.expected, known.low)):
        assert np.log(np.array(one) / other) == pytest.approx(stats.norm.ppf(0.95) * at, rel=1e-3, abs=1e-12)


@pytest.mark.parametrize("law", [by_share, by_critical_batch, by_annealing])
def test_the_band_holds_nine_of_ten_losses_of_the_final_run(law: LossAt) -> None:
    curve = taken(ladder(law, noise=0.004))
    steps = np.arange(60, 385, 12)
    losses = law(FINAL, steps) * np.exp(0.004 * np.random.default_rng(0).standard_normal(len(steps)))
    last = law(FINAL, np.array([384]))[0]
    band = curve.band(FINAL, last, (last * 0.99, last * 1.01))
    found = [band.band_at(int(step)) for step in steps]
    inside = [one is not None and one[0] <= loss <= one[1] for one, loss in zip(found, losses, strict=True)]
    assert np.mean(inside) >= 0.85


def test_rates_are_those_that_models_are_trained_with() -> None:
    expected = [learning_rate_at(i, 384, 1.0, minimum=0.1, warmup_share=0.05) for i in range(384)]
    assert FINAL.rates() == pytest.approx(expected)


def test_order_of_the_runs_changes_no_curve() -> None:
    runs = ladder(by_annealing, noise=0.003)
    one, other = taken(runs), taken(runs[::-1])
    assert one.form.name == other.form.name
    steps = np.array([50, 200])
    assert one.falls(FINAL, steps) == pytest.approx(other.falls(FINAL, steps), abs=1e-4)


def test_runs_measured_at_their_end_alone_have_no_curve() -> None:
    assert fit_curve([measured(run, run.losses[-1:]) for run in ladder(by_share)]) is None
    assert fit_curve(ladder(by_share)[:4]) is None  # two sizes
