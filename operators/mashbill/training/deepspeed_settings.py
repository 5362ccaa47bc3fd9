"""DeepSpeed's settings for a recipe, with a user's own merged over them.

A setting of the user's own may say how the work is done: buckets, overlap, profiling. What the recipe says
(batch, clipping, optimiser, precision, ZeRO stage, offload), or what would change the numbers that are
computed, is the config's: where a user's JSON says otherwise, it is refused. "auto", which the Hugging Face
trainer fills in, leaves a setting to the recipe.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mashbill.config import PipelineConfig, TrainingConfig
from mashbill.config.recipe import DeepSpeedSettings
from mashbill.errors import ConfigError, one_line
from mashbill.models.sizes import ADAM_BETAS
from mashbill.storage import local_path

WHERE = "training.deepspeed"
EPSILON = 1e-8
AUTO = "auto"
OF_THE_RECIPE = {
    "train_batch_size": "training.batch_sequences",
    "train_micro_batch_size_per_gpu": "training.micro_batch_sequences",
    "gradient_accumulation_steps": "training.batch_sequences",
    "gradient_clipping": "training.gradient_clip",
    "optimizer.params.lr": "training.learning_rate",
    "optimizer.params.weight_decay": "training.weight_decay",
    "optimizer": "nothing: the optimiser is AdamW",
    "scheduler": "training.rate_schedule",
    "bf16": "training.precision",
    "bfloat16": "training.precision",
    "zero_optimization.stage": "training.zero_stage",
    "zero_optimization.offload_optimizer": "training.offload",
    "zero_optimization.offload_param": "training.offload",
    "zero_optimization.cpu_offload": "training.offload",
    "zero_optimization.cpu_offload_param": "training.offload",
    "zero_allow_untested_optimizer": "nothing: the optimiser is torch's",
    "zero_force_ds_cpu_optimizer": "nothing: the optimiser is torch's",
}
"""Settings, and all within them, that the config has a field for."""
CHANGES_NUMBERS = (
    "amp",
    "checkpoint.load_universal",
    "communication_data_type",
    "compression_training",
    "curriculum_learning",
    "data_efficiency",
    "data_types",
    "eigenvalue",
    "elasticity",
    "expert_parallel",
    "fp16",
    "gradient_allreduce_op",
    "gradient_predivide_factor",
    "hybrid_engine",
    "pipeline",
    "prescale_gradients",
    "progressive_layer_drop",
    "quantize_training",
    "seq_parallel_communication_data_type",
    "sparse_attention",
    "sparse_gradients",
    "tensor_parallel",
    "torch_autocast",
    "weight_quantization",
    "zero_optimization.zenflow",
    "zero_optimization.zero_quantized_gradients",
    "zero_optimization.zero_quantized_nontrainable_weights",
    "zero_optimization.zero_quantized_weights",
)
"""Settings that change what is computed, or how the work is cut: refused unless they are off."""


def ours(training: TrainingConfig, *, batch: int, accumulation: int, peak: float) -> DeepSpeedSettings:
    """What DeepSpeed is told of a recipe.

    Args:
        training: the recipe.
        batch: sequences of a global batch.
        accumulation: micro-batches of a process and step.
        peak: highest learning rate.
    Raises:
        ConfigError: what is to be offloaded cannot be.
    """
    return {
        "train_batch_size": batch,
        "train_micro_batch_size_per_gpu": training.micro_batch_sequences,
        "gradient_accumulation_steps": accumulation,
        "gradient_clipping": training.gradient_clip,
        "optimizer": {
            "type": "AdamW",
            "params": {
                "lr": peak,
                "betas": list(ADAM_BETAS),
                "eps": EPSILON,
                "weight_decay": training.weight_decay,
                "torch_adam": True,
            },
        },
        "zero_optimization": {"stage": training.zero_stage, **_offloaded(training)},
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,  # the optimiser is torch's, wherever its state lies
        "bf16": {"enabled": training.precision == "bf16"},
        "steps_per_print": 10**9,
        "wall_clock_breakdown": False,
    }


def with_own_table(config: PipelineConfig) -> TrainingConfig:
    """The training section with DeepSpeed's own settings as a table: a file that it names is read.

    Raises:
        ConfigError: the file is not there, or is no JSON object.
    """
    training = config.training
    if not isinstance(training.deepspeed, str):
        return training
    path = local_path(config, WHERE, training.deepspeed)
    return training.model_copy(update={"deepspeed": _read(path)})


def merged(settings: DeepSpeedSettings, own: str | DeepSpeedSettings | None) -> DeepSpeedSettings:
    """Settings with a user's own over them.

    Args:
        settings: of the recipe.
        own: a table, or the path of a JSON file.
    Raises:
        ConfigError: one of the user's own would change the recipe, or the file is no JSON object.
    """
    if own is None:
        return settings
    table = _read(Path(own)) if isinstance(own, str) else own
    for name, value in _leaves(table):
        _refuse_changes(name, value, _at(settings, name))
    return _over(settings, table)


def replaced(settings: DeepSpeedSettings, own: str | DeepSpeedSettings | None) -> list[str]:
    """Names of ours that a user's own, as a table, give another value."""
    if not isinstance(own, dict):
        return []
    return [
        name for name, value in _leaves(own) if value != AUTO and _at(settings, name) not in (None, value)
    ]


def _offloaded(training: TrainingConfig) -> DeepSpeedSettings:
    """Offloading, as far as the ZeRO stage has it: what it has not is left out."""
    offload, found = training.offload, {}
    for name, device, least in (("optimizer", offload.optimizer, 1), ("parameters", offload.parameters, 3)):
        if device == "none" or training.zero_stage < least:
            continue
        setting = f"training.offload.{name}"
        if device == "nvme" and training.zero_stage < 3:
            mend = "set training.zero_stage = 3, or offload to cpu"
            raise ConfigError(setting, f"is nvme, which ZeRO {training.zero_stage} has not", mend)
        if device == "nvme" and offload.folder is None:
            raise ConfigError(setting, "is nvme, and no folder is given", "set training.offload.folder")
        where = {"nvme_path": offload.folder} if device == "nvme" else {}
        key = "offload_optimizer" if name == "optimizer" else "offload_param"
        found[key] = {"device": device, **where, "pin_memory": training.accelerator != "cpu"}
    return found


def _read(path: Path) -> DeepSpeedSettings:
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        what = f"{path} cannot be read ({error.strerror})"
        raise ConfigError(WHERE, what, "correct the path") from error
    except ValueError as error:
        what = f"{path} is not JSON ({one_line(error)})"
        raise ConfigError(WHERE, what, "correct that line") from error
    if not isinstance(table, dict):
        raise ConfigError(WHERE, f"{path} holds no object", "give DeepSpeed's settings as a JSON object")
    return table


def _refuse_changes(name: str, value: Any, our: Any) -> None:
    """Refuse one of the user's own settings that would change the recipe."""
    if value in (AUTO, our):
        return
    for key, field in OF_THE_RECIPE.items():
        if _within(name, key):
            said = "is not there" if our is None else f"is {our!r}"
            mend = f"remove it, or set {field}" if field.startswith("training") else f"remove it; {field}"
            raise ConfigError(f"{WHERE}.{name}", f"is {value!r}, and in the recipe it {said}", mend)
    for key in CHANGES_NUMBERS:
        if _within(name, key) and not _is_off(name, value, key):
            raise ConfigError(
                f"{WHERE}.{name}", f"is {value!r}, which changes what is trained", f"remove {key}"
            )


def _is_off(name: str, value: Any, key: str) -> bool:
    """Whether a setting within one that changes numbers leaves that off."""
    if value is None or value is False:
        return True
    return key == "gradient_predivide_factor" and value == 1


def _within(name: str, key: str) -> bool:
    return f"{name}.".startswith(f"{key}.")


def _leaves(table: Mapping[str, Any], at: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted name and value of each setting; a group that is off, or left to the recipe, has no
    others."""
    for name, value in table.items():
        if isinstance(value, Mapping) and value:
            enabled = value.get("enabled", True)
            inner = {"enabled": enabled} if enabled in (False, AUTO) else value
            yield from _leaves(inner, f"{at}{name}.")
        elif not isinstance(value, Mapping):
            yield f"{at}{name}", value


def _at(settings: Mapping[str, Any], name: str) -> Any:
    """The value of a dotted name; None where there is none."""
    value: Any = settings
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _over(below: DeepSpeedSettings, above: Mapping[str, Any]) -> DeepSpeedSettings:
    """One table over another, group by group."""
    found = dict(below)
    for name, value in above.items():
        under = found.get(name)
        if isinstance(value, Mapping):
            found[name] = _over(under if isinstance(under, dict) else {}, value)
        elif value not in (AUTO, under):
            found[name] = value
    return found
