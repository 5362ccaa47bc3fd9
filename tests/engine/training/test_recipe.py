"""What a training section amounts to, worked out by hand: steps, epochs, and what DeepSpeed is told."""

from pathlib import Path

import pytest

from builders.small_training import small_training
from mashbill.config import PipelineConfig
from mashbill.config.final_run import CheckpointsConfig
from mashbill.errors import ConfigError
from mashbill.training.budget import forecast, storage
from mashbill.training.initial import initial_identity
from mashbill.training.recipe import deepspeed_config

SHAPE = {
    "layers": 2,
    "width": 32,
    "heads": 4,
    "kv_heads": 2,
    "feed_forward": 48,
    "context": 64,
    "tied": False,
}
SETTINGS = {
    "model": SHAPE,
    "tokens": 10_300,
    "micro_batch_sequences": 2,
    "processes_per_node": 2,
    "nodes": 2,
    "max_epochs": 2.0,
    "gradient_clip": 0.7,
    "weight_decay": 0.2,
    "learning_rate": 2e-3,
    "precision": "fp32",
    "zero_stage": 2,
}
AVAILABLE = {"a": 6_000, "b": 4_000}


@pytest.fixture
def config(tmp_path: Path) -> PipelineConfig:
    return small_training(tmp_path, vocabulary=500, **SETTINGS)


def test_figures_are_those_worked_out_by_hand(config: PipelineConfig) -> None:
    found = forecast(config, available_tokens=AVAILABLE, mixture={"a": 0.25, "b": 0.75})
    assert (found.batch_tokens, found.steps) == (1_024, 10)  # 16 x 64; 10.06 batches
    assert found.tokens_by_domain == {"a": 2_560, "b": 7_680}
    assert found.epochs_by_domain == pytest.approx({"a": 2_560 / 6_000, "b": 1.92})
    attention, feed_forward, norms = 32 * 32 * 2 + 32 * 16 * 2, 3 * 32 * 48, 2 * 32
    body = 2 * (attention + feed_forward + norms) + 32
    assert found.parameters == body + 2 * 500 * 32
    assert found.flops_per_token == 6 * (body + 500 * 32) + 12 * 2 * 32 * 64
    assert found.training_flops == found.flops_per_token * 10_240
    assert (found.world_size, found.gradient_accumulation) == (4, 2)
    assert found.memory_per_rank_bytes == {
        "zero 0": 16 * found.parameters,
        "zero 1": 7 * found.parameters,
        "zero 2": round(5.5 * found.parameters),
        "zero 3": 4 * found.parameters,
    }


def test_without_a_mixture_it_is_natural_or_even_where_nothing_is_known(config: PipelineConfig) -> None:
    assert forecast(config, available_tokens=AVAILABLE).tokens_by_domain == {"a": 6_144, "b": 4_096}
    known_nothing = forecast(config)
    assert known_nothing.tokens_by_domain == {"a": 5_120, "b": 5_120}
    assert known_nothing.epochs_by_domain == {}


def test_no_domain_is_read_more_often_than_allowed(config: PipelineConfig) -> None:
    forecast(config, available_tokens=AVAILABLE, mixture={"a": 0.215, "b": 0.785})  # b 2.01 times
    with pytest.raises(ConfigError, match=r"training\.max_epochs: b would be read 2\.05 times"):
        forecast(config, available_tokens=AVAILABLE, mixture={"a": 0.2, "b": 0.8})


@pytest.mark.parametrize(
    "every, keep, milestones, kept, exports",
    [
        (3, 2, 0, [6, 9], 1),  # of 3, 6, 9
        (5, 2, 0, [5], 1),  # at the end of 10 steps there is the model, and no checkpoint
        (10, 2, 0, [], 1),
        (2, 1, 4, [4, 8], 3),  # of 2, 4, 6, 8: the last is a milestone too
        (2, 2, 4, [4, 6, 8], 3),
        (2, 1, 3, [6, 8], 2),  # 3 and 9 are no steps of a checkpoint
        (1, 3, 5, [5, 7, 8, 9], 2),
    ],
)
def test_disk_is_that_of_what_lies_there_at_the_end(
    config: PipelineConfig, every: int, keep: int, milestones: int, kept: list[int], exports: int
) -> None:
    settings = {"keep": keep, "milestone_steps": milestones}
    changes = {"checkpoint_steps": every, "checkpoints": CheckpointsConfig(**settings)}
    training = config.training.model_copy(update=changes)
    found = forecast(config)
    assert found.steps == 10
    disk, parameters = storage(training, found), found.parameters
    assert (disk.checkpoints, disk.checkpoint_bytes) == (len(kept), 12 * parameters)
    assert disk.export_bytes == 4 * parameters
    assert disk.total_bytes == (12 * len(kept) + 4 * exports) * parameters


def test_a_batch_that_does_not_divide_is_refused(config: PipelineConfig) -> None:
    odd = config.training.model_copy(update={"batch_sequences": 12})
    with pytest.raises(ConfigError, match="12 is no multiple of 4 processes x 2 sequences"):
        forecast(config.model_copy(update={"training": odd}))
    tiny = config.training.model_copy(update={"tokens": 1_000})
    assert forecast(config.model_copy(update={"training": tiny})).steps == 1


def test_deepspeed_is_told_what_the_config_says(config: PipelineConfig) -> None:
    told = deepspeed_config(config.training)
    assert told["train_batch_size"] == 16
    assert told["train_micro_batch_size_per_gpu"] == 2
    assert told["gradient_accumulation_steps"] == 2
    assert told["gradient_clipping"] == 0.7
    assert told["zero_optimization"] == {"stage": 2}
    assert told["bf16"] == {"enabled": False}
    adamw = told["optimizer"]["params"]
    assert (adamw["lr"], adamw["betas"], adamw["weight_decay"]) == (2e-3, [0.9, 0.95], 0.2)


def test_a_model_to_go_on_from_is_another_input_once_its_weights_are_others(tmp_path: Path) -> None:
    folder = tmp_path / "first"
    folder.mkdir()
    for name, content in (("config.json", "{}"), ("model.safetensors", "weights")):
        (folder / name).write_text(content)
    config = small_training(tmp_path, vocabulary=500, **SETTINGS, initial="first")
    before = initial_identity(config)
    assert initial_identity(config) == before
    (folder / "model.safetensors").write_text("strange")
    assert initial_identity(config) != before
    assert initial_identity(small_training(tmp_path, vocabulary=500, **SETTINGS)) is None
