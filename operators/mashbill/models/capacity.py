"""Where small models are trained, and how many at once: one on a core, on a GPU as many as its memory
holds."""

from mashbill.config import ModelShape, ProxyConfig
from mashbill.models.sizes import parameter_count

GPU_SHARE = 0.7  # of the free memory
LOGITS_BYTES = 3 * 2**30  # of a chunk of logits, its gradient and what the allocator keeps apart


def capacity(config: ProxyConfig, vocabulary: int, processes: int) -> tuple[int, int]:
    """Proxies that are trained at once, and in how many processes of so many that may be had.

    A GPU is for one process: it is the stack that fills it.
    """
    return stack_size(config, vocabulary), processes if device_of(config) == "cpu" else 1


def stack_size(config: ProxyConfig, vocabulary: int) -> int:
    """Proxies of a stack."""
    if config.stack != "auto":
        return config.stack
    if device_of(config) == "cpu":
        return 1
    import torch

    free, _ = torch.cuda.mem_get_info()
    return members_within(int(free * GPU_SHARE), config, vocabulary)


def device_of(config: ProxyConfig) -> str:
    """Where proxies are trained: auto is the GPU where there is one."""
    import torch

    if config.device != "auto":
        return config.device
    return "cuda" if torch.cuda.is_available() else "cpu"


def members_within(memory: int, config: ProxyConfig, vocabulary: int) -> int:
    """Proxies whose weights, optimiser and activations fit into so many bytes; at least one."""
    return max(1, (memory - LOGITS_BYTES) // training_bytes(config.model, vocabulary, config.batch_sequences))


def training_bytes(shape: ModelShape, vocabulary: int, batch_sequences: int) -> int:
    """Bytes that training one model on one device takes, logits left out.

    fp32 weights, gradients and AdamW's two moments, and a bf16 copy of the weights (18 bytes a parameter); of
    each token and layer what backward needs, about 18 values of the width and 5 of the feed-forward layer,
    counted at 4 bytes.
    """
    blocks = sum(18 * shape.width + 5 * block.feed_forward for block in shape.blocks)
    kept = blocks + 4 * shape.width
    return 18 * parameter_count(shape, vocabulary) + 4 * kept * batch_sequences * shape.context
