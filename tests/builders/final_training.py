"""What a final training is given in tests: tokens of two domains, a mixture and a decision to train."""

import csv
import shutil
from pathlib import Path

import numpy as np

from builders.choices import write_choice
from builders.corpus import TINY_MODEL, corpus_config, folder_as_artifact, run_stage, run_stages, write_jsonl
from mashbill.artifacts import Artifact, open_store
from mashbill.artifacts.manifest import MANIFEST
from mashbill.config import PipelineConfig
from mashbill.mixtures import Schedule, ScheduleChoice
from mashbill.mixtures.schedule_choice import phases_of
from mashbill.storage import open_storage
from mashbill.training.checkpoint import Checkpoints

TRAINING = f"""
[deduplication]
near = false
[tokens]
vocabulary = 300
training_bytes = 50_000
validation_share = 0.2
max_validation_bytes = 2_000
[training]
{TINY_MODEL}
tokens = 5_120
batch_sequences = 8
micro_batch_sequences = 4
checkpoint_steps = 5
evaluations = 2
precision = "fp32"
max_restarts = 0
"""


def prepare(folder: Path) -> dict[str, Artifact]:
    """The inputs of train, made in a folder."""
    write_jsonl(folder / "a.jsonl", [f"The number {i} comes before {i + 1}." for i in range(400)])
    write_jsonl(folder / "b.jsonl", [f"{i} times {i} is {i * i}." for i in range(400)])
    write_jsonl(folder / "r.jsonl", ["A reference document."])
    config = corpus_config(folder, {"a": "a.jsonl", "b": "b.jsonl"}, {"r": "r.jsonl"}, TRAINING)
    done = run_stages(config, "deduplicate")
    tokens = run_stage(config, "tokenize", {"ingest": done["ingest"], "select": done["deduplicate"]})
    (folder / "mix").mkdir()
    beside = {"natural": {"a": 0.1, "b": 0.9}}
    mix = write_choice(folder / "mix", {"a": 0.6, "b": 0.4}, {"r": 1.0}, beside=beside)
    schedule = Schedule(("a", "b"), np.array([0.5, 0.5]), np.array([[1.0, 0.0], [0.2, 0.8]]))
    reason = "for a test"
    ScheduleChoice(
        phases=2, schedule=phases_of(schedule), mean=schedule.mean, taken=True, reason=reason
    ).write(folder / "mix")
    others = {name: folder_as_artifact(name, folder / "mix") for name in ("schedule", "gate")}
    return {"tokenize": tokens, "mix": mix, **others}


def with_training(folder: Path, artifacts: Path, **settings: object) -> PipelineConfig:
    """A config of the training, with its artifacts elsewhere and other settings of it."""
    config = corpus_config(folder, {"a": "a.jsonl", "b": "b.jsonl"}, {"r": "r.jsonl"}, TRAINING)
    return config.model_copy(
        update={"artifacts": str(artifacts), "training": config.training.model_copy(update=settings)}
    )


def checkpoints_in(folder: Path) -> Checkpoints:
    """The checkpoints of a training's scratch folder."""
    return Checkpoints(open_storage(str(folder), folder))


def losses(artifact: Artifact) -> list[float]:
    """The training loss of each step."""
    with (artifact.path / "curves.csv").open() as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


def in_one_store(config: PipelineConfig, inputs: dict[str, Artifact]) -> dict[str, Artifact]:
    """The inputs as artifacts of a config's store, so that another process finds them by their addresses."""
    store = open_store(config)
    found = {}
    for name, artifact in inputs.items():
        place = store.storage.place(store.key(name, artifact.fingerprint))
        shutil.copytree(artifact.storage.place(artifact.key), place)
        (place / MANIFEST).write_text(artifact.manifest.as_text())
        found[name] = store.open(str(place))
    return found
