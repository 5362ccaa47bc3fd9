"""A user's own DeepSpeed JSON over ours: what of it is taken, and what is refused."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from builders.corpus import corpus_config
from mashbill.config import ModelShape, TrainingConfig
from mashbill.config.recipe import OffloadConfig
from mashbill.errors import ConfigError
from mashbill.training.deepspeed_keys import check_deepspeed
from mashbill.training.deepspeed_settings import with_own_table
from mashbill.training.recipe import check_recipe, deepspeed_config

SHAPE = ModelShape(layers=1, width=32, heads=2, kv_heads=2, feed_forward=64, context=32)
HUGGING_FACE = {
    "fp16": {"enabled": "auto", "loss_scale": 0, "initial_scale_power": 16, "min_loss_scale": 1},
    "bf16": {"enabled": "auto"},
    "optimizer": {"type": "AdamW", "params": {"lr": "auto", "betas": "auto", "weight_decay": "auto"}},
    "zero_optimization": {
        "stage": 2,
        "allgather_partitions": True,
        "allgather_bucket_size": 2e8,
        "overlap_comm": True,
        "reduce_scatter": True,
        "reduce_bucket_size": 2e8,
        "contiguous_gradients": True,
    },
    "gradient_accumulation_steps": "auto",
    "gradient_clipping": "auto",
    "steps_per_print": 2000,
    "train_batch_size": "auto",
    "train_micro_batch_size_per_gpu": "auto",
    "wall_clock_breakdown": False,
}
"""As the Hugging Face trainer's documentation has it for ZeRO 2."""


def training(**settings: Any) -> TrainingConfig:
    return TrainingConfig(**{"model": SHAPE, "zero_stage": 2, "gradient_clip": 0.5, **settings})


def test_the_json_of_a_hugging_face_trainer_serves_as_it_is() -> None:
    plain, found = deepspeed_config(training()), deepspeed_config(training(deepspeed=HUGGING_FACE))
    assert found["zero_optimization"]["reduce_bucket_size"] == 2e8
    assert found["zero_optimization"]["stage"] == 2
    assert found["steps_per_print"] == 2000
    for name in ("train_batch_size", "gradient_clipping", "optimizer", "bf16"):
        assert found[name] == plain[name]
    assert "auto" not in json.dumps(found["optimizer"])
    assert "known to DeepSpeed" in check_deepspeed(found)


@pytest.mark.parametrize(
    "own, said",
    [
        ({"train_batch_size": 32}, "train_batch_size: is 32, and in the recipe it is 16; remove it, or set"),
        ({"gradient_clipping": 1.0}, "gradient_clipping: is 1.0, and in the recipe it is 0.5"),
        ({"zero_optimization": {"stage": 3}}, "zero_optimization.stage: is 3, and in the recipe it is 2"),
        ({"bf16": {"enabled": False}}, "bf16.enabled: is False, and in the recipe it is True"),
        ({"optimizer": {"type": "Lion"}}, "optimizer.type: is 'Lion'"),
        ({"optimizer": {"params": {"lr": 1e-5}}}, "optimizer.params.lr: is 1e-05"),
        ({"optimizer": {"params": {"bias_correction": False}}}, "optimizer.params.bias_correction: is False"),
        ({"scheduler": {"type": "WarmupLR"}}, "scheduler.type: is 'WarmupLR', and in the recipe it is not"),
        (
            {"zero_optimization": {"offload_optimizer": {"device": "cpu"}}},
            "zero_optimization.offload_optimizer.device: is 'cpu', and in the recipe it is not there; "
            "remove it, or set training.offload",
        ),
        ({"zero_force_ds_cpu_optimizer": True}, "zero_force_ds_cpu_optimizer: is True, and in the recipe it"),
        ({"zero_optimization": {"cpu_offload": True}}, "zero_optimization.cpu_offload: is True"),
        ({"fp16": {"enabled": True}}, "fp16.enabled: is True, which changes what is trained; remove fp16"),
        ({"zero_optimization": {"zero_quantized_weights": True}}, "zero_optimization.zero_quantized_weights"),
        ({"communication_data_type": "fp16"}, "communication_data_type: is 'fp16', which changes what is"),
        ({"gradient_predivide_factor": 2.0}, "gradient_predivide_factor: is 2.0, which changes"),
        ({"data_efficiency": {"enabled": True, "seed": 1}}, "data_efficiency.enabled: is True"),
    ],
)
def test_what_would_change_the_recipe_is_refused_by_name(own: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        deepspeed_config(training(deepspeed=own))
    assert str(raised.value).startswith(f"training.deepspeed.{said}")
    assert "\n" not in str(raised.value)


def test_what_is_equal_or_off_is_no_conflict() -> None:
    for own in (
        {"train_batch_size": 16, "gradient_clipping": 0.5, "zero_optimization": {"stage": 2}},
        {"fp16": {"enabled": False, "loss_scale": 128}, "amp": {"enabled": False}},
        {"sparse_gradients": False, "gradient_predivide_factor": 1.0, "communication_data_type": None},
        {"optimizer": {"type": "AdamW", "params": {"betas": [0.9, 0.95]}}},
    ):
        assert deepspeed_config(training(deepspeed=own))["train_batch_size"] == 16
    floats = deepspeed_config(training(deepspeed={"train_batch_size": 16.0}))
    assert isinstance(floats["train_batch_size"], int)


def test_what_stands_for_ours_is_said(tmp_path: Path) -> None:
    own = "deepspeed = { steps_per_print = 10, dump_state = true, wall_clock_breakdown = false }"
    config = corpus_config(tmp_path, {"a": "a.jsonl", "b": "b.jsonl"}, extra=f"[training]\n{own}")
    (check,) = (check for check in check_recipe(config) if check.setting == "training.deepspeed")
    assert check.look().endswith("; yours stand for ours in steps_per_print")


@pytest.mark.parametrize(
    "own, said",
    [
        ({"zero_optimizaton": {}}, "zero_optimizaton: is no setting of DeepSpeed"),
        ({"zero_optimizaton": {}}, "; did you mean zero_optimization?"),
        ({"wall_clock_breakdwn": True}, "did you mean wall_clock_breakdown?"),
        ({"qqq": 1}, "qqq: is no setting of DeepSpeed"),
        ({"zero_optimization": {"overlap_com": True}}, "zero_optimization.overlap_com"),
        ({"zero_optimization": {"overlap_com": True}}, "did you mean overlap_comm?"),
        ({"zero_optimization": {"reduce_bucket_size": "big"}}, "zero_optimization.reduce_bucket_size: "),
        ({"activation_checkpointing": {"partition_activation": True}}, "did you mean partition_activations?"),
        ({"aio": {"block_sise": 1}}, "did you mean block_size?"),
    ],
)
def test_what_deepspeed_does_not_know_is_refused_with_the_nearest_that_it_knows(
    own: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        check_deepspeed(deepspeed_config(training(deepspeed=own)))
    assert str(raised.value).startswith("training.deepspeed.")
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_known_settings_of_every_kind_are_taken() -> None:
    own = {
        "comms_logger": {"enabled": True, "verbose": False},
        "flops_profiler": {"enabled": False},
        "memory_breakdown": True,
        "aio": {"block_size": 1_048_576},
        "activation_checkpointing": {"partition_activations": False},
        "csv_monitor": {"enabled": False},
        "timers": {"throughput": {"enabled": False}},
        "compile": {"deepcompile": False},
        "checkpoint": {"tag_validation": "Warn"},
        "dump_state": False,
    }
    assert "all known" in check_deepspeed(deepspeed_config(training(deepspeed=own)))


def test_a_file_is_read_from_the_configs_root(tmp_path: Path) -> None:
    (tmp_path / "ds.json").write_text(json.dumps({"wall_clock_breakdown": True}))
    config = corpus_config(
        tmp_path, {"a": "a.jsonl", "b": "b.jsonl"}, extra='[training]\ndeepspeed = "ds.json"'
    )
    assert deepspeed_config(with_own_table(config))["wall_clock_breakdown"] is True
    table = corpus_config(
        tmp_path, {"a": "a.jsonl", "b": "b.jsonl"}, extra="[training]\ndeepspeed = { dump_state = true }"
    )
    assert deepspeed_config(with_own_table(table))["dump_state"] is True


@pytest.mark.parametrize(
    "text, said",
    [("{", "is not JSON"), ("[1]", "holds no object"), ("\xff", "is not JSON"), (None, "ds.json")],
)
def test_a_file_that_is_no_json_object_is_refused(text: str | None, said: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "ds.json").write_bytes(text.encode("latin-1"))
    config = corpus_config(
        tmp_path, {"a": "a.jsonl", "b": "b.jsonl"}, extra='[training]\ndeepspeed = "ds.json"'
    )
    with pytest.raises(ConfigError, match=said) as raised:
        with_own_table(config)
    assert "training.deepspeed" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_offloading_is_told_as_far_as_the_zero_stage_has_it() -> None:
    both = OffloadConfig(optimizer="cpu", parameters="cpu")
    told = [
        set(deepspeed_config(training(zero_stage=stage, offload=both))["zero_optimization"]) - {"stage"}
        for stage in (0, 1, 2, 3)
    ]
    assert told == [
        set(),
        {"offload_optimizer"},
        {"offload_optimizer"},
        {"offload_optimizer", "offload_param"},
    ]
    disk = OffloadConfig(optimizer="nvme", folder="/fast")
    zero3 = deepspeed_config(training(zero_stage=3, offload=disk))
    assert zero3["zero_optimization"]["offload_optimizer"]["nvme_path"] == "/fast"
    assert "all known" in check_deepspeed(zero3)
    with pytest.raises(ConfigError, match=r"training\.offload\.optimizer: is nvme, which ZeRO 2 has not"):
        deepspeed_config(training(zero_stage=2, offload=disk))
    with pytest.raises(ConfigError, match=r"set training\.offload\.folder"):
        deepspeed_config(training(zero_stage=3, offload=OffloadConfig(optimizer="nvme")))


@pytest.mark.slow
def test_deepspeed_trains_the_same_whatever_is_offloaded_and_however_large_its_buckets_are() -> None:
    """The settings as DeepSpeed itself takes them: what says how it runs changes no loss."""
    told: list[dict[str, Any]] = [
        {"zero_stage": 0},
        {"zero_stage": 1},
        {"zero_stage": 1, "offload": {"optimizer": "cpu"}},
        {"zero_stage": 3, "offload": {"optimizer": "cpu", "parameters": "cpu"}},
        {"zero_stage": 2, "deepspeed": {"zero_optimization": {"reduce_bucket_size": 1_000}}},
    ]
    command = [sys.executable, "-m", "builders.deepspeed_steps", *map(json.dumps, told)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment())
    assert done.returncode == 0, done.stderr[-2_000:]
    plain, *others = json.loads(done.stdout.splitlines()[-1])
    assert plain[-1] < plain[0] - 0.5
    for losses in others:
        assert losses == pytest.approx(plain, abs=2e-4)


def environment() -> dict[str, str]:
    """That of this process, with the modules that it knows."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}


def test_a_config_is_read_and_merged_without_deepspeed() -> None:
    script = (
        "import sys\n"
        "from mashbill.config import TrainingConfig\n"
        "from mashbill.training.recipe import deepspeed_config, rates\n"
        "training = TrainingConfig(deepspeed={'dump_state': True})\n"
        "assert deepspeed_config(training)['dump_state'] and rates(training).rate_at(0) > 0\n"
        "print('deepspeed' in sys.modules, 'torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
