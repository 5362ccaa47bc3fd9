"""Laws whose parameters are known, and posteriors and gradients worked out by other means."""

from typing import Any

import numpy as np
import pytest
from scipy.optimize import check_grad
from scipy.spatial.distance import cdist
from scipy.special import huber

from mashbill.config.search import REGRESSORS
from mashbill.regression.cross_validation import CrossValidation, measured_by, split_folds
from mashbill.regression.laws import power
from mashbill.regression.laws.ensemble import (
    MEMBERS,
    Ensemble,
    choose_regressor,
    compare,
    fit_regressor,
    member_shares,
    new_regressor,
)
from mashbill.regression.laws.exponential import Exponential
from mashbill.regression.laws.gaussian_process import GaussianProcess
from mashbill.regression.laws.registry import least_runs
from mashbill.regression.process import learn
from mashbill.regression.threads import one_thread

DOMAINS = 4


def mixtures(count: int, seed: int, domains: int = DOMAINS) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.ones(domains), count)


def power_law(weights: np.ndarray) -> np.ndarray:
    """[mixtures, 2]: one set is helped by the first domain most, the other by the last alone."""
    helps = np.array([[2.0, 0.5, 0.1, 0.0], [0.0, 0.0, 0.0, 1.5]])
    base = np.array([0.1, 0.05]) + weights @ helps.T
    return np.array([2.0, 3.0]) + np.array([0.5, 0.3]) * base ** -np.array([0.6, 0.4])


def exponential_law(weights: np.ndarray) -> np.ndarray:
    return np.stack([1.5 + np.exp(0.5 - weights @ [3, 1, 0, 0]), 2 + np.exp(-weights @ [0, 2, 0, 1])], 1)


@pytest.mark.parametrize("name, law", [("power", power_law), ("exponential", exponential_law)])
def test_a_law_that_made_the_losses_is_found_again(name: str, law: Any) -> None:
    weights, unseen = mixtures(40, 0), mixtures(200, 1)
    fitted = new_regressor(name).fit(weights, law(weights))
    spread = np.ptp(law(unseen), axis=0)
    assert (np.abs(fitted.predict(unseen) - law(unseen)).max(axis=0) < 0.05 * spread).all()
    assert np.abs(fitted.predict(unseen) - law(unseen)).mean() < 0.01
    ahead = fitted.predict(np.eye(DOMAINS))  # a domain that helps a set lowers its loss
    assert ahead[0, 0] < ahead[1, 0] < ahead[3, 0]
    assert ahead[3, 1] < ahead[0, 1]


@pytest.mark.parametrize("name", [name for name in REGRESSORS if name != "ensemble"])
def test_losses_in_another_unit_are_predicted_in_that_unit(name: str) -> None:
    """Twice the losses and three more: the first two laws are linear in them but for a slight penalty."""
    weights, unseen = mixtures(24, 0, 3), mixtures(40, 1, 3)
    losses = 2 + (0.1 + weights @ np.array([[1.0], [0.3], [0.0]])) ** -0.5
    once = new_regressor(name).fit(weights, losses).predict(unseen)
    twice = new_regressor(name).fit(weights, 2 * losses + 3).predict(unseen)
    assert twice == pytest.approx(2 * once + 3, rel=0.01)


@pytest.mark.parametrize("name", ["linear", "gp"])
def test_domains_in_another_order_change_nothing(name: str) -> None:
    weights, unseen, order = mixtures(20, 2), mixtures(30, 3), [2, 0, 3, 1]
    losses = power_law(weights)
    one = new_regressor(name).fit(weights, losses).predict(unseen)
    other = new_regressor(name).fit(weights[:, order], losses[:, ::-1]).predict(unseen[:, order])
    assert other[:, ::-1] == pytest.approx(one, abs=1e-4)


@pytest.mark.parametrize("name", [name for name in REGRESSORS if name != "ensemble"])
def test_a_set_that_no_mixture_changes_is_predicted_as_it_is(name: str) -> None:
    weights, unseen = mixtures(24, 22), mixtures(10, 23)
    losses = np.stack([power_law(weights)[:, 0], np.full(24, 2.5)], axis=1)
    assert new_regressor(name).fit(weights, losses).predict(unseen)[:, 1] == pytest.approx(2.5, abs=1e-3)


def test_shares_do_not_change_with_the_unit_of_a_set() -> None:
    """Members that are good in different sets: which unit a set is measured in says nothing of them."""
    random = np.random.default_rng(24)
    losses = random.normal(3, 1, (40, 2))
    noise = {"gp": [0.1, 0.4], "power": [0.4, 0.1], "lightgbm": [0.3, 0.3]}
    predicted = {name: losses + random.normal(0, noise[name], losses.shape) for name in MEMBERS}
    found = []
    for unit in (1.0, 1_000.0):
        scale = np.array([1.0, unit])
        compared = {name: measured_by(table * scale, losses * scale) for name, table in predicted.items()}
        found.append(member_shares(compared, losses * scale))
    for name, shares in found[0].items():
        assert found[1][name] == pytest.approx(shares, abs=1e-6)


def test_a_process_of_losses_that_spread_more_is_higher() -> None:
    """Of a given noise: the height is all that tells how far losses go."""
    weights = mixtures(40, 25)
    targets = power_law(weights) - power_law(weights).mean(axis=0)
    targets /= targets.std(axis=0)
    low, high = (learn(weights, spread * targets, 1 / 3, noise=-4.0).heights for spread in (0.2, 5.0))
    assert (high - low > 1).all()


def test_runs_needed_are_the_numbers_that_a_law_must_find() -> None:
    assert {name: least_runs(name, 20) for name in REGRESSORS} == {
        "linear": 21,
        "lightgbm": 16,
        "power": 24,
        "exponential": 22,
        "gp": 8,
        "ensemble": 24,
    }
    assert least_runs("auto", 20) == least_runs("power", 2) == 8


def test_the_power_laws_gradient_is_its_slope() -> None:
    weights, random = mixtures(15, 4), np.random.default_rng(5)
    target = random.random(15)

    def value(parameters: np.ndarray) -> float:
        return power._objective(parameters, weights, target)[0]

    def gradient(parameters: np.ndarray) -> np.ndarray:
        return power._objective(parameters, weights, target)[1]

    for _ in range(5):
        parameters = random.normal(-0.5, 0.7, DOMAINS + 4)
        assert check_grad(value, gradient, parameters) < 1e-5
        offset, height, floor, rate = parameters[0], *np.exp(parameters[1:4])
        predicted = offset + height / (floor + weights @ np.exp(parameters[4:])) ** rate
        expected = huber(0.02, predicted - target).mean() + 1e-4 * ((parameters[4:] + 1) ** 2).sum() / 15
        assert value(parameters) == pytest.approx(expected)


def test_the_exponential_law_ends_where_its_objective_is_flat() -> None:
    weights, random = mixtures(20, 20), np.random.default_rng(21)
    target = exponential_law(weights)[:, 0] + random.normal(0, 0.05, 20)
    found = Exponential().fit(weights, target[:, None]).parameters[0]

    def value(parameters: np.ndarray) -> float:
        predicted = parameters[0] + np.exp(parameters[1] + weights @ parameters[2:])
        errors = (predicted - target) / np.ptp(target)
        return float(huber(0.02, errors).sum() + huber(0.02, 1e-3 * parameters[2:]).sum())

    risen = np.exp(found[1] + weights @ found[2:])
    pull = np.clip((found[0] + risen - target) / np.ptp(target), -0.02, 0.02) / np.ptp(target)
    slope = np.concatenate([[pull.sum(), pull @ risen], (pull * risen) @ weights + 1e-6 * found[2:]])
    assert np.abs(slope).max() < 1e-7
    around = [value(found + step) for step in random.normal(0, 0.01, (200, DOMAINS + 2))]
    assert value(found) <= min(around) + 1e-6


def test_few_runs_still_give_trees() -> None:
    weights = mixtures(16, 6)
    losses = np.where(weights[:, :1] > np.median(weights[:, 0]), 1.0, 2.0)
    found = new_regressor("lightgbm").fit(weights, losses).predict(weights)
    assert (found[losses == 1] < 1.2).mean() > 0.8
    assert (found[losses == 2] > 1.8).mean() > 0.8


@pytest.fixture(scope="module")
def process() -> tuple[GaussianProcess, np.ndarray, np.ndarray]:
    weights = mixtures(30, 7)
    losses = power_law(weights) + np.random.default_rng(8).normal(0, 0.005, (30, 2))
    return GaussianProcess().fit(weights, losses), weights, losses


def independent_kernel(one: np.ndarray, other: np.ndarray, lengths: np.ndarray, height: float) -> np.ndarray:
    return np.exp(height) / np.sqrt(1 + cdist(one / np.exp(lengths), other / np.exp(lengths), "sqeuclidean"))


def test_the_posterior_is_that_of_the_textbook(
    process: tuple[GaussianProcess, np.ndarray, np.ndarray],
) -> None:
    """Means and covariances of every process, of more mixtures than are computed at once."""
    model, weights, losses = process
    unseen = mixtures(1_100, 9)
    warped = np.log(losses - (losses.min(axis=0) - losses.std(axis=0)))
    values = (warped - warped.mean(axis=0)) / warped.std(axis=0)
    assert [one.root for one in model.processes] == [1 / 2, 1 / 3, 1 / 4]
    means = []
    for one in model.processes:
        roots = weights**one.root
        middle, spread = roots.mean(axis=0), roots.std(axis=0, ddof=1)
        points, others = (roots - middle) / spread, (unseen**one.root - middle) / spread
        mean, variance, covariance = (
            one.mean(unseen), one.variance(unseen), one.covariance(unseen[:5]),
        )  # fmt: skip
        for target in range(2):
            lengths, height = one.lengths[target].numpy(), float(one.heights[target])
            factor = one.factor[target].numpy()
            among = factor @ factor.T
            noise = among - independent_kernel(points, points, lengths, height)
            assert noise == pytest.approx(np.diag(noise.diagonal()), abs=1e-9)
            assert (noise.diagonal() > 0).all()
            across = independent_kernel(others, points, lengths, height)
            solved = np.linalg.solve(among, across.T)
            assert mean[:, target] == pytest.approx(
                across @ np.linalg.solve(among, values[:, target]), abs=2e-3
            )
            expected = np.exp(height) - (across * solved.T).sum(axis=1)
            assert variance[:, target] == pytest.approx(expected, abs=1e-6)
            both = independent_kernel(others[:5], others[:5], lengths, height) - across[:5] @ solved[:, :5]
            assert covariance[target] == pytest.approx(both, abs=1e-6)
        means.append(mean)
    back = [np.exp(m * warped.std(axis=0) + warped.mean(axis=0)) for m in means]
    floor = losses.min(axis=0) - losses.std(axis=0)
    assert model.predict(unseen) == pytest.approx(np.mean(back, axis=0) + floor, abs=1e-6)


def test_doubt_in_the_losses_is_doubt_of_the_processes_times_the_slope(
    process: tuple[GaussianProcess, np.ndarray, np.ndarray],
) -> None:
    model, _, _ = process
    unseen = mixtures(6, 10)
    with one_thread():  # means are in single precision, whose sums hang on the number of threads
        means = np.stack([one.mean(unseen) for one in model.processes])
        within = np.mean([one.variance(unseen) for one in model.processes], axis=0)
    step = 1e-4
    middle = means.mean(axis=0)
    slope = (model.unwarp(middle + step) - model.unwarp(middle - step)) / (2 * step)
    assert model.deviation(unseen) == pytest.approx(np.sqrt(within + means.var(axis=0)) * slope, rel=1e-4)


def test_surfaces_drawn_have_the_posteriors_mean_and_spread(
    process: tuple[GaussianProcess, np.ndarray, np.ndarray],
) -> None:
    model, weights, _ = process
    places = np.concatenate([mixtures(3, 11), np.eye(DOMAINS)[1:2]])
    draws = model.draw(places, 6_000, 3)
    assert draws.shape == (6_000, 4, 2)
    assert draws.mean(axis=0) == pytest.approx(model.predict(places), abs=0.05)
    assert draws.std(axis=0) == pytest.approx(model.deviation(places), rel=0.25)
    assert np.array_equal(model.draw(places, 7, 3), model.draw(places, 7, 3))
    assert not np.array_equal(model.draw(places, 7, 3), model.draw(places, 7, 4))
    twins = model.draw(np.repeat(weights[:1], 2, axis=0), 50, 0)
    assert twins[:, 0] == pytest.approx(twins[:, 1], abs=1e-3)
    assert np.ptp(twins[:, 0], axis=0).min() > 0


def test_the_process_predicts_unseen_mixtures_and_learns_which_domain_matters(
    process: tuple[GaussianProcess, np.ndarray, np.ndarray],
) -> None:
    model, _, _ = process
    unseen = mixtures(300, 12)
    errors = np.abs(model.predict(unseen) - power_law(unseen)).mean(axis=0)
    assert (errors < 0.1 * power_law(unseen).std(axis=0)).all()
    lengths = np.mean([one.lengths.numpy() for one in model.processes], axis=0)
    assert lengths[0].argmin() == 0  # the first set hangs on the first domain, the second on the last
    assert lengths[1].argmin() == 3
    assert lengths[1, 3] + 1 < lengths[1, :3].min()


def out_of_fold(losses: np.ndarray, errors: dict[str, float], seed: int = 0) -> dict[str, CrossValidation]:
    """Members whose errors are independent, of known standard deviations."""
    random = np.random.default_rng(seed)
    return {
        name: measured_by(losses + random.normal(0, errors[name], losses.shape), losses) for name in MEMBERS
    }


def test_shares_go_as_one_over_the_variance_of_independent_errors() -> None:
    losses = np.random.default_rng(1).normal(3, 1, (20_000, 2))
    shares = member_shares(out_of_fold(losses, {"gp": 0.1, "power": 0.2, "lightgbm": 0.2}), losses)
    assert shares["gp"] == pytest.approx([2 / 3] * 2, abs=0.02)
    assert shares["power"] == pytest.approx([1 / 6] * 2, abs=0.02)
    assert shares["lightgbm"] == pytest.approx([1 / 6] * 2, abs=0.02)


def test_few_runs_draw_shares_towards_equal_ones_and_a_useless_member_is_left_out() -> None:
    losses = np.random.default_rng(2).normal(3, 1, (20_000, 1))
    compared = out_of_fold(losses, {"gp": 0.1, "power": 0.2, "lightgbm": 2.0})
    many = member_shares(compared, losses)
    few = member_shares(compared, losses, np.arange(6))
    assert "lightgbm" not in many
    assert 1 / 3 < few["gp"][0] < many["gp"][0]
    assert sum(few.values()) == pytest.approx([1.0])
    assert many["gp"] == pytest.approx([0.8], abs=0.02)


def test_each_target_has_shares_of_its_own_drawn_to_those_of_all() -> None:
    """Members are good at one target each: the more runs, the more a target trusts its own."""
    random = np.random.default_rng(3)
    losses = random.normal(3, 1, (4_000, 2))
    spread = {"gp": [0.1, 0.4], "power": [0.4, 0.1], "lightgbm": [5, 5]}
    compared = {
        name: measured_by(losses + random.normal(0, 1, losses.shape) * spread[name], losses)
        for name in MEMBERS
    }
    many, few = member_shares(compared, losses), member_shares(compared, losses, np.arange(200))
    assert many["gp"][0] > 0.9 > few["gp"][0] > 0.5
    assert many["power"][1] > 0.9 > few["power"][1] > 0.5


def test_shares_are_learnt_from_the_runs_that_are_named_alone() -> None:
    losses = np.random.default_rng(4).normal(3, 1, (60, 1))
    compared = out_of_fold(losses, {"gp": 0.1, "power": 0.2, "lightgbm": 0.3})
    before = member_shares(compared, losses, np.arange(40))
    for one in compared.values():
        one.predicted[40:] += 50
    after = member_shares(compared, losses, np.arange(40))
    assert {name: row.tolist() for name, row in before.items()} == {
        name: row.tolist() for name, row in after.items()
    }


@pytest.fixture(scope="module")
def compared() -> tuple[dict[str, CrossValidation], np.ndarray, np.ndarray]:
    weights = mixtures(20, 13, 3)
    losses = 2 + (0.1 + weights @ np.array([[1.0, 0.0], [0.3, 0.2], [0.0, 1.0]])) ** -0.5
    return compare(("linear", "ensemble"), weights, losses, folds=4, seed=2), weights, losses


def test_the_ensemble_predicts_a_run_with_shares_that_it_had_no_say_in(
    compared: tuple[dict[str, CrossValidation], np.ndarray, np.ndarray],
) -> None:
    found, weights, losses = compared
    assert set(found) == {"linear", "ensemble", *MEMBERS}
    for held, seen in split_folds(20, 4, 2):
        without = member_shares(found, losses, seen)
        expected = sum(share * found[name].predicted[held] for name, share in without.items())
        assert found["ensemble"].predicted[held] == pytest.approx(expected)
    for name, one in found.items():
        assert one.mae == pytest.approx(np.abs(one.predicted - losses).mean(axis=0)), name
    again = compare(("linear",), weights, losses, folds=4, seed=3)
    assert set(again) == {"linear"}
    assert not np.allclose(again["linear"].predicted, found["linear"].predicted)


def test_the_ensemble_is_the_weighted_mean_of_its_members(
    compared: tuple[dict[str, CrossValidation], np.ndarray, np.ndarray],
) -> None:
    _, weights, losses = compared
    unseen = mixtures(10, 14, 3)
    shares = {"gp": np.array([0.7, 0.2]), "power": np.array([0.3, 0.8])}
    fitted = Ensemble(shares).fit(weights, losses)
    parts = {name: new_regressor(name).fit(weights, losses).predict(unseen) for name in shares}
    assert fitted.predict(unseen) == pytest.approx(sum(shares[name] * parts[name] for name in shares))


def test_the_fitted_ensemble_has_the_shares_of_the_comparison(
    compared: tuple[dict[str, CrossValidation], np.ndarray, np.ndarray],
) -> None:
    found, weights, losses = compared
    fitted = fit_regressor("ensemble", weights, losses, compared=found)
    assert isinstance(fitted, Ensemble)
    expected = member_shares(found, losses)
    assert {name: row.tolist() for name, row in fitted.shares.items()} == {
        name: row.tolist() for name, row in expected.items()
    }
    assert fit_regressor("linear", weights, losses, compared=found).name == "linear"


def ranked(value: float) -> CrossValidation:
    return CrossValidation(np.zeros((2, 2)), np.array([value - 0.1, value + 0.1]), np.zeros(2))


def test_the_best_rank_correlation_wins_and_the_process_within_a_hundredth_of_it() -> None:
    assert choose_regressor({"linear": ranked(0.5), "power": ranked(0.9), "gp": ranked(0.895)}) == "gp"
    assert choose_regressor({"linear": ranked(0.5), "power": ranked(0.9), "gp": ranked(0.88)}) == "power"
    assert choose_regressor({"linear": ranked(0.8), "power": ranked(0.7)}) == "linear"
