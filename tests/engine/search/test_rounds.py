"""Adaptive rounds: each builds on those before it, they stop where they promise too little, and a killed one
goes on."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from builders.corpus import SMALL_SWEEP, easy_and_hard, folder_as_artifact, run_stage
from builders.proxy_groups import stage_run, two_domains
from mashbill.artifacts import Artifact
from mashbill.config import MixConfig, PipelineConfig, PlanConfig, RefineConfig, RegressionConfig, SweepConfig
from mashbill.errors import RunError
from mashbill.mixtures import LossTable, MixtureTable, SweepRuns
from mashbill.search.rounds import run_round
from mashbill.stages import job_of, stage_named

CONFIG = (
    SMALL_SWEEP
    + """[sweep]
tokens = 10000
[refine]
rounds = 2
proxies = 2
min_gain = 0.0
[ladder]
rungs = [{ model = { layers = 1, width = 32, heads = 2, kv_heads = 2, feed_forward = 64, context = 32 } }]
mixtures = 4
[mix]
target = { easy = 1.0 }
[training]
tokens = 10000
max_epochs = 1000
"""
)


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[PipelineConfig, dict[str, Artifact]]:
    return easy_and_hard(tmp_path_factory.mktemp("rounds"), CONFIG, then=("plan", "sweep"))


@pytest.mark.slow
def test_rounds_build_on_those_before_them(swept: tuple[PipelineConfig, dict[str, Artifact]]) -> None:
    config, done = swept
    job = job_of(stage_named("refine"), config, done)
    assert job.part_names() == ["round-001", "round-002"]
    with pytest.raises(RunError, match="round-001 is not finished"):
        job.run_part("round-002")
    refined = job.run()
    assert refined.manifest.counts["proxies"] == 4
    table = pd.read_csv(refined.path / "mixtures.csv")
    assert table["index"].tolist() == [100_000, 100_001, 200_000, 200_001]
    assert len(table.drop(columns="index").round(9).drop_duplicates()) == 4
    assert len(SweepRuns.read(done["sweep"], refined).finished) == 10
    rounds = json.loads((refined.path / "rounds.json").read_text())
    assert [r["round"] for r in rounds] == ["round-001", "round-002"]
    assert all(r["gain_90"] >= 0 for r in rounds)


@pytest.mark.slow
def test_rounds_stop_where_they_promise_too_little(swept: tuple[PipelineConfig, dict[str, Artifact]]) -> None:
    config, done = swept
    patient = config.model_copy(update={"refine": config.refine.model_copy(update={"min_gain": 100.0})})
    refined = run_stage(patient, "refine", done)
    assert refined.manifest.counts["proxies"] == 0
    assert not (Path(refined.path) / "losses.csv").exists()
    fitted = run_stage(patient, "fit", {**done, "refine": refined})
    assert fitted.manifest.counts["runs"] == 6


def test_after_a_round_that_stopped_no_other_trains(tmp_path: Path) -> None:
    """Its predecessor is who counts, not the first, which had trained."""
    inputs = {"tokenize": folder_as_artifact("tokenize", two_domains(tmp_path / "store").folder)}
    before = {}
    for name, proxies in (("round-001", 4), ("round-002", 0)):
        before[name] = folder_as_artifact("refine", tmp_path / "store")
        before[name].manifest.counts.update(proxies=proxies, failed=0, tokens=100 * proxies, gain=0.5)
    (tmp_path / "run").mkdir()
    run = stage_run(tmp_path / "run", inputs, part="round-003", parts=before)
    assert run_round(run) == {"proxies": 0, "failed": 0, "tokens": 0, "gain": 0.5}
    assert not list(run.output.iterdir())


def test_rounds_that_know_the_same_runs_ask_for_other_mixtures(tmp_path: Path) -> None:
    """Each draws what it believes anew, and so does another run, that none trains what one has trained."""
    store = two_domains(tmp_path / "store")
    weights = np.linspace(0.05, 0.95, 9)
    mixtures = MixtureTable(np.arange(9), ("a", "b"), np.stack([weights, 1 - weights], axis=1))
    noise = np.random.default_rng(3).normal(0, 0.02, (9, 2))
    losses = LossTable(np.arange(9), store.set_names, 3 - np.sqrt(mixtures.weights) + noise)
    SweepRuns(mixtures, losses).write(tmp_path / "sweep")
    (tmp_path / "plan").mkdir()
    folders = {"tokenize": store.folder, "sweep": tmp_path / "sweep", "plan": tmp_path / "plan"}
    inputs = {name: folder_as_artifact(name, folder) for name, folder in folders.items()}
    inputs["sweep"].manifest.counts["settings"] = 0
    sections = {
        "workers": 1,
        "plan": PlanConfig(max_epochs=100),
        "sweep": SweepConfig(tokens=1_000, evaluations=1),
        "regression": RegressionConfig(regressor="gp", folds=3),
        "refine": RefineConfig(rounds=2, proxies=2, min_gain=0.0),
        "mix": MixConfig(target={"a": 0.5, "b": 0.5}),
    }
    asked = []
    for name in ("round-001", "round-002"):
        (tmp_path / name).mkdir()
        run = stage_run(tmp_path / name, inputs, part=name, **sections)
        assert run_round(run)["proxies"] == 2
        asked.append(MixtureTable.read(run.output / "mixtures.csv").weights)
    assert not np.isclose(asked[0][:, None], asked[1][None]).all(axis=2).any()


def test_the_ladder_says_whether_the_order_holds(swept: tuple[PipelineConfig, dict[str, Artifact]]) -> None:
    config, done = swept
    ladder = run_stage(config, "ladder", done)
    facts = json.loads((ladder.path / "ladder.json").read_text())
    small, large = facts["rungs"]
    assert large["parameters"] > small["parameters"]
    assert small["losses"] == sorted(small["losses"])
    assert len(set(large["losses"])) == 4
    assert facts["agreement"][0][0] == facts["agreement"][1][1] == pytest.approx(1)
    assert facts["agreement"][0][1] == facts["agreement"][1][0]
    assert ladder.manifest.counts["least_agreement"] == pytest.approx(facts["agreement"][0][1], abs=1e-3)
