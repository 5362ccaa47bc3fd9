"""How large a model is: parameters, FLOPs a token, memory a rank. No torch needed.

Sources: TinyLlama's figures (1,100,048,384 parameters; 7.314 GFLOP a token); ZeRO (arXiv 1910.02054) for
memory.
"""

from mashbill.config import ModelShape

ADAM_BETAS = (0.9, 0.95)


def parameter_count(shape: ModelShape, vocabulary: int) -> int:
    """Parameters, embeddings among them."""
    head_width = shape.width // shape.heads
    attention = 2 * shape.width**2 + 2 * shape.width * shape.kv_heads * head_width
    block = attention + 3 * shape.width * shape.feed_forward + 2 * shape.width
    embeddings = vocabulary * shape.width * (1 if shape.tied else 2)
    return embeddings + shape.layers * block + shape.width


def flops_per_token(shape: ModelShape, vocabulary: int) -> float:
    """FLOPs of forward and backward for one token: 6 (N - embedding) + 12 layers width context.

    The input embedding is a look-up and costs none; a tied one is still multiplied with as the output layer.
    """
    looked_up = 0 if shape.tied else vocabulary * shape.width
    return (
        6.0 * (parameter_count(shape, vocabulary) - looked_up)
        + 12.0 * shape.layers * shape.width * shape.context
    )


def memory_per_rank(parameters: int, ranks: int, zero_stage: int) -> int:
    """Bytes a rank needs for weights, gradients and optimiser, before activations.

    bf16 weights and gradients (2 bytes each); fp32 master weights and AdamW's two moments (12 bytes).
    ZeRO stage 1 splits the optimiser's 12 bytes over the ranks, 2 the gradients too, 3 the weights too.
    """
    weights = 2 * parameters / (ranks if zero_stage >= 3 else 1)
    gradients = 2 * parameters / (ranks if zero_stage >= 2 else 1)
    optimiser = 12 * parameters / (ranks if zero_stage >= 1 else 1)
    return round(weights + gradients + optimiser)
