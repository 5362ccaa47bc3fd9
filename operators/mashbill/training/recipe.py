"""The recipe of a final model as what trains it is told: a settled config, the learning rate of each step,
and DeepSpeed's settings."""

from collections.abc import Callable, Iterator
from pathlib import Path

from mashbill.config import PipelineConfig, TrainingConfig
from mashbill.config.check import Check
from mashbill.config.recipe import DeepSpeedSettings
from mashbill.errors import ConfigError
from mashbill.models.schedules import Cosine, Power, Rates, WarmupStableDecay
from mashbill.storage import refuse_unwritable
from mashbill.training.deepspeed_keys import check_deepspeed
from mashbill.training.deepspeed_settings import merged, ours, replaced, with_own_table
from mashbill.training.initial import check_initial
from mashbill.training.numbers import batch_sequences, gradient_accumulation, numbers_of, world_size
from mashbill.training.sinks import check_sinks


def settled(training: TrainingConfig) -> TrainingConfig:
    """The same training with each number standing plainly: no law is left to be applied.

    Raises:
        ConfigError: a law does not hold here, or numbers do not go together.
    """
    numbers = numbers_of(training)
    return training.model_copy(
        update={
            "recipe": "hand",
            "learning_rate": numbers["learning_rate"].value,
            "min_learning_rate": numbers["min_learning_rate"].value,
            "batch_sequences": int(numbers["batch_sequences"].value),
            "batch_tokens": None,
        }
    )


def rates(training: TrainingConfig) -> Rates:
    """The learning rate of each step.

    Raises:
        ConfigError: warm-up and decay do not fit into the run, or the end is above the peak.
    """
    numbers = {name: figure.value for name, figure in numbers_of(training).items()}
    steps, warmup = int(numbers["steps"]), int(numbers["warmup_steps"])
    decay, peak = int(numbers["decay_steps"]), numbers["learning_rate"]
    _check_lengths(training, steps, warmup=warmup, decay=decay)
    start = training.warmup_from
    if training.rate_schedule == "cosine":
        _check_end(numbers["min_learning_rate"], peak)
        return Cosine(
            steps=steps, warmup=warmup, start=start, peak=peak, minimum=numbers["min_learning_rate"]
        )
    if training.rate_schedule == "wsd":
        return WarmupStableDecay(steps=steps, warmup=warmup, start=start, decay=decay, peak=peak)
    law = training.power
    return Power(
        steps=steps,
        warmup=warmup,
        start=start,
        decay=decay,
        batch=int(numbers["batch_sequences"]),
        batch_tokens=int(numbers["batch_tokens"]),
        amplitude=law.amplitude,
        exponent=law.exponent,
        max_rate=law.max_rate,
        scale=law.base_width / training.model.width,
    )


def training_steps(training: TrainingConfig) -> int:
    """Optimiser steps: the budget rounded to whole batches."""
    return int(numbers_of(training)["steps"].value)


def check_recipe(config: PipelineConfig) -> Iterator[Check]:
    """Whether the recipe can be trained: the batch divides among processes, laws hold, the schedule fits, and
    DeepSpeed's and the metrics' settings will do."""
    training = config.training

    def divides() -> str:
        accumulated = gradient_accumulation(training)
        return f"processes {world_size(training)}, micro-batches of each for a step {accumulated}"

    def schedule() -> str:
        found = rates(training)
        return f"{training.rate_schedule}, {found.steps:,} steps, {found.warmup:,} of them warm-up"

    yield Check("training.batch_sequences", divides)
    if _stands(lambda: numbers_of(training)):
        yield Check("training.rate_schedule", schedule)
    if training.deepspeed is not None and _stands(lambda: gradient_accumulation(training)):
        yield Check("training.deepspeed", lambda: _deepspeed(with_own_table(config)))
    if training.offload.folder is not None:
        yield Check("training.offload.folder", lambda: _usable(config.resolve(training.offload.folder or "")))
    yield from check_initial(config)
    yield from check_sinks(training.metrics)


def deepspeed_config(training: TrainingConfig) -> DeepSpeedSettings:
    """DeepSpeed's settings for a recipe, the config's own merged into them; the learning rate is set step by
    step.

    Raises:
        ConfigError: settings of the config's own would change the recipe.
    """
    found = ours(
        training,
        batch=batch_sequences(training),
        accumulation=gradient_accumulation(training),
        peak=numbers_of(training)["learning_rate"].value,
    )
    return merged(found, training.deepspeed)


def _deepspeed(training: TrainingConfig) -> str:
    """Say what becomes of DeepSpeed settings of the config's own."""
    known = check_deepspeed(deepspeed_config(training))
    plain = deepspeed_config(training.model_copy(update={"deepspeed": None}))
    other = replaced(plain, training.deepspeed)
    return f"{known}; yours stand for ours in {', '.join(other)}" if other else known


def _stands(look: Callable[[], object]) -> bool:
    """Whether what other checks look at is there: if not, an earlier one has told."""
    try:
        look()
    except ConfigError:
        return False
    return True


def _usable(folder: str) -> str:
    refuse_unwritable("training.offload.folder", Path(folder))
    return f"{folder} may be written"


def _check_lengths(training: TrainingConfig, steps: int, *, warmup: int, decay: int) -> None:
    if warmup + decay > max(2, steps):
        name = "warmup_share" if training.warmup_tokens is None else "warmup_tokens"
        raise ConfigError(
            f"training.{name}",
            f"warm-up takes {warmup:,} steps and decay {decay:,} of {steps:,}",
            "shorten it, or training.decay_share" if decay else "shorten it, or raise training.tokens",
        )


def _check_end(minimum: float, peak: float) -> None:
    if minimum > peak:
        raise ConfigError(
            "training.min_learning_rate",
            f"{minimum:g} is above the peak of {peak:g}",
            "lower it, or raise training.learning_rate",
        )
