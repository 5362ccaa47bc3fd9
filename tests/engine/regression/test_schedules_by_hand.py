"""Laws of schedules whose order is known to matter or not, what is kept of a loss, and limits of phases."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from builders import phased_law
from mashbill.errors import DataError
from mashbill.mixtures import Schedule, ScheduleTable, TrajectoryTable
from mashbill.regression.cross_validation import split_folds
from mashbill.regression.laws.gaussian_process import GaussianProcess
from mashbill.regression.limits import Limits, no_limits
from mashbill.regression.trajectories.limits import ScheduleLimits
from mashbill.regression.trajectories.optimum import (
    RollOut,
    Terms,
    choose_schedule,
    minimise_schedule,
)
from mashbill.regression.trajectories.runs import PhasedRuns, phased_runs
from mashbill.regression.trajectories.transitions import (
    FittedTrajectories,
    MeanRegression,
    TransitionRegression,
    fit_trajectories,
)
from mashbill.regression.trajectories.under_way import UnderWay, read_under_way

DOMAINS = ("scarce", "plenty", "other")


def runs_under(order: bool, *, runs: int = 16, seed: int = 0, noise: float = 0.01) -> PhasedRuns:
    """Runs of two phases under the law of the builders."""
    random = np.random.default_rng([seed, 77])
    weights = random.dirichlet(np.ones(3), (runs, 2))
    losses = phased_law.law(weights, order=order) + random.normal(0, noise, (runs, 2, 3))
    return PhasedRuns(np.arange(runs), DOMAINS, DOMAINS, np.array([0.5, 0.5]), weights, losses)


@pytest.fixture(scope="module")
def ordered() -> FittedTrajectories:
    return fit_trajectories(runs_under(True), folds=4, seed=0)


def test_a_phase_keeps_the_share_of_its_start_that_the_law_keeps() -> None:
    """The law goes 0.6 of the way to what the phase ends in, so 0.4 stay; before the first is nothing."""
    regression = TransitionRegression().fit(*_of(runs_under(True, runs=30, noise=0.001)))
    assert regression.kept[0] == 0
    assert regression.kept[1] == pytest.approx(0.4, abs=0.1)


def _of(runs: PhasedRuns) -> tuple[np.ndarray, np.ndarray]:
    return runs.weights, runs.losses


def test_a_roll_out_ends_where_the_law_ends_from_the_start_and_from_what_was_observed() -> None:
    regression = TransitionRegression().fit(*_of(runs_under(True, runs=40, noise=0.001)))
    unseen = np.random.default_rng(5).dirichlet(np.ones(3), (30, 2))
    truth = phased_law.law(unseen, order=True)
    rolled = regression.predict(unseen)
    assert np.abs(rolled - truth[:, -1]).mean() < 0.03
    observed = truth[7, 0]
    rest = regression.predict(unseen[:, 1:], observed)
    onward = observed + 0.6 * (2.5 + 0.5 * (0.05 + unseen[:, 1] @ phased_law.TRANSFER.T) ** -0.5 - observed)
    assert np.abs(rest - onward).mean() < 0.04
    higher = regression.predict(unseen[:, 1:], observed + 0.1)
    assert (higher - rest).mean() > 0.02


def test_what_the_first_phase_decides_is_rolled_out_from_its_mixture() -> None:
    """Nothing happens in the second phase, so that the end is where the first has left off."""
    weights = np.random.default_rng(6).dirichlet(np.ones(3), (30, 2))
    ends = 2.5 + 0.5 * (0.05 + weights[:, 0] @ phased_law.TRANSFER.T) ** -0.5
    regression = TransitionRegression().fit(weights[:24], np.stack([ends, ends], axis=1)[:24])
    rolled = regression.predict(weights[24:])
    assert np.abs(rolled - ends[24:]).mean() < 0.2 * ends.std()


def test_the_mean_regression_sees_amounts_alone() -> None:
    runs = runs_under(False)
    regression = MeanRegression(np.array([0.25, 0.75])).fit(*_of(runs))
    swapped = np.array([[[0.6, 0.2, 0.2], [0.2, 0.4, 0.4]], [[0.0, 0.5, 0.5], [0.4, 0.3, 0.3]]])
    found = regression.predict(swapped)
    assert found[0] == pytest.approx(found[1], abs=1e-6)
    expected = GaussianProcess().fit(
        0.25 * runs.weights[:, 0] + 0.75 * runs.weights[:, 1], runs.losses[:, -1]
    )
    assert found == pytest.approx(expected.predict(np.array([[0.3, 0.35, 0.35]] * 2)))


def test_no_run_has_a_say_in_its_own_roll_out(ordered: FittedTrajectories) -> None:
    runs = ordered.runs
    splits = split_folds(len(runs.index), 4, 0)
    assert len(ordered.partial) == len(splits) == 4
    held, seen = splits[1]
    alone = TransitionRegression().fit(runs.weights[seen], runs.losses[seen])
    assert ordered.out_of_fold[held] == pytest.approx(alone.predict(runs.weights[held]))
    assert ordered.partial[1].predict(runs.weights[held]) == pytest.approx(ordered.out_of_fold[held])
    static = MeanRegression(runs.shares).fit(runs.weights[seen], runs.losses[seen])
    assert ordered.static[held] == pytest.approx(static.predict(runs.weights[held]))
    whole = TransitionRegression().fit(runs.weights, runs.losses)
    assert ordered.regression.predict(runs.weights) == pytest.approx(whole.predict(runs.weights))


def fitted_as(rolled: np.ndarray, static: np.ndarray, measured: np.ndarray) -> FittedTrajectories:
    """Predictions out of fold of [runs] last losses."""
    losses = np.stack([measured, measured], axis=1)[:, :, None]
    runs = PhasedRuns(np.arange(len(measured)), ("a",), ("x",), np.full(2, 0.5), np.ones((6, 2, 1)), losses)
    return FittedTrajectories(runs, TransitionRegression(), (), rolled[:, None], static[:, None])


def test_order_counts_where_its_squared_errors_are_lower_by_more_than_their_standard_error() -> None:
    measured = np.array([3.0, 3.1, 3.2, 3.3, 3.4, 3.5])
    off = np.array([0.1, -0.1, 0.1, -0.1, 0.1, -0.1])
    good = fitted_as(measured + off / 10, measured + off, measured).compared(np.ones(1))
    assert good.order_counts is True
    assert good.errors.trajectories.mae == pytest.approx(0.01)
    assert good.errors.trajectories.rmse == pytest.approx(0.01)
    assert good.errors.static.rmse == pytest.approx(0.1)
    assert good.errors.trajectories.spearman == pytest.approx(1)
    assert good.errors.runs == 6
    assert fitted_as(measured + off, measured + off / 10, measured).compared(np.ones(1)).order_counts is False
    # gains of 1, -1, 1, -1, 1, 1 hundredths: mean 0.33, standard error 0.42, so that order is no better
    squares = np.array([2, 1, 2, 1, 2, 2.0]) / 100, np.array([1, 2, 1, 2, 1, 1.0]) / 100
    found = fitted_as(measured + np.sqrt(squares[1]), measured + np.sqrt(squares[0]), measured)
    assert found.compared(np.ones(1)).order_counts is False
    squares = np.array([2, 1, 2, 2, 2, 2.0]) / 100, np.array([1, 2, 1, 1, 1, 1.0]) / 100
    found = fitted_as(measured + np.sqrt(squares[1]), measured + np.sqrt(squares[0]), measured)
    assert found.compared(np.ones(1)).order_counts is True  # 0.67 against 0.33
    assert found.compared(np.full(1, 2.0)).errors.static.rmse == pytest.approx(2 * np.sqrt(0.11 / 6))


def test_the_doubt_of_a_gain_is_a_jackknife_over_the_folds(ordered: FittedTrajectories) -> None:
    target = np.array([0.5, 0.25, 0.25])
    roll_out = RollOut(ordered, target)
    one, other = ordered.runs.weights[:3], ordered.runs.weights[5]
    gains = np.array([(f.predict(other[None]) - f.predict(one)) @ target for f in ordered.partial])
    expected = np.sqrt(3 / 4 * ((gains - gains.mean(axis=0)) ** 2).sum(axis=0))
    assert roll_out.gain_doubt(one, other) == pytest.approx(expected)
    assert roll_out.loss(one) == pytest.approx(ordered.regression.predict(one) @ target)


@pytest.mark.parametrize("runs, shares, message", [(7, 2, "has 7 finished runs"), (9, 1, "has one phase")])
def test_too_few_runs_or_phases_are_refused(runs: int, shares: int, message: str) -> None:
    found = PhasedRuns(
        np.arange(runs), ("a", "b"), ("x",), np.ones(shares) / shares,
        np.random.default_rng(1).dirichlet(np.ones(2), (runs, shares)),
        1 + np.random.default_rng(0).random((runs, shares, 1)),
    )  # fmt: skip
    with pytest.raises(DataError, match=message):
        fit_trajectories(found, folds=2, seed=0)


TERMS = Terms({"scarce": 1.0}, natural=np.full(3, 1 / 3), folds=4)
REPEATS = Limits(np.zeros(3), np.ones(3), np.array([0.3, 1.0, 1.0]))


@pytest.mark.slow
def test_where_the_last_phase_counts_most_what_is_scarce_is_kept_for_it() -> None:
    """The best under the law with order, on a grid: more of the scarce domain in the last phase."""
    limits = ScheduleLimits(np.full(2, 0.5), REPEATS)
    found = choose_schedule(runs_under(True, runs=24, noise=0.002), limits, TERMS)
    assert (found.order_counts, found.above_noise, found.taken) == (True, True, True)
    first, last = (phase.mixture["scarce"] for phase in found.candidate)
    late = np.linspace(0, 0.6, 601)
    by_phase = np.stack([0.6 - late, late], axis=1)[:, :, None]
    grid = np.concatenate([by_phase, 0 * by_phase, 1 - by_phase], axis=2)
    best_late = late[phased_law.law(grid, order=True)[:, -1, 0].argmin()]
    assert best_late > 0.4
    assert last == pytest.approx(best_late, abs=0.06)
    assert first == pytest.approx(0.6 - best_late, abs=0.06)
    assert found.mean["scarce"] <= 0.3 + 1e-6
    assert found.schedule == found.candidate
    assert found.constant["scarce"] == pytest.approx(0.3, abs=0.01)
    best = np.array([[list(phase.mixture.values()) for phase in found.candidate]])
    flat = np.array([[list(found.constant.values())] * 2])
    truth = phased_law.law(np.concatenate([best, flat]), order=True)[:, -1, 0]
    assert found.gain == pytest.approx(truth[1] - truth[0], abs=0.01)
    assert found.gain > found.noise > 0
    assert found.predicted is not None
    assert found.predicted_constant is not None
    assert found.predicted_constant.loss - found.predicted.loss == pytest.approx(found.gain)
    assert found.predicted.loss == pytest.approx(truth[0], abs=0.04)
    low, high = found.predicted.interval
    assert low < found.predicted.loss < high
    assert "a gain of" in found.reason
    assert [phase.share for phase in found.schedule] == [0.5, 0.5]
    assert found.cross_validation is not None
    assert found.cross_validation.trajectories.rmse < found.cross_validation.static.rmse


@pytest.mark.slow
def test_where_order_is_nothing_one_mixture_stays() -> None:
    limits = ScheduleLimits(np.full(2, 0.5), REPEATS)
    found = choose_schedule(runs_under(False), limits, TERMS)
    assert (found.order_counts, found.taken) == (False, False)
    assert "order does not count" in found.reason
    assert len(found.schedule) == 1
    assert found.mean["scarce"] == pytest.approx(0.3, abs=0.02)  # as much as there is


def test_the_one_mixture_is_the_best_by_the_mean_of_the_phases() -> None:
    limits = ScheduleLimits(np.full(2, 0.5), no_limits(3))
    terms = Terms({"plenty": 1.0}, natural=np.full(3, 1 / 3), folds=2)
    found = choose_schedule(runs_under(False, runs=12), limits, terms)
    assert not found.taken
    grid = np.random.default_rng(0).dirichlet(np.ones(3), 2_000)
    truth = phased_law.law(np.stack([grid, grid], axis=1), order=False)[:, -1, 1]
    chosen = np.array([[list(found.mean.values())] * 2])
    ended = phased_law.law(chosen, order=False)[0, -1, 1]
    assert ended < np.quantile(truth, 0.05)


def test_a_run_under_way_goes_on_with_what_is_best_from_where_it_is(ordered: FittedTrajectories) -> None:
    runs = ordered.runs
    before = np.array([0.1, 0.6, 0.3])
    schedule = Schedule(DOMAINS, np.full(2, 0.5), np.stack([before, np.full(3, 1 / 3)]))
    observed = phased_law.law(schedule.weights[None], order=True)[0, 0]
    under_way = UnderWay(schedule, 1, observed, np.ones(1), 0.5, before / 2)
    limits = ScheduleLimits(np.ones(1), Limits(np.zeros(3), np.array([0.7, 1.0, 1.0])))
    found = choose_schedule(runs, limits, TERMS, under_way=under_way)
    assert list(found.candidate[0].mixture.values()) == pytest.approx(before.tolist())
    assert found.candidate[1].mixture["scarce"] == pytest.approx(0.7, abs=0.05)
    ends = (
        2.5
        + 0.5 * (0.05 + np.array([[1, 1, 1], [2.1, 0.45, 0.45]]) / 3 @ phased_law.TRANSFER.T[:, 0]) ** -0.5
    )
    assert found.gain == pytest.approx(0.6 * (ends[0] - ends[1]), abs=0.04)
    assert found.taken
    better = np.array([[list(found.candidate[1].mixture.values())]])
    roll_out = RollOut(ordered, np.array([1.0, 0.0, 0.0]), observed)
    doubt = roll_out.gain_doubt(better, schedule.weights[1:])[0]
    assert found.noise == pytest.approx(2.353 * doubt, rel=1e-3)  # Student's t: 90% within, of four folds


def bowl(weights: np.ndarray) -> np.ndarray:
    """[schedules] distance from a known schedule."""
    bottom = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
    return ((weights - bottom) ** 2).sum(axis=(1, 2))


def test_the_search_over_schedules_finds_a_known_minimum() -> None:
    limits = ScheduleLimits(np.full(2, 0.5), no_limits(3))
    starts = np.random.default_rng(0).dirichlet(np.ones(3), (20, 2))
    found = minimise_schedule(bowl, starts, limits, seed=0)
    assert bowl(found[None])[0] < 1e-3
    assert bowl(found[None])[0] <= bowl(starts).min()
    assert not np.array_equal(found, minimise_schedule(bowl, starts, limits, seed=1))
    lone = np.array([[[0.2, 0.3, 0.5]] * 2, [[0.5, 0.3, 0.2]] * 2])
    kept = minimise_schedule(
        lambda rows: (np.abs(rows - lone[1]).sum(axis=(1, 2)) > 1e-9) * 1.0, lone, limits, seed=0
    )
    assert kept.tolist() == lone[1].tolist()


def test_schedules_keep_to_floors_and_ceilings_in_every_phase_and_to_repeats_in_all() -> None:
    limits = Limits(np.array([0.1, 0.0, 0.05]), np.array([0.6, 0.7, 1.0]), np.array([0.3, 1.0, 1.0]))
    shares = np.array([0.3, 0.7])
    given = np.random.default_rng(0).dirichlet(np.full(3, 0.4), (400, 2))
    found = ScheduleLimits(shares, limits).apply(given)
    assert found.sum(axis=2) == pytest.approx(np.ones((400, 2)))
    assert (found >= limits.floor - 1e-9).all()
    assert (found <= limits.ceiling + 1e-7).all()
    means = np.einsum("p,spd->sd", shares, found)
    assert (means <= limits.highest + 1e-7).all()
    alone = np.concatenate([ScheduleLimits(shares, limits).apply(row[None]) for row in given[:20]])
    assert alone == pytest.approx(found[:20])
    again = ScheduleLimits(shares, limits).apply(found)
    assert again == pytest.approx(found, abs=1e-6)
    assert np.ptp(found, axis=1).max() > 0.3  # order is left


def test_schedules_keep_to_limits_of_any_kind() -> None:
    random = np.random.default_rng(1)
    for _ in range(150):
        floor = random.dirichlet(np.ones(4)) * random.uniform(0, 0.6)
        ceiling = np.minimum(1, floor + random.uniform(0.05, 0.8, 4))
        repeats = np.minimum(1, floor + random.uniform(0.05, 0.8, 4))
        if np.minimum(ceiling, repeats).sum() < 1:
            continue
        limits, shares = Limits(floor, ceiling, repeats), random.dirichlet(np.full(3, 5.0))
        found = ScheduleLimits(shares, limits).apply(random.dirichlet(np.full(4, 0.2), (30, 3)))
        assert found.sum(axis=2) == pytest.approx(np.ones((30, 3)))
        assert (found >= floor - 1e-8).all()
        assert (found <= ceiling + 1e-7).all()
        assert (np.einsum("p,spd->sd", shares, found) <= limits.highest + 1e-7).all()


def test_limits_of_schedules_by_hand() -> None:
    one = np.array([[[0.8, 0.15, 0.05], [0.2, 0.4, 0.4]]])
    free = ScheduleLimits(np.full(2, 0.5), no_limits(3)).apply(one)
    assert free == pytest.approx(one)
    capped = ScheduleLimits(np.full(2, 0.5), Limits(np.zeros(3), np.array([0.5, 1, 1]))).apply(one)
    assert capped[0] == pytest.approx(np.array([[0.5, 0.375, 0.125], [0.2, 0.4, 0.4]]))
    scarce = ScheduleLimits(np.full(2, 0.5), Limits(np.zeros(3), np.ones(3), np.array([0.25, 1, 1]))).apply(
        one
    )
    assert scarce[0] == pytest.approx(np.array([[0.4, 0.45, 0.15], [0.1, 0.45, 0.45]]))  # half of it in each
    floors = ScheduleLimits(np.full(2, 0.5), Limits(np.array([0.2, 0.3, 0.5]), np.ones(3))).apply(one)
    assert floors[0] == pytest.approx(np.array([[0.2, 0.3, 0.5]] * 2))


def test_a_schedule_with_no_way_to_its_limits_becomes_its_mean_within_them() -> None:
    """Both phases all of what is scarce: nothing of it may move, so all get the same."""
    limits = ScheduleLimits(np.full(2, 0.5), Limits(np.zeros(2), np.ones(2), np.array([0.4, 1.0])))
    found = limits.apply(np.array([[[1.0, 0.0], [1.0, 0.0]]]))
    assert found[0] == pytest.approx(np.array([[0.4, 0.6], [0.4, 0.6]]))


def table(rows: list[list[float]]) -> TrajectoryTable:
    return TrajectoryTable(pd.DataFrame(rows, columns=["index", "tokens", "x", "y"]), "t.csv")


def test_runs_are_cut_where_their_phases_end() -> None:
    schedules = ScheduleTable(
        np.array([4, 7, 9]), ("a", "b"), np.array([[0.25, 0.75]] * 3),
        np.array([[[1, 0], [0.5, 0.5]], [[0, 1], [0.2, 0.8]], [[0, 1], [0, 1]]]),
    )  # fmt: skip
    points = [
        [4, 10, 9, 9], [4, 26, 5, 6], [4, 60, 4, 4], [4, 99, 3, 2],
        [7, 24, 6, 7], [7, 100, 2, 1], [9, 25, 6, 7], [9, 97, 1, 1],
    ]  # fmt: skip
    found = phased_runs(schedules, table(points))
    assert found.index.tolist() == [4, 7]  # the third stopped short of the end
    assert found.losses.tolist() == [[[5, 6], [3, 2]], [[6, 7], [2, 1]]]
    assert found.shares.tolist() == [0.25, 0.75]
    assert found.means == pytest.approx(np.array([[0.625, 0.375], [0.15, 0.85]]))
    assert found.sets == ("x", "y")
    with pytest.raises(
        DataError, match=r"t\.csv: index 4: was not measured at the end of phase 1, at 25 tokens"
    ):
        phased_runs(schedules, table([[4, 30, 5, 6], [4, 100, 3, 2], *points[4:]]))
    with pytest.raises(DataError, match=r"t\.csv: index 8: is not in the plan"):
        phased_runs(schedules, table([*points, [8, 100, 1, 1]]))


def test_runs_on_one_mixture_are_cut_into_as_many_phases_as_are_asked_for() -> None:
    schedules = ScheduleTable(
        np.array([1, 2]), ("a", "b"), np.ones((2, 1)), np.array([[[1, 0]], [[0.3, 0.7]]])
    )
    points = [[i, tokens, 10 - tokens / 20 + i, 1] for i in (1, 2) for tokens in (50, 100)]
    found = phased_runs(schedules, table(points), 2)
    assert found.shares.tolist() == [0.5, 0.5]
    assert found.weights.tolist() == [[[1, 0]] * 2, [[0.3, 0.7]] * 2]
    assert found.losses[:, :, 0].tolist() == [[8.5, 6], [9.5, 7]]
    assert phased_runs(schedules, table(points)).losses[:, :, 0].tolist() == [[6], [7]]


def test_a_run_with_a_loss_missing_at_a_phases_end_is_left_out() -> None:
    schedules = ScheduleTable(np.array([1, 2]), ("a",), np.ones((2, 1)), np.ones((2, 1, 1)))
    found = phased_runs(schedules, table([[1, 100, 1, np.nan], [2, 100, 3, 4]]))
    assert found.index.tolist() == [2]


def under_way_files(folder: Path, observed: str, running: str) -> tuple[Path, Path]:
    (folder / "observed.csv").write_text(observed)
    (folder / "running.csv").write_text(running)
    return folder / "running.csv", folder / "observed.csv"


PHASES = PhasedRuns(
    np.arange(1), ("a", "b"), ("x", "y"), np.array([0.5, 0.3, 0.2]), np.ones((1, 3, 2)), np.ones((1, 3, 2))
)
RUNNING = "index,phase,share,b,a\n0,1,0.5,0.4,0.6\n0,2,0.3,0.9,0.1\n0,3,0.2,0.2,0.8\n"


def test_a_run_under_way_is_where_its_last_losses_are(tmp_path: Path) -> None:
    observed = "phase,y,x\n2,1.5,2.5\n1,3,4\n"
    found = read_under_way(*under_way_files(tmp_path, observed, RUNNING), PHASES)
    assert found is not None
    assert (found.done, found.observed.tolist()) == (2, [2.5, 1.5])
    assert found.shares.tolist() == [1.0]
    assert found.left == pytest.approx(0.2)
    assert found.spent == pytest.approx([0.5 * 0.6 + 0.3 * 0.1, 0.5 * 0.4 + 0.3 * 0.9])
    assert found.schedule.domains == ("a", "b")
    one = read_under_way(*under_way_files(tmp_path, "phase,x,y\n1,4,3\n", "index,a,b\n0,0.6,0.4\n"), PHASES)
    assert one is not None
    assert one.shares == pytest.approx([0.6, 0.4])
    assert one.spent == pytest.approx([0.3, 0.2])
    assert one.schedule.weights.tolist() == [[0.6, 0.4]] * 3
    low = read_under_way(*under_way_files(tmp_path, "phase,x,y\n1,0.4,0.3\n", RUNNING), PHASES)
    assert low is not None
    assert low.observed.tolist() == [0.4, 0.3]
    assert read_under_way(None, None, PHASES) is None


@pytest.mark.parametrize(
    "observed, running, message",
    [
        ("phase,x,y\n3,1,1\n", RUNNING, "column phase: is 3; give a phase of 1 to 2"),
        ("phase,x,y\n0,1,1\n", RUNNING, "column phase: is 0"),
        ("phase,x,y\n1,1,0\n", RUNNING, "column y: is not above 0"),
        ("phase,x\n1,1\n", RUNNING, "column y: is missing or has no number"),
        ("phase,x,y\n1,1,\n", RUNNING, "column y: is missing or has no number"),
        ("phase,x,y\n", RUNNING, "column phase: is missing"),
        (
            "phase,x,y\n1,1,1\n",
            "index,phase,share,a,b\n0,1,0.5,1,0\n0,2,0.5,1,0\n",
            "--running: has 2 phases",
        ),
        (
            "phase,x,y\n1,1,1\n",
            "index,phase,share,a,b\n0,1,0.5,1,0\n0,2,0.25,1,0\n0,3,0.25,1,0\n",
            r"whose shares are 0\.5, 0\.3, 0\.2",
        ),
        ("phase,x,y\n1,1,1\n", "index,a,c\n0,1,0\n", "column b: is missing"),
    ],
)
def test_what_a_run_under_way_lacks_is_named(
    observed: str, running: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        read_under_way(*under_way_files(tmp_path, observed, running), PHASES)
