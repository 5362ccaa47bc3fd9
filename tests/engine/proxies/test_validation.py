"""The validate stage: compared mixtures are trained again, seed by seed on equal terms, and ranked by what
was measured."""

import json
from pathlib import Path

import numpy as np
import pytest

from builders.choices import write_choice
from builders.corpus import SMALL_SWEEP, corpus_config, easy_and_hard, run_stage
from mashbill.artifacts import Artifact
from mashbill.config import PipelineConfig, ValidationConfig
from mashbill.errors import ConfigError
from mashbill.mixtures import LossTable, MixtureTable
from mashbill.proxies.validation import compare
from mashbill.stages import STAGES, job_of, stage_named

CONFIG = (
    SMALL_SWEEP
    + """[sweep]
tokens = 10000
group_size = 6
[baselines]
methods = []
given = { mostly-hard = { easy = 0.1, hard = 0.9 } }
[mix]
target = { easy = 1.0 }
candidates = 500
[validation]
seeds = 2
mixtures = ["chosen", "natural", "mostly-hard"]
models = [{ layers = 1, width = 32, heads = 2, kv_heads = 2, feed_forward = 64, context = 32 }]
model_tokens = 5000
[training]
tokens = 10000
max_epochs = 1000
"""
)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> tuple[PipelineConfig, dict[str, Artifact]]:
    return easy_and_hard(
        tmp_path_factory.mktemp("validation"),
        CONFIG,
        then=("plan", "sweep", "refine", "fit", "baselines", "mix"),
    )


def test_mixtures_are_ranked_by_measured_loss_at_each_size(
    mixed: tuple[PipelineConfig, dict[str, Artifact]],
) -> None:
    config, done = mixed
    job = job_of(stage_named("validate"), config, done)
    assert job.part_names() == [
        f"size-{size}-{name}" for size in (0, 1) for name in ("chosen", "natural", "mostly-hard")
    ]
    artifact = job.run()
    assert artifact.manifest.counts["proxies"] == 12
    small, large = json.loads((artifact.path / "validation.json").read_text())["sizes"]
    assert large["parameters"] > small["parameters"]
    assert (small["tokens"], large["tokens"]) == (10000, 5000)
    rows = {row["name"]: row for row in small["mixtures"]}
    assert [row["measured_rank"] for row in small["mixtures"]] == [1, 2, 3]
    assert rows["mostly-hard"]["measured_rank"] == 3  # the target is easy
    assert rows["mostly-hard"]["wins"] == 0
    assert rows["chosen"]["wins"] == 2
    assert rows["chosen"]["least"] <= rows["chosen"]["mean"] <= rows["chosen"]["greatest"]
    assert small["spearman"] == pytest.approx(1)


def test_a_seed_gives_every_mixture_the_same_start_and_is_none_of_the_sweeps(
    mixed: tuple[PipelineConfig, dict[str, Artifact]], tmp_path: Path
) -> None:
    config, done = mixed
    swept = MixtureTable.read(done["sweep"].path / "mixtures.csv").row(0)
    first = LossTable.read(done["sweep"].path / "losses.csv").row(0)["easy"]
    beside = {"natural": swept, "twin": swept}
    mix = write_choice(tmp_path, swept, {"easy": 1.0}, beside=beside)
    alone = config.model_copy(update={"validation": ValidationConfig(seeds=2)})
    artifact = run_stage(alone, "validate", {**done, "mix": mix})
    rows = json.loads((artifact.path / "validation.json").read_text())["sizes"][0]["mixtures"]
    chosen, natural, twin = rows
    assert chosen["least"] < chosen["greatest"]
    assert first not in {chosen["least"], chosen["greatest"]}
    for row in (natural, twin):
        assert (row["least"], row["greatest"]) == (chosen["least"], chosen["greatest"])
    assert (twin["gain"], twin["wins"], twin["compared"]) == (0, 0, 2)


def test_it_is_off_by_default_and_the_gate_does_not_wait_for_it(
    mixed: tuple[PipelineConfig, dict[str, Artifact]],
) -> None:
    config, done = mixed
    off = config.model_copy(update={"validation": ValidationConfig()})
    assert job_of(stage_named("validate"), off, done).part_names() == []
    artifact = run_stage(off, "validate", done)
    assert artifact.manifest.counts["proxies"] == 0
    assert json.loads((artifact.path / "validation.json").read_text())["sizes"] == []
    assert "validate" not in STAGES["gate"].inputs


def test_orders_that_disagree_are_named_and_diverged_models_counted() -> None:
    nan = float("nan")
    losses = np.array([[3.0, 3.2, nan], [3.1, 3.0, 3.3], [4.0, 4.2, 4.1], [nan, nan, nan]])
    size = compare(
        ["chosen", "natural", "doremi", "online"],
        np.array([2.9, 3.0, 2.95, 2.8]),
        losses,
        parameters=1,
        tokens=1,
    )
    facts = size.model_dump(exclude_unset=True)
    assert [(row["name"], row["measured_rank"], row["predicted_rank"]) for row in facts["mixtures"]] == [
        ("chosen", 1, 1),
        ("natural", 2, 3),
        ("doremi", 3, 2),
        ("online", None, None),
    ]
    chosen, natural, doremi, online = facts["mixtures"]
    assert (chosen["diverged"], online["diverged"]) == (1, 3)
    assert chosen["mean"] == pytest.approx(3.1)
    assert (chosen["wins"], chosen["compared"]) == (1, 2)  # only where both finished
    assert chosen["gain"] == pytest.approx(-0.05)
    assert chosen["gain_error"] == pytest.approx(0.15)
    assert (doremi["wins"], doremi["compared"]) == (0, 3)
    assert "wins" not in natural
    assert (chosen["agrees"], natural["agrees"]) == (True, False)
    assert online["mean"] is None
    assert facts["spearman"] == pytest.approx(0.5)
    assert [(pair["predicted_better"], pair["measured_better"]) for pair in facts["reversed"]] == [
        ("doremi", "natural")
    ]
    assert (facts["reversed"][0]["seeds"], facts["reversed"][0]["compared"]) == (3, 3)
    json.dumps(facts, allow_nan=False)


def test_a_mixture_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"validation\.mixtures names 'skill-it'"):
        corpus_config(
            tmp_path,
            {"easy": "easy.jsonl", "hard": "hard.jsonl"},
            extra='[validation]\nmixtures = ["skill-it"]\n',
        )
