"""What is computed and how it runs are two things: each setting of the second kind changes no result's
identity, each of the first changes that of every stage that reads it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, Field

from builders.corpus import corpus_config, folder_as_artifact
from mashbill.config import PipelineConfig
from mashbill.config.section import HowItRuns, Section, is_how_it_runs
from mashbill.config.view import ALWAYS_HELD
from mashbill.stages import STAGES, StageJob

HOW = {
    "root",
    "artifacts",
    "scratch",
    "scratch_bytes",
    "workers",
    "engine.runner",
    "engine.ray_address",
    "engine.task_cpus",
    "engine.task_memory_bytes",
    "engine.task_retries",
    "launch",
    "deduplication.max_memory_bytes",
    "bootstrap.group_size",
    "proxy.device",
    "proxy.stack",
    "sweep.group_size",
    "training.micro_batch_sequences",
    "training.zero_stage",
    "training.offload.optimizer",
    "training.offload.parameters",
    "training.offload.folder",
    "training.deepspeed",
    "training.hardware.name",
    "training.hardware.peak_tflops",
    "training.hardware.memory_gb",
    "training.hardware.mfu",
    "training.hardware.price",
    "training.metrics.tensorboard",
    "training.metrics.mlflow",
    "training.metrics.wandb",
    "training.nodes",
    "training.processes_per_node",
    "training.accelerator",
    "training.checkpoint_steps",
    "training.compile",
    "training.recompute_every",
    "training.checkpoints.failures",
    "training.checkpoints.keep",
    "training.checkpoints.milestone_steps",
    "training.checkpoints.retries",
    "training.address",
    "training.meeting_seconds",
    "training.node",
    "training.watch.hang_seconds",
    "training.rendezvous",
    "training.max_restarts",
    "evaluation.batch_size",
    "evaluation.accelerator",
}
IDENTIFIED_OTHERWISE = {"plan.reuse", "plan.revised_share"}
"""What they stand for is part of a plan's identity (``search/earlier.py``)."""
FILLED = """
[sweep]
also = [{ learning_rate = 1e-3 }]
[ladder]
rungs = [{ tokens = 2048, model = { layers = 1 } }]
depths = [1, 2]
[validation]
models = [{ layers = 3 }]
[forecast]
shapes = [{ layers = 3 }, { layers = 4 }, { layers = 5 }]
"""


def made(folder: Path) -> PipelineConfig:
    """A config with an item in each list of sections."""
    evaluations = 'evaluations = [{ name = "e", sources = [{ path = "e.jsonl" }] }]'
    sets = {"a": "a.jsonl", "b": "b.jsonl"}
    return corpus_config(folder, sets, {"r": "r.jsonl"}, f"{evaluations}\n{FILLED}")


def changes(section: BaseModel, at: str = "", how: bool = False) -> Iterator[tuple[str, bool, Any]]:
    """Dotted name of each setting, whether it is one of how it runs, and the section with another value of
    it."""
    for name, field in type(section).model_fields.items():
        value, marked = getattr(section, name), how or is_how_it_runs(field)
        inner = value[0] if isinstance(value, tuple) and value and isinstance(value[0], BaseModel) else value
        if isinstance(inner, BaseModel):
            for dotted, also, changed in changes(inner, f"{at}{name}.", marked):
                whole = (changed, *value[1:]) if isinstance(value, tuple) else changed
                yield dotted, also, section.model_copy(update={name: whole})
        else:
            yield f"{at}{name}", marked, section.model_copy(update={name: another(value, field.annotation)})


def another(value: Any, kind: Any) -> Any:
    """A value of the same kind that is not the same."""
    if isinstance(value, tuple):
        return (*value[1:], 0.5) if value and isinstance(value[0], float) else value[1:] if value else ("x",)
    sections = [part for part in get_args(kind) if isinstance(part, type) and issubclass(part, BaseModel)]
    if isinstance(value, dict) and sections:
        return {**value, "z": sections[0]()}
    if isinstance(value, dict):
        return {**value, "z": {"a": 1.0} if str(kind).count("dict") > 1 else 1.0}
    if value is None and sections:
        return sections[0]()
    literals = [part for part in (kind, *get_args(kind)) if get_origin(part) is Literal]
    choices = [choice for part in literals for choice in get_args(part) if choice != value]
    if choices:
        return choices[0]
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + type(value)(1)
    if isinstance(value, str) and not literals:
        return f"{value}x"
    return 7 if "int" in str(kind) else 7.5 if "float" in str(kind) else "x"


def fingerprints(config: PipelineConfig) -> dict[str, str]:
    """The identity of each stage's result, by what it reads of a config alone."""
    alone = (replace(stage, inputs=(), external=None, earlier=None) for stage in STAGES.values())
    return {stage.name: StageJob(stage, config, {}).fingerprint for stage in alone}


def all_changes(folder: Path) -> dict[str, tuple[bool, PipelineConfig]]:
    return {name: (how, changed) for name, how, changed in changes(made(folder))}


def test_settings_of_how_it_runs_are_these(tmp_path: Path) -> None:
    assert {name for name, (how, _) in all_changes(tmp_path).items() if how} == HOW


def test_each_setting_of_how_it_runs_changes_no_identity(tmp_path: Path) -> None:
    before, found = fingerprints(made(tmp_path)), all_changes(tmp_path)
    for name in HOW:
        assert found[name][1] != made(tmp_path), name
        assert fingerprints(found[name][1]) == before, name


def test_each_other_setting_changes_the_identity_of_every_stage_that_reads_it(tmp_path: Path) -> None:
    before, tried = fingerprints(made(tmp_path)), 0
    for name, (how, changed) in all_changes(tmp_path).items():
        if how or name in IDENTIFIED_OTHERWISE:
            continue
        section, after = name.split(".")[0], fingerprints(changed)
        for stage in STAGES.values():
            reads = section in stage.sections or section in ALWAYS_HELD
            assert (after[stage.name] != before[stage.name]) == reads, (name, stage.name)
        tried += 1
    assert tried > 150


def test_a_plan_that_reuses_a_search_does_not_hang_on_how_its_proxies_run(tmp_path: Path) -> None:
    tokens = {"tokenize": folder_as_artifact("tokenize", tmp_path / "tokens")}
    config = made(tmp_path)
    config = config.model_copy(update={"plan": config.plan.model_copy(update={"reuse": "last"})})
    planned = []
    for update in ({}, {"device": "cuda", "stack": 3}, {"batch_sequences": 3}):
        proxy = config.proxy.model_copy(update=update)
        planned.append(StageJob(STAGES["plan"], config.model_copy(update={"proxy": proxy}), tokens))
    same, how, computed = (job.fingerprint for job in planned)
    assert how == same != computed


class Inner(Section):
    """A section within another."""

    kept: int = 1
    dropped: HowItRuns[int | None] = 2


class Outer(Section):
    """Sections at any depth."""

    one: Inner = Inner()
    several: tuple[tuple[Inner, ...], ...] = ((Inner(), Inner(kept=3)),)
    named: dict[str, Inner] = Field({"a": Inner(kept=4)})
    none: Inner | None = None
    whole: HowItRuns[Inner] = Inner()


def test_what_is_computed_leaves_out_how_it_runs_at_any_depth() -> None:
    assert Outer().what_is_computed() == {
        "one": {"kept": 1},
        "several": [[{"kept": 1}, {"kept": 3}]],
        "named": {"a": {"kept": 4}},
        "none": None,
    }
