"""What a recipe amounts to, known before anything is trained: steps, tokens and epochs of each domain, FLOPs,
memory, time, cost and storage."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from mashbill.config import PipelineConfig, TrainingConfig
from mashbill.errors import ConfigError
from mashbill.mixtures import Budget
from mashbill.models.sizes import flops_per_token, memory_per_rank, parameter_count
from mashbill.tokens.tokenizer import expected_vocabulary
from mashbill.training.hardware import expected_cost, expected_seconds, machine
from mashbill.training.memory import Memory, memory_of
from mashbill.training.numbers import gradient_accumulation, numbers_of, world_size

ZERO_STAGES = (0, 1, 2, 3)
CHECKPOINT_BYTES = 12
"""Of a parameter: the weight in full precision and two moments."""
EXPORT_BYTES = 4
ROUNDING = 1.01
"""A domain may be read this much more often than max_epochs, as steps are whole."""


@dataclass(frozen=True)
class Expense:
    """What a run takes on the hardware it is planned for.

    Attributes:
        hardware: name of a processor; peak_flops: its dense bf16 peak, and source says by whom.
        mfu: share of the peak that is assumed.
        tokens_per_second: of all processors.
        seconds: of the whole run, without evaluations and checkpoints.
        processor_hours: hours of one processor.
        cost: in the currency of the price; None without one.
    """

    hardware: str
    peak_flops: float
    source: str
    mfu: float
    tokens_per_second: float
    seconds: float
    processor_hours: float
    cost: float | None


@dataclass(frozen=True)
class Storage:
    """Bytes on disk.

    Attributes:
        checkpoint_bytes: of one checkpoint; checkpoints: that are kept at once.
        export_bytes: of an exported model; total_bytes: of all, with an export of each milestone.
    """

    checkpoint_bytes: int
    checkpoints: int
    export_bytes: int
    total_bytes: int


def forecast(
    config: PipelineConfig,
    *,
    available_tokens: Mapping[str, int] | None = None,
    mixture: Mapping[str, float] | None = None,
    vocabulary: int | None = None,
) -> Budget:
    """What the training section amounts to.

    Args:
        config: the whole config.
        available_tokens: tokens there are of each domain; without it epochs are unknown.
        mixture: weight of each domain; without it natural where tokens are known, else uniform.
        vocabulary: ids of the tokenizer; without it those of the one that is given or will be trained.
    Raises:
        ConfigError: the batch does not divide, or a domain would be repeated more than max_epochs times.
    """
    found = figures(config, available_tokens=available_tokens, mixture=mixture, vocabulary=vocabulary)
    check_epochs(config.training, found.epochs_by_domain)
    return found


def figures(
    config: PipelineConfig,
    *,
    available_tokens: Mapping[str, int] | None = None,
    mixture: Mapping[str, float] | None = None,
    vocabulary: int | None = None,
) -> Budget:
    """As ``forecast``, however often a domain is repeated.

    Raises:
        ConfigError: the batch does not divide.
    """
    training, domains = config.training, config.mixture_names
    sizes = {d: available_tokens.get(d, 0) for d in domains} if available_tokens else {}
    if mixture is None:
        total = sum(sizes.values())
        mixture = {d: sizes[d] / total if total else 1 / len(domains) for d in domains}
    ids = expected_vocabulary(config) if vocabulary is None else vocabulary
    parameters = parameter_count(training.model, ids)
    per_token = flops_per_token(training.model, ids)
    numbers = numbers_of(training)
    steps, batch_tokens = int(numbers["steps"].value), int(numbers["batch_tokens"].value)
    tokens = {d: round(mixture.get(d, 0.0) * steps * batch_tokens) for d in domains}
    return Budget(
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
        epochs_by_domain={d: tokens[d] / there for d, there in sizes.items() if there},
    )


def check_epochs(training: TrainingConfig, epochs: Mapping[str, float]) -> None:
    """Refuse to repeat a domain too often.

    Raises:
        ConfigError: a domain would be read more than max_epochs times.
    """
    for domain, times in epochs.items():
        if times > training.max_epochs * ROUNDING:
            raise ConfigError(
                "training.max_epochs",
                f"{domain} would be read {times:.2f} times",
                "add text, lower its weight or training.tokens",
            )


def memory_by_stage(training: TrainingConfig, vocabulary: int) -> dict[str, Memory]:
    """Memory of a rank, activations among it, by ZeRO stage."""
    return {f"zero {s}": memory_of(training, vocabulary, zero_stage=s) for s in ZERO_STAGES}


def expense(training: TrainingConfig, found: Budget) -> Expense | None:
    """Time and cost of one model; None where no hardware is named."""
    planned, mfu, price = machine(training.hardware), training.hardware.mfu, training.hardware.price
    if planned is None:
        return None
    processors = found.world_size
    seconds = expected_seconds(found.training_flops, planned.peak_flops, processors=processors, mfu=mfu)
    return Expense(
        hardware=planned.name,
        peak_flops=planned.peak_flops,
        source=planned.source,
        mfu=mfu,
        tokens_per_second=found.steps * found.batch_tokens / seconds,
        seconds=seconds,
        processor_hours=seconds * processors / 3600,
        cost=None if price is None else expected_cost(seconds, processors=processors, price=price),
    )


def storage(training: TrainingConfig, found: Budget) -> Storage:
    """Disk that one model takes: checkpoints that are kept at once, and exports of it and its milestones."""
    one, export = CHECKPOINT_BYTES * found.parameters, EXPORT_BYTES * found.parameters
    kept, exports = kept_checkpoints(training, found.steps), 1 + milestones(training, found.steps)
    return Storage(one, kept, export, one * kept + export * exports)


def kept_checkpoints(training: TrainingConfig, steps: int) -> int:
    """Checkpoints that lie on disk at the end of a run."""
    taken = range(training.checkpoint_steps, steps, training.checkpoint_steps)
    last = taken[-training.checkpoints.keep :]
    among = sum(_is_milestone(training, step) for step in last)
    return len(last) - among + milestones(training, steps)


def milestones(training: TrainingConfig, steps: int) -> int:
    """Checkpoints that are kept to the end of a run, and exported then."""
    every = training.checkpoints.milestone_steps
    return (steps - 1) // math.lcm(every, training.checkpoint_steps) if every else 0


def _is_milestone(training: TrainingConfig, step: int) -> bool:
    every = training.checkpoints.milestone_steps
    return bool(every) and step % every == 0
