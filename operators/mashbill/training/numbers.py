"""The numbers that a final training is steered by, and where each comes from.

A law gives a number where the config leaves it to one (Step Law, the Power scheduler); otherwise the config
or a default does.
"""

import math
from dataclasses import dataclass

from mashbill.config import TrainingConfig
from mashbill.errors import ConfigError
from mashbill.training.laws import (
    STEP_LAW,
    STEP_LAW_MINIMUM,
    check_step_law,
    non_embedding_parameters,
    step_law_batch_tokens,
    step_law_rate,
)

POWER_LAW = "Power scheduler, arXiv 2408.13359"
WITHIN = 2.0
"""A batch that is rounded by more than this factor is no longer the law's."""


@dataclass(frozen=True)
class Figure:
    """A number of a recipe.

    Attributes:
        value: the number.
        source: the law and its paper, config, or default.
        note: how it came from there, where that needs words.
    """

    value: float
    source: str
    note: str = ""


def numbers_of(training: TrainingConfig) -> dict[str, Figure]:
    """The numbers of a recipe by name, each with its source.

    Raises:
        ConfigError: a law does not hold here, or numbers do not go together.
    """
    if training.rate_by_law or training.batch_by_law:
        check_step_law(training)
    batch = _batch(training)
    tokens = int(batch.value) * training.model.context
    steps = max(1, round(training.tokens / tokens))
    return {
        "tokens": _given(training, "tokens"),
        "batch_sequences": batch,
        "batch_tokens": Figure(tokens, batch.source),
        "steps": Figure(steps, "tokens / batch"),
        "warmup_steps": _warmup(training, steps, tokens),
        "decay_steps": _decay(training, steps),
        "learning_rate": _peak(training),
        "min_learning_rate": _minimum(training),
        "weight_decay": _given(training, "weight_decay"),
        "gradient_clip": _given(training, "gradient_clip"),
    }


def world_size(training: TrainingConfig) -> int:
    """Processes of the job."""
    return training.nodes * training.processes_per_node


def batch_sequences(training: TrainingConfig) -> int:
    """Sequences of a global batch."""
    return int(_batch(training).value)


def gradient_accumulation(training: TrainingConfig) -> int:
    """Micro-batches that a process runs for one step.

    Raises:
        ConfigError: the batch is no multiple of world size x micro-batch.
    """
    together, batch = _together(training), batch_sequences(training)
    if batch % together:
        raise ConfigError(
            "training.batch_sequences" if training.batch_tokens is None else "training.batch_tokens",
            f"{batch} is no multiple of {world_size(training)} processes x "
            f"{training.micro_batch_sequences} sequences",
            f"change it (to {_nearest(batch, together)} sequences), or training.micro_batch_sequences",
        )
    return batch // together


def _batch(training: TrainingConfig) -> Figure:
    context, together = training.model.context, _together(training)
    if training.batch_tokens is not None:
        if training.batch_tokens % context:
            near = _nearest(training.batch_tokens / context, together) * context
            raise ConfigError(
                "training.batch_tokens",
                f"{training.batch_tokens} is no multiple of {context}, the sequence's tokens",
                f"set {near}, which divides by {_ranks(training)} too",
            )
        return Figure(training.batch_tokens // context, "config", "from batch_tokens")
    if not training.batch_by_law:
        return _given(training, "batch_sequences")
    wanted = step_law_batch_tokens(training.tokens)
    rounded = _nearest(wanted / context, together)
    if rounded * context > WITHIN * wanted:
        raise ConfigError(
            "training.micro_batch_sequences",
            f"{_ranks(training)} are {rounded * context:,} tokens, and Step Law's batch is {wanted:,.0f}",
            "lower it, train on fewer processes, or set training.batch_tokens",
        )
    note = f"0.58 D^0.571 = {wanted:,.0f} tokens, rounded to {rounded * context:,} for {_ranks(training)}"
    return Figure(rounded, STEP_LAW, note)


def _peak(training: TrainingConfig) -> Figure:
    if training.rate_schedule == "power":
        law = training.power
        scale = law.base_width / training.model.width
        source = f"{POWER_LAW}; scaled as muP scales matrices, though the model is not muP"
        note = f"min({law.max_rate:g}, batch x {law.amplitude:g} n^{law.exponent:g}) x {scale:g}"
        return Figure(law.max_rate * scale, source, note)
    if not training.rate_by_law:
        return _given(training, "learning_rate")
    parameters = non_embedding_parameters(training)
    rate = step_law_rate(parameters, training.tokens)
    note = f"1.79 N^-0.713 D^0.307, N = {parameters:,} without embeddings, D = {training.tokens:,}"
    return Figure(rate, STEP_LAW, note)


def _minimum(training: TrainingConfig) -> Figure:
    if training.rate_schedule != "cosine":
        return Figure(0.0, "schedule", f"{training.rate_schedule} decays to 0")
    if training.rate_by_law and training.is_default("min_learning_rate"):
        return Figure(STEP_LAW_MINIMUM, STEP_LAW, "the law was fitted with it")
    return _given(training, "min_learning_rate")


def _warmup(training: TrainingConfig, steps: int, batch_tokens: int) -> Figure:
    if training.warmup_tokens is None:
        given = _given(training, "warmup_share")
        return Figure(max(1, round(steps * given.value)), given.source, f"{given.value:g} of the steps")
    warmup = max(1, math.ceil(training.warmup_tokens / batch_tokens))
    return Figure(warmup, "config", f"{training.warmup_tokens:,} tokens in whole batches")


def _decay(training: TrainingConfig, steps: int) -> Figure:
    if training.rate_schedule == "cosine":
        return Figure(0, "schedule", "a cosine has no decay of its own")
    given = _given(training, "decay_share")
    return Figure(max(1, round(steps * given.value)), given.source, f"{given.value:g} of the steps")


def _given(training: TrainingConfig, name: str) -> Figure:
    source = "config" if name in training.model_fields_set else "default"
    return Figure(getattr(training, name), source)


def _together(training: TrainingConfig) -> int:
    return world_size(training) * training.micro_batch_sequences


def _ranks(training: TrainingConfig) -> str:
    return f"{world_size(training)} processes x {training.micro_batch_sequences} sequences"


def _nearest(sequences: float, together: int) -> int:
    return max(1, round(sequences / together)) * together
