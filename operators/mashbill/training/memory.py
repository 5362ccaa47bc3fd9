"""Memory of a rank: weights, gradients and optimiser by ZeRO stage, and the activations of a micro-batch
(``models/sizes.py``)."""

from dataclasses import dataclass

from mashbill.config import TrainingConfig
from mashbill.models.sizes import activation_bytes, logits_bytes, parameter_count

RESERVED = 0.1
"""Share of a card's memory left to CUDA's context, buckets of DeepSpeed and fragmentation."""
MOMENTS_BYTES, OPTIMISER_BYTES = 8, 12
"""Two fp32 moments; with the fp32 master weight, which fp32 weights that are whole need not."""


@dataclass(frozen=True)
class Memory:
    """Bytes of a rank's GPU.

    Attributes:
        weights, gradients, optimiser: what of them lies on it.
        activations: kept between forward and backward of a micro-batch.
        logits: of a chunk.
        total: of all these.
    """

    weights: int
    gradients: int
    optimiser: int
    activations: int
    logits: int
    total: int


def memory_of(
    training: TrainingConfig,
    vocabulary: int,
    *,
    zero_stage: int | None = None,
    micro_batch: int | None = None,
    recomputed: bool = False,
) -> Memory:
    """Memory of a rank.

    Args:
        training: the recipe.
        vocabulary: tokens of the vocabulary.
        zero_stage: another one than the recipe's.
        micro_batch: sequences of another micro-batch than the recipe's.
        recomputed: whether blocks are computed again in backward (activation checkpointing).
    """
    stage = training.zero_stage if zero_stage is None else zero_stage
    sequences = training.micro_batch_sequences if micro_batch is None else micro_batch
    parameters = parameter_count(training.model, vocabulary)
    ranks, offload = training.nodes * training.processes_per_node, training.offload
    width = 2 if training.precision == "bf16" else 4
    own = OPTIMISER_BYTES if training.precision == "bf16" or stage else MOMENTS_BYTES
    weights = width * parameters / (ranks if stage >= 3 else 1)
    gradients = width * parameters / (ranks if stage >= 2 else 1)
    optimiser = own * parameters / (ranks if stage >= 1 else 1)
    if stage >= 1 and offload.optimizer != "none":
        optimiser = 0
    if stage >= 3 and offload.parameters != "none":
        weights = 0
    tokens = sequences * training.model.context
    kept = activation_bytes(
        training.model,
        vocabulary,
        sequences,
        recompute_every=1 if recomputed else training.recompute_every,
        value_bytes=width,
        documents=training.document_masking,
    )
    logits = logits_bytes(vocabulary, tokens, on_gpu=True, value_bytes=width)
    return Memory(
        weights=round(weights),
        gradients=round(gradients),
        optimiser=round(optimiser),
        activations=kept,
        logits=logits,
        total=round(weights + gradients + optimiser) + kept + logits,
    )


def mends(training: TrainingConfig, vocabulary: int, memory_bytes: float) -> list[str]:
    """What would make a training fit into so many bytes, each alone, the cheapest first; together if must be.

    Returns:
        Settings in words; empty where nothing of them helps.
    """

    def fits(**changes: int | bool) -> bool:
        return memory_of(training, vocabulary, **changes).total <= memory_bytes  # type: ignore[arg-type]

    smaller = [m for m in _halves(training.micro_batch_sequences) if m < training.micro_batch_sequences]
    larger = range(training.zero_stage + 1, 4)
    found = [f"training.zero_stage = {stage}" for stage in larger if fits(zero_stage=stage)][:1]
    found += [f"training.micro_batch_sequences = {m}" for m in smaller if fits(micro_batch=m)][:1]
    if fits(recomputed=True):
        found.append("activation checkpointing")
    if found:
        return found
    least = smaller[-1] if smaller else training.micro_batch_sequences
    if fits(zero_stage=3, micro_batch=least):
        return [f"training.zero_stage = 3 with training.micro_batch_sequences = {least}"]
    if fits(zero_stage=3, micro_batch=least, recomputed=True):
        return [
            f"training.zero_stage = 3, training.micro_batch_sequences = {least} and activation checkpointing"
        ]
    return []


def _halves(number: int) -> list[int]:
    """Divisors of a micro-batch that halving finds, from the largest down: what divides still divides."""
    found = [number]
    while found[-1] % 2 == 0:
        found.append(found[-1] // 2)
    return found if found[-1] == 1 else [*found, 1]
