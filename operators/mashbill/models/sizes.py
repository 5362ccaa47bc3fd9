"""How large a model is: parameters, FLOPs a token, memory a rank. No torch needed.

Sources: TinyLlama's figures (1,100,048,384 parameters; 7.314 GFLOP a token), OpenELM's (1,080,153,600); ZeRO
(arXiv 1910.02054) for memory of weights, Korthikanti et al. (arXiv 2205.05198) for the way activations are
counted.
"""

from collections.abc import Iterable

from mashbill.config import BlockShape, ModelShape

ADAM_BETAS = (0.9, 0.95)
FP32_BYTES = 4
CHUNK_TOKENS = 512
"""Tokens whose logits are in memory at once on a CPU."""
PART_LOGITS = 2**18
"""Logits that are in full precision at once on a CPU: one megabyte, which its cache holds."""
GPU_CHUNK_LOGITS = 2**28
"""Logits that are in memory at once on a GPU."""


def parameter_count(shape: ModelShape, vocabulary: int) -> int:
    """Parameters, embeddings among them."""
    embeddings = vocabulary * shape.width * (1 if shape.tied else 2)
    return embeddings + sum(_block_parameters(shape, block) for block in shape.blocks) + shape.width


def flops_per_token(shape: ModelShape, vocabulary: int, *, span: float | None = None) -> float:
    """FLOPs of forward and backward for one token: 6 (N - embedding) + 12 x span x the heads' width, summed
    over layers; no layer's share is halved for being causal.

    The input embedding is a look-up and costs none; a tied one is still multiplied with as the output layer.

    Args:
        shape: of the model.
        vocabulary: its tokens.
        span: tokens that attention goes over for a token, where documents are kept apart (``mean_span``);
            without it the context.
    """
    looked_up = 0 if shape.tied else vocabulary * shape.width
    heads = sum(block.heads for block in shape.blocks)
    attention = 12.0 * heads * shape.head_dim * (shape.context if span is None else span)
    return 6.0 * (parameter_count(shape, vocabulary) - looked_up) + attention


def mean_span(lengths: Iterable[int], context: int) -> float:
    """Tokens of the document that a token is in, on average over tokens, sum(l^2) / sum(l); what of a
    document is longer than the context goes on in another sequence."""
    total = squares = 0
    for length in lengths:
        whole, rest = divmod(length, context)
        total += length
        squares += whole * context**2 + rest**2
    return squares / total if total else 0.0


def memory_per_rank(parameters: int, ranks: int, zero_stage: int) -> int:
    """Bytes a rank needs for weights, gradients and optimiser, before activations.

    bf16 weights and gradients (2 bytes each); fp32 master weights and AdamW's two moments (12 bytes).
    ZeRO stage 1 splits the optimiser's 12 bytes over the ranks, 2 the gradients too, 3 the weights too.
    """
    weights = 2 * parameters / (ranks if zero_stage >= 3 else 1)
    gradients = 2 * parameters / (ranks if zero_stage >= 2 else 1)
    optimiser = 12 * parameters / (ranks if zero_stage >= 1 else 1)
    return round(weights + gradients + optimiser)


def activation_bytes(
    shape: ModelShape,
    vocabulary: int,
    micro_batch: int,
    *,
    recompute_every: int = 0,
    value_bytes: int = 2,
    on_gpu: bool = True,
    documents: bool = False,
) -> int:
    """Bytes that a micro-batch's forward keeps for its backward.

    A token and block keep, of b bytes each: the stream before either norm and what the norms give (4 width);
    queries, keys, values and what attention makes of them (2 q + 2 kv), and q + kv more where they are
    normed; gate, its SiLU, up and their product (4 feed-forward); in fp32 a number a norm and a head. Off a
    GPU torch's norms keep their input twice, in fp32, and a mask that keeps documents apart is kept once;
    where they are apart, so are each token's rotary cosines and sines. A recomputed block keeps its input
    alone, and the largest of them is whole again while backward is there. The last norm keeps its input, the
    fused output layer the gradients of its input and of its weight.

    Args:
        shape: of the model.
        vocabulary: its tokens.
        micro_batch: sequences at once.
        recompute_every: of so many layers one is recomputed; 0 recomputes none.
        value_bytes: of an activation.
        on_gpu: where it runs; on a CPU, for sequences too long for plain attention.
        documents: whether those of a sequence are kept apart.
    """
    tokens, stream = micro_batch * shape.context, value_bytes * shape.width
    normed = value_bytes if on_gpu else 2 * FP32_BYTES
    blocks = [_kept_of_block(shape, block, value_bytes, normed=normed) for block in shape.blocks]
    recomputed = [bool(recompute_every) and i % recompute_every == 0 for i in range(shape.layers)]
    kept = sum(stream if again else whole for whole, again in zip(blocks, recomputed, strict=True))
    anew = max((whole for whole, again in zip(blocks, recomputed, strict=True) if again), default=0)
    mask = micro_batch * shape.context**2 * value_bytes if documents and not on_gpu else 0
    turns = 2 * tokens * shape.head_dim * value_bytes if documents else 0
    last = tokens * (normed * shape.width + FP32_BYTES + stream) + vocabulary * stream
    return tokens * (kept + anew) + last + mask + turns


def logits_bytes(vocabulary: int, tokens: int, *, on_gpu: bool, value_bytes: int = 2) -> int:
    """Bytes of the chunk of logits that is in memory at once, as multiplied, and of those in fp32 for the
    softmax; where logits are in fp32 themselves, they become their gradient in place."""
    most = tokens * vocabulary
    chunk = min(most, max(vocabulary, GPU_CHUNK_LOGITS) if on_gpu else CHUNK_TOKENS * vocabulary)
    if value_bytes == FP32_BYTES:
        return chunk * FP32_BYTES
    part = chunk if on_gpu else min(chunk, max(vocabulary, PART_LOGITS))
    return chunk * value_bytes + part * FP32_BYTES


def _block_parameters(shape: ModelShape, block: BlockShape) -> int:
    attention = 2 * shape.width * (block.heads + block.kv_heads) * shape.head_dim
    norms = 2 * shape.width + (2 * shape.head_dim if shape.qk_norm else 0)
    return attention + 3 * shape.width * block.feed_forward + norms


def _kept_of_block(shape: ModelShape, block: BlockShape, value_bytes: int, *, normed: int) -> int:
    """Bytes that a token keeps in a block; ``normed`` are those of a value that a norm is given."""
    q, kv = block.heads * shape.head_dim, block.kv_heads * shape.head_dim
    values = 2 * shape.width + 2 * q + 2 * kv + 4 * block.feed_forward
    into_norms, numbers = 2 * shape.width, 2 + block.heads
    if shape.qk_norm:
        into_norms += q + kv
        numbers += block.heads + block.kv_heads
    return value_bytes * values + normed * into_norms + FP32_BYTES * numbers
