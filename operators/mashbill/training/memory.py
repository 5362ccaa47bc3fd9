"""Memory of a rank: weights, gradients and optimiser by ZeRO stage, and the activations of a micro-batch.

Activations are those of Korthikanti et al. (arXiv 2205.05198), section 4, for what is trained here: flash
attention keeps no scores but one fp32 number a head and token, grouped queries keep narrower keys and values,
SwiGLU keeps four tensors of the feed-forward width, there is no dropout, and the fused cross-entropy keeps
the gradient of the last hidden state instead of logits, which live a chunk at a time.
"""

from dataclasses import dataclass

from mashbill.config import ModelShape, TrainingConfig
from mashbill.models.sizes import parameter_count

CHUNK_LOGITS = 2**28
"""Logits of a chunk at most, on a GPU (``models.cross_entropy``)."""
LOGIT_BYTES = 4 + 2 + 2
"""fp32, the product that they come from and the gradient that they become."""
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
        logits: of a chunk, and the output layer's gradient.
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
    kept = activation_bytes(training.model, tokens, width=width, recomputed=recomputed)
    logits = logits_bytes(training.model, vocabulary, tokens, width=width)
    return Memory(
        weights=round(weights),
        gradients=round(gradients),
        optimiser=round(optimiser),
        activations=kept,
        logits=logits,
        total=round(weights + gradients + optimiser) + kept + logits,
    )


def activation_bytes(shape: ModelShape, tokens: int, *, width: int = 2, recomputed: bool = False) -> int:
    """Bytes that the blocks keep for backward.

    Args:
        shape: of the model.
        tokens: of a micro-batch.
        width: bytes of a number: 2 in bf16.
        recomputed: whether each block keeps its input alone, and is computed again in backward.
    """
    block = block_bytes(shape, width=width)
    ends = 2 * shape.width * width + 4 + 8  # the last norm's input, the hidden gradient, ids
    if recomputed:
        return tokens * (shape.layers * shape.width * width + block + ends)
    return tokens * (shape.layers * block + ends)


def block_bytes(shape: ModelShape, *, width: int = 2) -> int:
    """Bytes of a token that one block keeps for backward.

    Both norms' inputs and outputs, queries and attention's output are of the model's width; keys and values
    of theirs; gate, its SiLU, up and their product of the feed-forward layer's. Two norms and each head
    keep an fp32 number.
    """
    keys_and_values = 2 * shape.kv_heads * (shape.width // shape.heads)
    numbers = 6 * shape.width + keys_and_values + 4 * shape.feed_forward
    return numbers * width + 4 * (2 + shape.heads)


def logits_bytes(shape: ModelShape, vocabulary: int, tokens: int, *, width: int = 2) -> int:
    """Bytes of a chunk's logits and of the output layer's gradient, which the fused cross-entropy keeps."""
    return (
        min(tokens * vocabulary, CHUNK_LOGITS + vocabulary) * LOGIT_BYTES + vocabulary * shape.width * width
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
