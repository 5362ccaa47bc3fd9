"""The regressors on RegMix's published sweep, and the choice and the gate that follow from them."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from builders.checkout import REGMIX
from builders.choices import write_choice
from builders.corpus import corpus_config, run_stage, write_jsonl
from mashbill.artifacts import Artifact
from mashbill.config import PipelineConfig
from mashbill.config.search import REGRESSORS
from mashbill.errors import DataError, RunError
from mashbill.mixtures import SweepRuns
from mashbill.regression.advice import advise
from mashbill.regression.cross_validation import cross_validate
from mashbill.regression.fitted import FittedRegression, TargetModel
from mashbill.regression.laws.ensemble import (
    MEMBERS,
    choose_regressor,
    compare,
    member_shares,
    new_regressor,
)
from mashbill.regression.laws.gaussian_process import GaussianProcess
from mashbill.regression.laws.linear import Linear
from mashbill.regression.limits import Limits, no_limits
from mashbill.regression.objective import Objective
from mashbill.regression.process import kernel
from mashbill.regression.sensitivity import sensitivity
from mashbill.regression.simplex import SearchSpace, minimise

TARGETS = slice(0, 3)


def published(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """[runs, domains] mixtures and [runs, targets] losses of RegMix's 1M sweep."""
    mixtures = pd.read_csv(REGMIX / f"{kind}_mixture_1m.csv", index_col=0).to_numpy()
    losses = pd.read_csv(REGMIX / f"{kind}_pile_loss_1m.csv", index_col=0)
    return mixtures, losses[[c for c in losses.columns if "loss" in c]].to_numpy()[:, TARGETS]


def rank_correlation(name: str, runs: int) -> float:
    weights, losses = published("train")
    unseen, measured = published("test")
    predicted = new_regressor(name).fit(weights[:runs], losses[:runs]).predict(unseen)
    return float(np.mean([spearmanr(p, m).statistic for p, m in zip(predicted.T, measured.T, strict=True)]))


@pytest.mark.slow
def test_the_process_ranks_unseen_runs_with_an_eighth_of_the_proxies() -> None:
    found = {name: rank_correlation(name, 64) for name in ("linear", "lightgbm", "gp", "ensemble")}
    assert found["linear"] < 0.8
    assert found["lightgbm"] > 0.95
    assert min(found["ensemble"], found["gp"]) > 0.98


def test_out_of_fold_predictions_never_saw_their_run() -> None:
    weights, losses = published("train")
    weights, losses = weights[:24], losses[:24, :1]
    before = cross_validate(Linear, weights, losses, folds=4, seed=0).predicted
    changed = losses.copy()
    changed[5] += 100
    after = cross_validate(Linear, weights, changed, folds=4, seed=0).predicted
    assert after[5] == pytest.approx(before[5])
    assert not np.allclose(after, before)


@pytest.mark.parametrize("name", REGRESSORS)
@pytest.mark.slow
def test_every_regressor_is_deterministic(name: str) -> None:
    weights, losses = published("train")
    first, second = (
        new_regressor(name).fit(weights[:20], losses[:20, :1]).predict(weights[20:25]) for _ in range(2)
    )
    assert np.array_equal(first, second)
    assert first.shape == (5, 1)


def test_the_exponential_law_stays_bounded_where_no_run_was() -> None:
    """From fewer runs than domains, corners of the simplex lie far outside; a law without a bound answers in
    thousands there."""
    weights, losses = published("train")
    corners = new_regressor("exponential").fit(weights[:14], losses[:14]).predict(np.eye(weights.shape[1]))
    assert (corners < losses[:14].max(axis=0) + 2 * np.ptp(losses[:14], axis=0) + 10).all()
    assert np.isfinite(corners).all()


@pytest.mark.slow
def test_the_choice_and_the_shares_follow_cross_validation() -> None:
    weights, losses = published("train")
    compared = compare(REGRESSORS, weights[:40], losses[:40], folds=4, seed=0)
    means = {name: cv.spearman.mean() for name, cv in compared.items()}
    assert choose_regressor(compared) == "gp"
    assert choose_regressor({**compared, "gp": compared["linear"]}) == max(
        (n for n in means if n != "gp"), key=lambda n: means[n]
    )
    shares = member_shares(compared, losses[:40])
    assert sum(shares.values()) == pytest.approx(np.ones(losses.shape[1]))
    assert max(shares, key=lambda name: shares[name].mean()) == max(
        MEMBERS, key=lambda name: -compared[name].mae.mean()
    )
    assert any(len(set(own.round(9))) > 1 for own in shares.values())  # a target has its own
    assert compared["ensemble"].mae.mean() < max(compared[name].mae.mean() for name in MEMBERS)


def test_the_process_interpolates_and_its_doubt_grows_away_from_the_runs() -> None:
    """Means agree with the textbook's formula; drawn losses spread little at a run and more between runs."""
    weights, losses = published("train")
    weights, losses = weights[:60], losses[:60]
    model = GaussianProcess().fit(weights, losses)
    process = model.processes[0]
    points = process.features(weights)
    across = kernel(process.features(weights[:5]), points, process.lengths, heights=process.heights)
    expected = (across @ process.coefficients[:, :, None])[:, :, 0].T.numpy()
    assert process.mean(weights[:5]) == pytest.approx(expected, abs=2e-3)
    corner = np.eye(weights.shape[1])[:1]
    both = np.concatenate([weights[:1], corner])
    doubt = process.covariance(both).diagonal(axis1=1, axis2=2)
    assert (doubt[:, 1] > doubt[:, 0]).all()
    assert (doubt[:, 0] < np.exp(process.heights.numpy()) / 4).all()
    draws = model.draw(both, 300, 0)
    assert draws.shape == (300, 2, 3)
    assert draws[:, 0].mean(axis=0) == pytest.approx(model.predict(weights[:1])[0], abs=0.05)


def fitted(regressor: str = "linear", runs: int = 64) -> FittedRegression:
    weights, losses = published("train")
    weights, losses = weights[:runs], losses[:runs]
    folds = cross_validate(lambda: new_regressor(regressor), weights, losses, folds=4, seed=0)
    domains = tuple(f"d{i}" for i in range(weights.shape[1]))
    return FittedRegression(
        regressor,
        new_regressor(regressor).fit(weights, losses),
        domains,
        ("a", "b", "c"),
        weights,
        losses,
        folds.predicted,
    )


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9])
def test_intervals_hold_on_unseen_runs_and_are_no_wider_than_that(coverage: float) -> None:
    """Within two standard errors of what 64 residuals can tell, and 256 unseen runs."""
    unseen, measured = published("test")
    model = TargetModel(fitted(), {"a": 1.0})
    inside = []
    for weights, loss in zip(unseen, measured, strict=True):
        low, high = model.predictions({"unseen": weights}, coverage)["unseen"].interval
        inside.append(low <= loss[0] <= high)
    assert np.mean(inside) == pytest.approx(coverage, abs=0.1)


def test_candidates_keep_under_the_epoch_limit() -> None:
    natural, ceiling = np.array([0.7, 0.3]), np.array([1.0, 0.35])
    space = SearchSpace(natural, Limits(np.zeros(2), ceiling))
    candidates = space.draw(500, 0)
    assert candidates.sum(axis=1) == pytest.approx(1)
    assert candidates[:, 1].max() <= 0.35 + 1e-9
    assert np.array_equal(candidates, space.draw(500, 0))


def test_target_that_was_not_measured_is_named() -> None:
    with pytest.raises(
        DataError, match=r"mix\.target\.lost: is no set the sweep measured; choose among a, b, c"
    ):
        _ = TargetModel(fitted(), {"lost": 1.0}).weights


def test_run_without_its_loss_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "mixtures.csv").write_text("index,a,b\n0,0.5,0.5\n1,0.4,0.6\n")
    (tmp_path / "losses.csv").write_text("index,r\n0,1.5\n")
    with pytest.raises(DataError, match=r"losses.csv: index 1: is missing, and"):
        SweepRuns.read(tmp_path)


def small_config(folder: Path, extra: str = "") -> PipelineConfig:
    for name in "abr":
        write_jsonl(folder / f"{name}.jsonl", ["text"])
    return corpus_config(folder, {"a": "a.jsonl", "b": "b.jsonl"}, {"r": "r.jsonl"}, extra)


def choice_with(folder: Path, gain: float, interval: tuple[float, float]) -> Artifact:
    weights = {"a": 0.5, "b": 0.5}
    return write_choice(folder, weights, {"r": 1.0}, gain=gain, gain_interval=interval)


@pytest.mark.parametrize("gain, interval, decision", [(0.2, (0.1, 0.3), "train"), (0.05, (-0.1, 0.2), "ask")])
def test_gate_trains_above_the_noise_and_asks_within_it(
    tmp_path: Path, gain: float, interval: tuple[float, float], decision: str
) -> None:
    config = small_config(tmp_path, '[gate]\nwithin_noise = "ask"')
    artifact = run_stage(config, "gate", {"mix": choice_with(tmp_path, gain, interval)})
    record = json.loads((artifact.path / "decision.json").read_text())
    assert record["decision"] == decision
    assert f"{gain:.4f}" in record["reason"]


def test_gate_refuses_where_told_to_and_leaves_nothing(tmp_path: Path) -> None:
    config = small_config(tmp_path, '[gate]\nwithin_noise = "refuse"')
    with pytest.raises(RunError, match=r"gate: .*within the noise; train more proxies"):
        run_stage(config, "gate", {"mix": choice_with(tmp_path, 0.01, (-0.1, 0.1))})
    assert not list((tmp_path / "artifacts").glob("gate/*"))


def test_direct_search_finds_a_known_minimum_within_limits() -> None:
    """A bowl around a known mixture: found where the limits allow it, else its nearest corner."""
    bottom = np.array([0.5, 0.3, 0.15, 0.05, 0.0])

    def bowl(mixtures: np.ndarray) -> np.ndarray:
        return ((mixtures - bottom) ** 2).sum(axis=1)

    start = np.full(5, 0.2)
    assert minimise(bowl, start, no_limits(5), seed=0) == pytest.approx(bottom, abs=0.02)
    ceiling, floor = np.array([0.3, 1, 1, 1, 1.0]), np.array([0, 0, 0, 0, 0.1])
    found = minimise(bowl, start, Limits(floor, ceiling), seed=0)
    assert found.sum() == pytest.approx(1)
    assert (found <= ceiling + 1e-9).all()
    assert (found >= floor - 1e-9).all()
    assert found[0] == pytest.approx(0.3, abs=0.01)
    assert found[4] == pytest.approx(0.1, abs=0.01)


@pytest.mark.slow
def test_caution_and_closeness_draw_the_choice_to_what_is_known() -> None:
    fit = fitted("gp", 48)
    process, target, prior = fit.regressor, np.array([1.0, 0, 0]), fit.weights.mean(axis=0)
    assert isinstance(process, GaussianProcess)
    chosen = {
        (caution, closeness): minimise(
            Objective(process, target, process, caution, prior, closeness), prior, no_limits(17), seed=0
        )
        for caution, closeness in ((0.0, 0.0), (3.0, 0.0), (0.0, 1.0))
    }
    doubt = {key: process.deviation(mixture[None])[0, 0] for key, mixture in chosen.items()}
    distance = {key: np.abs(mixture - prior).sum() for key, mixture in chosen.items()}
    assert doubt[3.0, 0.0] < doubt[0.0, 0.0]
    assert distance[0.0, 1.0] < distance[0.0, 0.0]


def test_sensitivity_says_which_domains_matter() -> None:
    def loss(mixtures: np.ndarray) -> np.ndarray:
        return -np.log(mixtures[:, 0] + 0.01) + 0.1 * mixtures[:, 2]

    chosen = np.array([0.8, 0.1, 0.1])
    table = sensitivity(loss, ("needed", "neutral", "harmful"), chosen, limits=no_limits(3), slack=0.05)
    assert table["needed"].without > 1
    assert table["harmful"].without < 0 < table["harmful"].doubled
    assert abs(table["neutral"].without) < 0.2
    low, high = table["needed"].as_good
    assert 0.7 < low <= 0.8 <= high
    lifted = Limits(np.array([0, 0.2, 0]), np.ones(3)).applied(chosen[None])[0]
    assert lifted == pytest.approx([0.8 - 0.8 * 0.1 / 0.9, 0.2, 0.1 - 0.1 * 0.1 / 0.9])


@pytest.mark.slow
def test_advice_names_the_run_that_is_missing() -> None:
    """Runs are all far from the mixtures that are best: advice leads there, keeps to its limits, and its
    promise shrinks with more runs."""
    weights, losses = published("train")
    target = np.array([1.0, 0, 0])
    natural, domains = weights.mean(axis=0), tuple(f"d{i}" for i in range(17))
    space = SearchSpace(natural, Limits(np.zeros(17), np.full(17, 0.6)))
    worst = np.argsort(-(losses @ target))[:40]
    gains = {}
    for name, runs in {"worst": worst, "all": np.arange(300)}.items():
        process = GaussianProcess().fit(weights[runs], losses[runs])
        advice = advise(process, target, space, domains=domains, count=5, seed=0)
        assert advice.weights.shape == (5, 17)
        assert (advice.weights <= 0.6 + 1e-9).all()
        assert len(np.unique(advice.weights.round(6), axis=0)) == 5
        gains[name] = advice.gain
    assert gains["worst"] > gains["all"] > 0
    process = GaussianProcess().fit(weights[worst], losses[worst])
    rest = np.setdiff1d(np.arange(512), worst)
    free = SearchSpace(natural, no_limits(17))
    advice = advise(process, target, free, domains=domains, count=8, seed=0, pool=weights[rest])
    told = [int(np.flatnonzero((weights[rest] == row).all(axis=1))[0]) for row in advice.weights]
    measured = (losses @ target)[rest]
    assert np.median(measured[told]) < np.quantile(measured, 0.3)
    assert measured[told].min() < np.quantile(measured, 0.1)
