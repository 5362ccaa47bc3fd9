"""A loss that its mixture does not explain spoils no regressor, no cross-validation and no interval, and is
named; what a mixture does explain is kept."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from builders.checkout import REGMIX
from mashbill.mixtures import LossTable, MixtureTable, SweepRuns, TrajectoryTable
from mashbill.regression.fitted import FittedRegression, RegressorComparison, TargetModel, fit_runs
from mashbill.regression.laws.ensemble import new_regressor
from mashbill.regression.limits import no_limits
from mashbill.regression.optimum import Beside
from mashbill.regression.outliers import find_outliers
from mashbill.regression.tables import evaluate_tables, fit_tables, predict
from mashbill.regression.trajectories.limits import ScheduleLimits
from mashbill.regression.trajectories.optimum import Terms, choose_schedule
from mashbill.regression.trajectories.runs import PhasedRuns

RUNS = 64
SETS = ("metric/the_pile_pile_cc_val_loss", "metric/the_pile_github_val_loss")


def published(kind: str, runs: int | None = None) -> SweepRuns:
    """Runs of RegMix's 1M sweep with the losses of two sets."""
    mixtures = MixtureTable.read(REGMIX / f"{kind}_mixture_1m.csv")
    losses = LossTable.read(REGMIX / f"{kind}_pile_loss_1m.csv").having(SETS)
    rows = np.arange(len(mixtures.index) if runs is None else runs)
    return SweepRuns(mixtures.only(rows), losses.only(rows))


def with_losses(runs: SweepRuns, cells: dict[tuple[int, int], float]) -> SweepRuns:
    """The runs with other losses in some cells (run, set)."""
    losses = runs.losses.losses.copy()
    for cell, loss in cells.items():
        losses[cell] = loss
    return SweepRuns(runs.mixtures, LossTable(runs.losses.index, SETS, losses, "losses.csv"))


def fitted(runs: SweepRuns, name: str = "gp", keep: bool = False) -> FittedRegression:
    return fit_runs(runs, name, [name], folds=4, seed=0, keep_outliers=keep)[0]


def rank_correlations(fit: FittedRegression) -> np.ndarray:
    """[sets] with the losses of runs that no one trained on."""
    unseen = published("test")
    predicted = fit.regressor.predict(unseen.mixtures.weights)
    pairs = zip(predicted.T, unseen.losses.losses.T, strict=True)
    return np.array([spearmanr(one, other).statistic for one, other in pairs])


def test_clean_runs_have_no_outlier() -> None:
    mixtures = MixtureTable.read(REGMIX / "train_mixture_1m.csv").weights
    losses = LossTable.read(REGMIX / "train_pile_loss_1m.csv").losses
    for runs in (np.arange(16), np.arange(RUNS), np.arange(100, 132)):
        assert not find_outliers(mixtures[runs], losses[runs]).found.any()


@pytest.mark.parametrize("bad", [(12.0,), (0.5,), (1e6,), (12.0, 12.0), (0.5, 12.0, 1e6)])
@pytest.mark.slow
def test_bad_runs_cost_next_to_nothing(bad: tuple[float, ...]) -> None:
    """Rank correlation on unseen runs stays within a hundredth, where it fell by a fifth and more; one run is
    bad on all sets."""
    clean = published("train", RUNS)
    cells = {(10 + 7 * i, 0): loss for i, loss in enumerate(bad)} | {(10, 1): bad[0]}
    spoilt = with_losses(clean, cells)
    fit = fitted(spoilt)
    assert fit.outliers is not None
    assert set(map(tuple, np.argwhere(fit.outliers.found).tolist())) == set(cells)
    expected = [fit.outliers.expected[cell] for cell in cells]
    assert expected == pytest.approx([clean.losses.losses[cell] for cell in cells], abs=0.4)
    before = rank_correlations(fitted(clean))
    assert (rank_correlations(fit) > before - 0.01).all()
    assert rank_correlations(fitted(spoilt, keep=True))[0] < before[0] - 0.05


@pytest.mark.parametrize("name", ["linear", "power", "exponential", "lightgbm", "gp", "ensemble"])
@pytest.mark.slow
def test_every_regressor_learns_as_if_the_run_were_not_there(name: str) -> None:
    runs = published("train", 40)
    weights, losses = runs.mixtures.weights, runs.losses.losses[:, :1].copy()
    without = np.delete(np.arange(40), [3, 21])
    losses[[3, 21]] = np.nan
    mixtures = published("test").mixtures.weights[:50]
    found = new_regressor(name).fit(weights, losses).predict(mixtures)
    expected = new_regressor(name).fit(weights[without], losses[without]).predict(mixtures)
    if name == "ensemble":  # folds of its shares fall elsewhere; learning a loss of 12 twice moves it by 0.6
        assert np.abs(found - expected).mean() < 0.05
    else:  # the process standardises by all mixtures
        assert found == pytest.approx(expected, abs=0.02 if name == "gp" else 1e-9)


def test_errors_and_intervals_are_those_of_the_other_runs() -> None:
    clean = published("train", RUNS)
    spoilt = with_losses(clean, {(5, 0): 12.0, (30, 0): 0.5, (31, 0): 1e6})
    pairs = [fit_runs(runs, "gp", ["gp"], folds=4, seed=0) for runs in (clean, spoilt)]
    (before, compared_before), (after, compared_after) = pairs
    assert compared_after["gp"].mae == pytest.approx(compared_before["gp"].mae, rel=0.15)
    assert compared_after["gp"].spearman == pytest.approx(compared_before["gp"].spearman, abs=0.02)
    unseen = published("test")
    half_widths = []
    for fit in (before, after):
        model = TargetModel(fit, {SETS[0]: 1.0})
        predicted = fit.regressor.predict(unseen.mixtures.weights)[:, 0]
        low, high = model.predictions({"one": unseen.mixtures.weights[0]}, 0.9)["one"].interval
        half_widths.append((high - low) / 2)
        inside = np.abs(predicted - unseen.losses.losses[:, 0]) <= (high - low) / 2
        assert 0.85 <= inside.mean() <= 0.97
        assert model.noise < 0.1
    assert half_widths[1] < 1.3 * half_widths[0]


def test_the_best_run_is_not_one_that_nobody_believes() -> None:
    clean = published("train", RUNS)
    natural = clean.mixtures.weights.mean(axis=0)
    found = {}
    for name, runs in {"clean": clean, "spoilt": with_losses(clean, {(5, 0): 0.5})}.items():
        found[name] = Beside.of_runs(TargetModel(fitted(runs), {SETS[0]: 1.0}), natural).mixtures["best run"]
    assert np.array_equal(found["spoilt"], found["clean"])
    assert not np.array_equal(found["spoilt"], clean.mixtures.weights[5])


def test_the_record_names_the_loss_and_predicts_the_other_runs(tmp_path: Path) -> None:
    spoilt = with_losses(published("train", RUNS), {(5, 0): 12.0})
    fit, compared = fit_runs(spoilt, "linear", ["linear"], folds=4, seed=0)
    fit.write(tmp_path)
    model = TargetModel(FittedRegression.read(tmp_path), {SETS[0]: 1.0})
    RegressorComparison.of(model, compared, spoilt.mixtures.index).write(tmp_path)
    record = json.loads((tmp_path / "cross_validation.json").read_text())
    (outlier,) = record["outliers"]
    index = int(spoilt.mixtures.index[5])
    assert (outlier["index"], outlier["set"], outlier["loss"]) == (index, SETS[0], 12.0)
    assert 5 < outlier["expected"] < 6.5
    assert record["predictions"]["target"]["index"] == [i for i in spoilt.mixtures.index if i != index]
    assert max(record["predictions"]["target"]["measured"]) < 7
    other = TargetModel(model.fitted, {SETS[1]: 1.0})  # to which the run is as good as any
    assert len(other.residuals) == RUNS


def corner() -> tuple[np.ndarray, np.ndarray]:
    """Mixtures of three domains, and a loss thrice as high where the second is left out; six do so."""
    random = np.random.default_rng(4)
    weights = random.dirichlet(np.ones(3), 48)
    weights[:6] = np.stack([random.uniform(0, 1, 6), np.zeros(6), np.zeros(6)], axis=1)
    weights[:6, 2] = 1 - weights[:6, 0]
    losses = 2 + 4 * np.exp(-30 * weights[:, 1]) + 0.3 * weights[:, 0] + random.normal(0, 0.02, 48)
    return weights, losses[:, None]


def test_losses_are_kept_that_mixtures_explain() -> None:
    weights, losses = corner()
    assert losses[:6].min() > 2 * np.median(losses)
    assert not find_outliers(weights, losses).found.any()
    losses[20] = losses[:6].mean()  # usual in the corner, and nowhere else
    assert np.argwhere(find_outliers(weights, losses).found).tolist() == [[20, 0]]


def test_outliers_do_not_hang_on_the_unit_the_order_or_other_sets() -> None:
    weights, losses = corner()
    losses[[9, 33]] = [[40.0], [0.01]]
    found = find_outliers(weights, losses).found
    assert np.flatnonzero(found[:, 0]).tolist() == [9, 33]
    order = np.random.default_rng(0).permutation(len(losses))
    assert np.array_equal(find_outliers(weights[order], losses[order]).found, found[order])
    both = np.concatenate([losses / np.log(2), losses * 0 + np.sqrt(weights[:, :1])], axis=1)
    assert np.array_equal(find_outliers(weights, both).found, np.concatenate([found, ~found & found], axis=1))


def test_losses_that_are_all_as_noisy_have_no_outlier() -> None:
    """Some lie far from what is expected; none lies where that says much."""
    random = np.random.default_rng(0)
    weights = random.dirichlet(np.ones(3), RUNS)
    losses = 3 - np.sqrt(weights[:, :1]) + 0.15 * random.standard_normal((RUNS, 1))
    assert not find_outliers(weights, losses).found.any()


def test_more_than_an_eighth_are_never_left_out() -> None:
    weights, losses = corner()
    losses[::4] = np.random.default_rng(1).uniform(20, 90, (12, 1))
    assert find_outliers(weights, losses).found.sum() <= 6
    few = find_outliers(weights[:7], np.array([[2.0], [2.1], [2.2], [2.0], [2.1], [2.2], [900.0]]))
    assert not few.found.any()  # seven runs say nothing of what is usual


def write(folder: Path, runs: SweepRuns) -> tuple[list[Path], list[Path]]:
    runs.mixtures.write(folder / "mixtures.csv")
    runs.losses.write(folder / "losses.csv")
    return [folder / "mixtures.csv"], [folder / "losses.csv"]


def test_tables_are_fitted_with_a_warning_that_names_the_run(tmp_path: Path) -> None:
    clean, target = published("train", RUNS), {"all": 1.0}
    mixtures, losses = write(tmp_path, with_losses(clean, {(5, 0): 1e6}))
    index = int(clean.mixtures.index[5])
    model, card = fit_tables(mixtures, losses, target, regressor="gp")
    (warning,) = card.warnings
    assert (
        f"losses.csv: index {index}, column {SETS[0]}: is 1e+06, where the other runs let one expect"
        in warning
    )
    assert "--keep-outliers" in warning
    assert [(one.index, one.set, one.loss) for one in card.outliers] == [(index, SETS[0], 1e6)]
    measured = clean.losses.losses
    predicted = predict(model, clean.mixtures)
    assert (predicted > measured.min(axis=0) - 0.5).all()
    assert (predicted < measured.max(axis=0) + 0.5).all()
    judged = evaluate_tables(model, REGMIX / "test_mixture_1m.csv", REGMIX / "test_pile_loss_1m.csv")
    assert judged.mean_spearman > 0.98
    assert 0.85 <= judged.targets[SETS[0]].coverage_90 <= 0.97
    _, kept = fit_tables(mixtures, losses, target, regressor="linear", keep_outliers=True)
    assert kept.warnings == kept.outliers == ()


def test_an_outlier_of_a_maximised_column_is_named_in_its_own_sign(tmp_path: Path) -> None:
    weights, losses = corner()
    scores = 0.9 - losses / 10
    scores[9], scores[12] = -30.0, 0.0
    frame = pd.DataFrame({"index": range(48), "score": scores[:, 0]})
    frame.to_csv(tmp_path / "losses.csv", index=False)
    MixtureTable.numbered(("a", "b", "c"), weights).write(tmp_path / "mixtures.csv")
    tables = [tmp_path / "mixtures.csv"], [tmp_path / "losses.csv"]
    _, card = fit_tables(*tables, {"score": 1.0}, maximized=["score"], regressor="linear")
    assert (9, -30.0) in [(one.index, one.loss) for one in card.outliers]
    assert all(0 < one.expected < 1 for one in card.outliers)


@pytest.mark.slow
def test_a_schedule_is_chosen_without_the_run_and_says_so() -> None:
    """Losses of two phases; in one run the second has gone wrong."""
    random = np.random.default_rng(2)
    weights = random.dirichlet(np.ones(3), (40, 2))
    first = 4 - weights[:, 0, 0] - 0.3 * weights[:, 0, 1]
    last = 0.3 * first + 2 - weights[:, 1, 1] + random.normal(0, 0.01, 40)
    losses = np.stack([first, last], axis=1)[:, :, None]
    domains, shares = ("a", "b", "c"), np.array([0.5, 0.5])
    limits, terms = ScheduleLimits(shares, no_limits(3)), Terms({"loss": 1.0}, seed=0)
    runs = PhasedRuns(np.arange(100, 140), domains, ("loss",), shares, weights, losses)
    without = np.delete(np.arange(40), 17)
    expected = choose_schedule(
        PhasedRuns(runs.index[without], domains, ("loss",), shares, weights[without], losses[without]),
        limits,
        terms,
    )
    spoilt = losses.copy()
    spoilt[17, 1] = 30.0
    found = choose_schedule(
        PhasedRuns(runs.index, domains, ("loss",), shares, weights, spoilt), limits, terms
    )
    assert [(one.index, one.set, one.loss) for one in found.outliers] == [(117, "loss after phase 2", 30.0)]
    assert expected.outliers == ()
    assert found.model_copy(update={"outliers": ()}) == expected


def test_trajectories_say_where_a_loss_is_none(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("index,tokens,loss\n0,10,2.5\n0,20,0\n")
    with pytest.raises(Exception, match=r"t\.csv: index 0, column loss: is 0"):
        TrajectoryTable.read(tmp_path / "t.csv")
