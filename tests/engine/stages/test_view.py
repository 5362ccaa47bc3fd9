"""A stage reads the config sections that its row names and no others, so that its fingerprint cannot lie."""

import pickle
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from builders.corpus import corpus_config, folder_as_artifact, write_jsonl
from mashbill.config import LaunchConfig, PipelineConfig, StageConfig
from mashbill.config.view import HOW_IT_RUNS
from mashbill.errors import RunError
from mashbill.stages import STAGES, StageJob, job_of

SMALL = """
[bootstrap]
models = 2
tokens = 1024
[quality]
sample_documents = 60
sample_characters = 200
dimension = 8
buckets = 1_000
[selection]
min_documents = 10
bins = 2
[tokens]
vocabulary = 300
validation_share = 0.2
[proxy]
model = { layers = 1, width = 16, heads = 2, kv_heads = 2, feed_forward = 32, context = 32 }
batch_sequences = 2
[plan]
mixtures = 8
max_epochs = 1000
phases = 2
[sweep]
tokens = 1024
evaluations = 2
[refine]
rounds = 1
proxies = 1
min_gain = 0.0
[ladder]
mixtures = 3
rungs = [{ tokens = 2048 }]
[baselines]
methods = ["online"]
[mix]
candidates = 100
[schedule]
phases = 2
[validation]
seeds = 1
mixtures = ["chosen"]
[gate]
within_noise = "train"
[forecast]
smallest = 0.2
largest = 0.9
budgets = [0.25, 0.5]
[regression]
folds = 2
[training]
tokens = 1024
max_epochs = 1000
model = { layers = 1, width = 16, heads = 2, kv_heads = 2, feed_forward = 32, context = 32 }
"""
LAST = "forecast"  # what follows trains under torchrun, and prints everything


@pytest.fixture
def config(tmp_path: Path) -> PipelineConfig:
    for name in "abr":
        texts = (f"{name} {i}: " + f"some {name}{i % 7} words of {i * i} and more. " * 12 for i in range(60))
        write_jsonl(tmp_path / f"{name}.jsonl", texts)
    deduplication = "[deduplication]\nnear = false\n"
    return corpus_config(tmp_path, {"a": "a.jsonl", "b": "b.jsonl"}, {"r": "r.jsonl"}, deduplication + SMALL)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> dict[str, set[str]]:
    """Fields of the config that each stage reads, by its name; its parts and identities among it."""
    found: dict[str, set[str]] = defaultdict(set)
    looked_up = StageConfig.__getattribute__

    def look_up(view: StageConfig, name: str) -> Any:
        if name in PipelineConfig.model_fields:
            reader = looked_up(view, "__pydantic_private__")["_reader"]
            found[reader.removeprefix("stage ")].add(name)
        return looked_up(view, name)

    monkeypatch.setattr(StageConfig, "__getattribute__", look_up)
    return found


@pytest.mark.slow
def test_stages_read_what_their_rows_name(config: PipelineConfig, reads: dict[str, set[str]]) -> None:
    torch.set_num_threads(1)
    done = {}
    for stage in STAGES.values():
        done[stage.name] = job_of(stage, config, done).run()
        if stage.name == LAST:
            break
    assert not {(name, section) for name in done for section in {*STAGES[name].sections} - reads[name]}


def test_a_section_that_a_row_does_not_name_is_not_there(config: PipelineConfig) -> None:
    unnamed = replace(STAGES["ingest"], sections=("tokens",), external=None)
    with pytest.raises(RunError, match=r"stage ingest: reads corpus .*; add corpus to the row's sections"):
        StageJob(unnamed, config, {}).run()


def test_identities_and_parts_see_no_more_than_the_stage(config: PipelineConfig) -> None:
    with pytest.raises(RunError, match="stage ingest: reads corpus"):
        StageJob(replace(STAGES["ingest"], sections=()), config, {})
    split = replace(STAGES["refine"], inputs=(), sections=("mix",))
    with pytest.raises(RunError, match="stage refine: reads refine"):
        StageJob(split, config, {}).part_names()


def test_a_view_is_the_same_in_another_process(config: PipelineConfig) -> None:
    view = StageConfig.of(config, ("mix", "corpus"), reader="stage mix")
    there = pickle.loads(pickle.dumps(view))
    assert there == view
    assert (there.domain_names, there.engine) == (("a", "b"), config.engine)
    with pytest.raises(RunError, match="stage mix: reads proxy"):
        _ = there.proxy
    with pytest.raises(AttributeError, match="nonsense"):
        _ = there.nonsense


def test_how_it_runs_is_seen_and_changes_no_fingerprint(config: PipelineConfig, tmp_path: Path) -> None:
    other = {
        "workers": 7,
        "artifacts": str(tmp_path / "elsewhere"),
        "scratch": str(tmp_path / "other"),
        "launch": {"ingest": LaunchConfig(backend="local", nodes=2)},
    }
    jobs = [StageJob(STAGES["ingest"], c, {}) for c in (config, config.model_copy(update=other))]
    assert jobs[0].fingerprint == jobs[1].fingerprint
    assert jobs[1].view.workers == 7
    assert not HOW_IT_RUNS & jobs[1].settings.keys()


def test_a_result_is_another_where_its_code_its_settings_or_files_outside_are(
    config: PipelineConfig, tmp_path: Path
) -> None:
    stage = STAGES["ingest"]
    newer = replace(stage, version=stage.version + 1)
    seeded = config.model_copy(update={"seed": config.seed + 1})
    cases = [(stage, config), (newer, config), (stage, seeded), (stage, config)]
    prints = [StageJob(row, given, {}).fingerprint for row, given in cases]
    write_jsonl(tmp_path / "b.jsonl", ["One text more."])
    prints.append(StageJob(stage, config, {}).fingerprint)
    assert prints[0] == prints[3]
    assert len(set(prints)) == 4


def test_a_report_that_prints_the_name_depends_on_it(config: PipelineConfig) -> None:
    alone = replace(STAGES["report"], inputs=())
    fingerprints = {
        StageJob(alone, config.model_copy(update=change), {}).fingerprint
        for change in ({}, {"name": "another"}, {"workers": 7})
    }
    assert len(fingerprints) == 2


def test_an_earlier_search_is_all_that_a_plan_depends_on_of_what_it_sees_with_it(
    config: PipelineConfig, tmp_path: Path
) -> None:
    tokens = {"tokenize": folder_as_artifact("tokenize", tmp_path / "tokens")}

    def planned(**changes: dict[str, Any]) -> StageJob:
        update = {name: getattr(config, name).model_copy(update=change) for name, change in changes.items()}
        return StageJob(STAGES["plan"], config.model_copy(update=update), tokens)

    with pytest.raises(RunError, match="stage plan: reads mix"):
        _ = planned().view.mix
    assert planned(mix={"target": {"a.q1": 1.0}}).fingerprint == planned().fingerprint
    again = {"reuse": "last"}
    assert planned(plan=again).view.mix == config.mix
    assert planned(plan=again, mix={"candidates": 7}).fingerprint == planned(plan=again).fingerprint
    for read in (
        {"mix": {"target": {"a.q1": 1.0}}},
        {"tokens": {"vocabulary": 400}},
        {"proxy": {"batch_sequences": 3}},
    ):
        assert planned(plan=again, **read).fingerprint != planned(plan=again).fingerprint


@pytest.mark.parametrize("stage", ["mix", "schedule"])
def test_a_choice_depends_on_the_final_runs_tokens_and_repeats_alone(
    stage: str, config: PipelineConfig, tmp_path: Path
) -> None:
    inputs = {name: folder_as_artifact(name, tmp_path / name) for name in STAGES[stage].inputs}

    def chosen(**changes: object) -> str:
        training = config.training.model_copy(update=changes)
        return StageJob(STAGES[stage], config.model_copy(update={"training": training}), inputs).fingerprint

    assert chosen(learning_rate=0.1) == chosen(zero_stage=3) == chosen()
    assert len({chosen(), chosen(tokens=7), chosen(max_epochs=1.5)}) == 3
