"""Stages of the search on laws whose best mixture is known: plans, choices, gates, and what is kept of an
earlier search."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders.choices import write_choice
from builders.corpus import (
    SMALL_SWEEP,
    corpus_config,
    easy_and_hard,
    folder_as_artifact,
    run_stage,
    write_jsonl,
)
from mashbill.artifacts import Artifact
from mashbill.config import PipelineConfig, PlanConfig
from mashbill.errors import ConfigError
from mashbill.mixtures import BaselineMixtures, Choice, LossTable, MixturePlan, MixtureTable, SweepRuns
from mashbill.mixtures.bundle import bundle_domains
from mashbill.mixtures.reuse import Reuse, write_bundle
from mashbill.mixtures.sweep_runs import write_kept_runs
from mashbill.regression.fitted import FittedRegression, RegressorComparison, fit_runs
from mashbill.regression.laws.linear import Linear
from mashbill.search.plan import planned
from mashbill.search.reuse import earlier_runs, plan_again
from mashbill.tokens import TokenStore

DOMAINS = ("easy", "hard")
CONFIG = (
    SMALL_SWEEP
    + """
[sweep]
tokens = 10000
[regression]
regressor = "linear"
folds = 4
[mix]
target = { easy = 1.0 }
candidates = 500
[training]
tokens = 20000
max_epochs = 1000
[refine]
rounds = 1
proxies = 2
min_gain = 0.5
"""
)
Done = tuple[PipelineConfig, dict[str, Artifact]]


@pytest.fixture(scope="module")
def tokenized(tmp_path_factory: pytest.TempPathFactory) -> Done:
    return easy_and_hard(tmp_path_factory.mktemp("by-hand"), CONFIG, then=("plan",))


def artifact_of(stage: str, folder: Path) -> Artifact:
    """A folder as an artifact that is no other folder's, so that what is made of it is made anew."""
    found = folder_as_artifact(stage, folder)
    fingerprint = hashlib.sha256(str(folder).encode()).hexdigest()
    return replace(found, manifest=found.manifest.model_copy(update={"fingerprint": fingerprint}))


def changed(config: PipelineConfig, section: str, **settings: Any) -> PipelineConfig:
    return config.model_copy(update={section: getattr(config, section).model_copy(update=settings)})


def sweep_of(folder: Path, *, slope: float = 1.0, runs: int = 12, first: int = 0) -> SweepRuns:
    """Runs whose loss on the easy set falls with the easy domain, and on the hard set rises with it."""
    random = np.random.default_rng(first)
    weights = random.dirichlet(np.ones(2), runs)
    losses = np.stack([3 - slope * weights[:, 0], 4 + weights[:, 0]], axis=1)
    losses += random.normal(0, 0.01, losses.shape)
    index = np.arange(runs) + first
    found = SweepRuns(MixtureTable(index, DOMAINS, weights), LossTable(index, DOMAINS, losses))
    folder.mkdir(parents=True)
    found.write(folder)
    return found


def sweeps(folder: Path, slope: float = 1.0) -> dict[str, Artifact]:
    """A sweep of the law, and a refine stage that trained nothing."""
    sweep_of(folder / "sweep", slope=slope)
    (folder / "refine").mkdir()
    return {name: artifact_of(name, folder / name) for name in ("sweep", "refine")}


def baselines_of(folder: Path, mixtures: dict[str, dict[str, float]]) -> Artifact:
    folder.mkdir()
    BaselineMixtures(mixtures).write(folder)
    return artifact_of("baselines", folder)


def mixed(config: PipelineConfig, done: dict[str, Artifact], folder: Path, slope: float = 1.0) -> Choice:
    """The mix stage on a fit of the law."""
    (folder / "fit").mkdir(parents=True)
    fitted, _ = fit_runs(sweep_of(folder / "runs", slope=slope), "linear", ("linear",), folds=4, seed=0)
    fitted.write(folder / "fit")
    inputs = {**done, **sweeps(folder, slope), "fit": artifact_of("fit", folder / "fit")}
    inputs["baselines"] = baselines_of(folder / "baselines", {"own": {"hard": 0.9, "easy": 0.1}})
    return Choice.read(run_stage(config, "mix", inputs))


def test_the_plan_is_drawn_around_the_texts_proportions_within_the_epochs(tokenized: Done) -> None:
    config, done = tokenized
    plan = MixturePlan.read(done["plan"])
    amounts = TokenStore(done["tokenize"].path).train_amounts()
    assert plan.natural == pytest.approx(amounts / amounts.sum())
    assert plan.domains == DOMAINS
    assert plan.mixtures.index.tolist() == list(range(6))
    counts = done["plan"].manifest.counts
    assert (counts["mixtures"], counts["domains"], counts["phases"]) == (6, 2, 1)
    assert counts["limited_domains"] == 0
    few = 1.5 * 10_000 / amounts.min()  # of the scarcer domain half as much again as the sweep reads
    scarce = run_stage(changed(config, "plan", max_epochs=few / 2), "plan", done)
    limited = MixturePlan.read(scarce).mixtures.weights[:, int(amounts.argmin())]
    assert limited.max() <= 0.75 + 1e-6
    assert scarce.manifest.counts["limited_domains"] >= 1
    other = MixturePlan.read(run_stage(config.model_copy(update={"seed": 9}), "plan", done))
    assert not np.allclose(other.mixtures.weights, plan.mixtures.weights)


def test_phases_are_planned_where_they_are_asked_for() -> None:
    table = MixtureTable.numbered(DOMAINS, np.array([[0.3, 0.7], [0.8, 0.2]]))
    natural = np.array([0.5, 0.5])
    assert planned(table, natural, PlanConfig(), seed=1).schedules is None
    phased = planned(table, natural, PlanConfig(phases=2), seed=1).schedules
    assert phased is not None
    assert phased.shares.tolist() == [[0.5, 0.5]] * 2
    assert phased.means().weights == pytest.approx(table.weights, abs=1e-3)
    again = planned(table, natural, PlanConfig(phases=2), seed=2).schedules
    assert again is not None
    assert not np.allclose(again.weights, phased.weights)


def test_the_fit_counts_kept_runs_and_compares_on_the_target(tokenized: Done, tmp_path: Path) -> None:
    config, done = tokenized
    inputs = {**done, **sweeps(tmp_path)}
    plan = tmp_path / "plan"
    plan.mkdir()
    MixturePlan.read(done["plan"]).write(plan)
    write_kept_runs(sweep_of(tmp_path / "earlier", runs=3, first=500), plan)
    inputs["plan"] = artifact_of("plan", plan)
    fitted = run_stage(config, "fit", inputs)
    counts = fitted.manifest.counts
    assert (counts["runs"], counts["kept_runs"], counts["regressor"]) == (15, 3, "linear")
    record = RegressorComparison.read(fitted)
    assert counts["mae"] == record.regressors["linear"].mean_mae < 0.03
    assert counts["spearman"] == record.regressors["linear"].mean_spearman > 0.9
    assert record.predictions["target"].index[-3:] == (500, 501, 502)
    model = FittedRegression.read(fitted)
    assert model.regressor.predict(np.eye(2))[:, 0] == pytest.approx([2, 3], abs=0.05)


def test_the_choice_is_what_the_target_asks_for_and_gains_by_it(tokenized: Done, tmp_path: Path) -> None:
    config, done = tokenized
    choice = mixed(config, done, tmp_path / "one")
    amounts = TokenStore(done["tokenize"].path).train_amounts()
    natural = dict(zip(DOMAINS, (amounts / amounts.sum()).tolist(), strict=True))
    assert choice.mixture["easy"] > 0.98
    assert choice.baselines["natural"].mixture == pytest.approx(natural)
    assert choice.baselines["uniform"].mixture == {"easy": 0.5, "hard": 0.5}
    assert choice.baselines["own"].mixture == pytest.approx({"easy": 0.1, "hard": 0.9})
    assert choice.gain == pytest.approx(choice.mixture["easy"] - natural["easy"], abs=0.03)
    assert choice.predicted.loss == pytest.approx(2, abs=0.05)
    for name, weight in choice.mixture.items():
        there = amounts[DOMAINS.index(name)]
        assert choice.epochs[name] == pytest.approx(weight * 20_000 / there)
    worse = mixed(config, done, tmp_path / "two", slope=-1.0)
    assert worse.mixture["hard"] > 0.98
    assert worse.gain > 0.3


def test_the_choice_keeps_to_floors_ceilings_and_epochs(tokenized: Done, tmp_path: Path) -> None:
    config, done = tokenized
    floored = mixed(changed(config, "mix", floors={"hard": 0.3}), done, tmp_path / "floor")
    assert floored.mixture == pytest.approx({"easy": 0.7, "hard": 0.3}, abs=1e-3)
    assert floored.limits == ("hard is at its floor of 0.3",)
    capped = mixed(changed(config, "mix", ceilings={"easy": 0.4}), done, tmp_path / "ceiling")
    assert capped.mixture == pytest.approx({"easy": 0.4, "hard": 0.6}, abs=1e-3)
    assert capped.baselines["uniform"].mixture == pytest.approx({"easy": 0.4, "hard": 0.6})
    amounts = TokenStore(done["tokenize"].path).train_amounts()
    repeats = changed(config, "training", max_epochs=0.6 * 20_000 / amounts[0])
    if amounts[1] * repeats.training.max_epochs < 0.4 * 20_000:
        repeats = changed(config, "training", max_epochs=0.95 * 20_000 / amounts.sum() / 0.9)
    few = mixed(repeats, done, tmp_path / "epochs")
    most = repeats.training.max_epochs
    assert max(few.epochs.values()) <= most * (1 + 1e-6)


def test_ratios_that_a_plan_keeps_are_kept_by_the_choice(tokenized: Done, tmp_path: Path) -> None:
    config, done = tokenized
    plan = tmp_path / "plan"
    plan.mkdir()
    MixturePlan.read(done["plan"]).write(plan)
    write_bundle(bundle_domains(DOMAINS, {"easy": 0.25, "hard": 0.75}), plan / "ratios.csv")
    Reuse(reason="nothing is new", searched=()).write(plan)
    choice = mixed(config, {**done, "plan": artifact_of("plan", plan)}, tmp_path / "mix")
    assert choice.mixture == pytest.approx({"easy": 0.25, "hard": 0.75})


@pytest.mark.parametrize(
    "gain, interval, least, decision, words",
    [
        (0.2, (0.1, 0.3), 0.0, "train", "above the noise"),
        (0.2, (0.1, 0.3), 0.2, "train", "above the noise"),
        (0.2, (0.1, 0.3), 0.21, "ask", "under the 0.21 demanded"),
        (0.2, (0.0, 0.4), 0.0, "ask", "within the noise"),
        (-0.2, (-0.3, -0.1), 0.0, "ask", "within the noise"),
    ],
)
def test_the_gate_asks_for_the_noise_and_for_the_least_gain(
    tmp_path: Path, gain: float, interval: tuple[float, float], least: float, decision: str, words: str
) -> None:
    for name in "ab":
        write_jsonl(tmp_path / f"{name}.jsonl", ["text"])
    extra = f'[gate]\nwithin_noise = "ask"\nmin_gain = {least}'
    config = corpus_config(tmp_path, {"a": "a.jsonl", "b": "b.jsonl"}, extra=extra)
    mix = write_choice(tmp_path, {"a": 0.5, "b": 0.5}, {"r": 1.0}, gain=gain, gain_interval=interval)
    record = json.loads((run_stage(config, "gate", {"mix": mix}).path / "decision.json").read_text())
    assert record["decision"] == decision
    assert record["reason"].endswith(words)
    assert (record["gain"], tuple(record["gain_interval"])) == (gain, interval)


@pytest.mark.slow
def test_rounds_train_nothing_where_a_flat_law_promises_nothing(tokenized: Done, tmp_path: Path) -> None:
    config, done = tokenized
    inputs = {**done, **sweeps(tmp_path)}
    del inputs["refine"]
    refined = run_stage(config, "refine", inputs)
    (told,) = json.loads((refined.path / "rounds.json").read_text())
    assert (told["round"], told["proxies"], told["tokens"], told["failed"]) == ("round-001", 0, 0, 0)
    assert 0 <= told["gain"] <= told["gain_90"] < 0.5
    assert round(told["gain"], 5) == told["gain"]
    assert refined.manifest.counts["rounds"] == 0
    assert not (refined.path / "mixtures.csv").exists()
    other = run_stage(config.model_copy(update={"seed": 5}), "refine", inputs)
    (again,) = json.loads((other.path / "rounds.json").read_text())
    assert again["gain"] != told["gain"]  # other surfaces


def test_rounds_promise_what_a_steep_law_has_left_and_a_second_stops_after_the_first(
    tokenized: Done, tmp_path: Path
) -> None:
    config, done = tokenized
    patient = changed(config, "refine", rounds=2, min_gain=1e6)
    inputs = {**done, **sweeps(tmp_path)}
    del inputs["refine"]
    told = json.loads((run_stage(patient, "refine", inputs).path / "rounds.json").read_text())
    assert [entry["round"] for entry in told] == ["round-001", "round-002"]
    assert told[0]["gain"] == told[1]["gain"]  # the second looked at nothing again


def earlier() -> FittedRegression:
    """Five runs of three domains, of which the last one is gone today."""
    weights = np.array(
        [[0.5, 0.5, 0.0], [0.2, 0.3, 0.5], [0.8, 0.1995, 0.0005], [0.1, 0.0, 0.9], [0.0, 1.0, 0.0]]
    )
    losses = np.arange(10.0).reshape(5, 2) + 1
    return FittedRegression(
        "linear", Linear().fit(weights, losses), ("web", "books", "gone"), ("x", "y"), weights, losses, losses
    )


def test_earlier_runs_count_that_read_nothing_that_is_gone_or_revised() -> None:
    found = earlier_runs(earlier(), ("new", "books", "web"), ())
    assert found.losses.losses.tolist() == [[1, 2], [5, 6], [9, 10]]
    assert found.mixtures.columns == ("new", "books", "web")
    assert found.mixtures.weights == pytest.approx(
        np.array([[0, 0.5, 0.5], [0, 0.1995 / 0.9995, 0.8 / 0.9995], [0, 1, 0]])
    )
    assert found.mixtures.index.tolist() == found.losses.index.tolist()
    assert found.mixtures.index.tolist() == [1_000_000_000, 1_000_000_001, 1_000_000_002]
    without = earlier_runs(earlier(), ("new", "books", "web"), ["web"])
    assert without.losses.losses.tolist() == [[9, 10]]
    assert without.mixtures.weights.tolist() == [[0, 1, 0]]
    assert len(earlier_runs(earlier(), ("new",), ())) == 0


def test_a_plan_again_mixes_what_is_new_with_what_keeps_its_ratios() -> None:
    tokens = {"web": 100.0, "books": 50.0, "new": 50.0}
    config = PlanConfig(mixtures=40)
    chosen = {"web": 0.2, "books": 0.6, "gone": 0.2}
    made = plan_again(earlier(), chosen, tokens, seed=1, config=config)
    rows = made.mixtures.weights
    assert rows.shape == (40, 3)
    assert rows.sum(axis=1) == pytest.approx(np.ones(40))
    assert rows[:, 1] == pytest.approx(3 * rows[:, 0])
    assert np.ptp(rows[:, 2]) > 0.5
    assert made.searched == ("new",)
    assert made.ratios == pytest.approx({"web": 0.25, "books": 0.75})
    assert len(made.kept) == 3
    assert made.mixtures.columns == ("web", "books", "new")
    other = plan_again(earlier(), chosen, tokens, seed=2, config=config)
    assert not np.allclose(other.mixtures.weights, rows)
    capped = plan_again(
        earlier(), chosen, tokens, seed=1, config=config, ceiling=np.array([1.0, 0.6, 0.3])
    ).mixtures.weights
    assert capped[:, 2].max() <= 0.3 + 1e-9
    assert capped[:, 1].max() <= 0.6 + 1e-9
    with pytest.raises(ConfigError, match="leaves fewer than two unchanged domains"):
        plan_again(earlier(), chosen, tokens, revised=["web"], seed=1, config=config)
