"""The recipe of a final model: what a config amounts to in steps, tokens, epochs, FLOPs, memory and
DeepSpeed's settings."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mashbill.config import PipelineConfig, TrainingConfig
from mashbill.config.check import Check
from mashbill.errors import ConfigError
from mashbill.models.sizes import ADAM_BETAS, flops_per_token, memory_per_rank, parameter_count
from mashbill.tokens.tokenizer import expected_vocabulary

ZERO_STAGES = (0, 1, 2, 3)


@dataclass(frozen=True)
class Forecast:
    """A recipe's figures, known before anything is trained.

    Attributes:
        parameters: embeddings among them.
        flops_per_token: forward and backward.
        training_flops: of the whole run.
        memory_per_rank_bytes: weights, gradients and optimiser by ZeRO stage, before activations.
        world_size: processes.
        steps: optimiser steps.
        batch_tokens: tokens of a global batch.
        gradient_accumulation: micro-batches a process and step.
        tokens_by_domain: tokens read of each domain.
        epochs_by_domain: times each domain is read, where what there is of it is known.
    """

    parameters: int
    flops_per_token: float
    training_flops: float
    memory_per_rank_bytes: dict[str, int]
    world_size: int
    steps: int
    batch_tokens: int
    gradient_accumulation: int
    tokens_by_domain: dict[str, int]
    epochs_by_domain: dict[str, float]


def forecast(
    config: PipelineConfig,
    *,
    available_tokens: Mapping[str, int] | None = None,
    mixture: Mapping[str, float] | None = None,
    vocabulary: int | None = None,
) -> Forecast:
    """What the training section amounts to.

    Args:
        config: the whole config.
        available_tokens: tokens there are of each domain; without it epochs are unknown.
        mixture: weight of each domain; without it natural where tokens are known, else uniform.
        vocabulary: ids of the tokenizer; without it those of the one that is given or will be trained.
    Raises:
        ConfigError: the batch does not divide, or a domain would be repeated more than max_epochs times.
    """
    training, domains = config.training, config.mixture_names
    if mixture is None:
        total = sum(available_tokens[d] for d in domains) if available_tokens else len(domains)
        mixture = {d: (available_tokens[d] if available_tokens else 1) / total for d in domains}
    ids = expected_vocabulary(config) if vocabulary is None else vocabulary
    parameters = parameter_count(training.model, ids)
    per_token = flops_per_token(training.model, ids)
    steps, batch_tokens = training_steps(training), training.batch_sequences * training.model.context
    tokens = {d: round(mixture[d] * steps * batch_tokens) for d in domains}
    epochs = {d: tokens[d] / available_tokens[d] for d in domains} if available_tokens else {}
    for domain, times in epochs.items():
        if times > training.max_epochs * 1.01:
            raise ConfigError(
                "training.max_epochs",
                f"{domain} would be read {times:.1f} times",
                "add text, lower its weight or training.tokens",
            )
    return Forecast(
        parameters=parameters,
        flops_per_token=per_token,
        training_flops=per_token * steps * batch_tokens,
        memory_per_rank_bytes={
            f"zero {s}": memory_per_rank(parameters, world_size(training), s) for s in ZERO_STAGES
        },
        world_size=world_size(training),
        steps=steps,
        batch_tokens=batch_tokens,
        gradient_accumulation=gradient_accumulation(training),
        tokens_by_domain=tokens,
        epochs_by_domain=epochs,
    )


def world_size(training: TrainingConfig) -> int:
    """Processes of the job."""
    return training.nodes * training.processes_per_node


def training_steps(training: TrainingConfig) -> int:
    """Optimiser steps: the budget rounded to whole batches."""
    return max(1, round(training.tokens / (training.batch_sequences * training.model.context)))


def gradient_accumulation(training: TrainingConfig) -> int:
    """Micro-batches that a process runs for one step.

    Raises:
        ConfigError: the batch is no multiple of world size x micro-batch.
    """
    together = world_size(training) * training.micro_batch_sequences
    if training.batch_sequences % together:
        raise ConfigError(
            "training.batch_sequences",
            f"{training.batch_sequences} is no multiple of {world_size(training)} processes x "
            f"{training.micro_batch_sequences} sequences",
            "change it, or training.micro_batch_sequences",
        )
    return training.batch_sequences // together


def check_batches(config: PipelineConfig) -> Iterator[Check]:
    """Whether the batch divides among the processes."""

    def look() -> str:
        accumulated = gradient_accumulation(config.training)
        return f"{world_size(config.training)} processes, {accumulated} micro-batches each for a step"

    yield Check("training.batch_sequences", look)


def deepspeed_config(training: TrainingConfig) -> dict[str, Any]:
    """DeepSpeed's settings for a recipe; the learning rate is set step by step."""
    return {
        "train_batch_size": training.batch_sequences,
        "train_micro_batch_size_per_gpu": training.micro_batch_sequences,
        "gradient_accumulation_steps": gradient_accumulation(training),
        "gradient_clipping": training.gradient_clip,
        "optimizer": {
            "type": "AdamW",
            "params": {
                "lr": training.learning_rate,
                "betas": list(ADAM_BETAS),
                "eps": 1e-8,
                "weight_decay": training.weight_decay,
                "torch_adam": True,
            },
        },
        "zero_optimization": {"stage": training.zero_stage},
        "zero_allow_untested_optimizer": True,
        "bf16": {"enabled": training.precision == "bf16"},
        "steps_per_print": 10**9,
        "wall_clock_breakdown": False,
    }
