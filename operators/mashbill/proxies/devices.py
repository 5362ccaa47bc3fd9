"""How many proxies are trained at once: one on a core, on a GPU as many as its memory holds."""

from mashbill.config import ProxyConfig
from mashbill.models.sizes import training_bytes

GPU_SHARE = 0.7  # of the free memory
LOGITS_BYTES = 3 * 2**30  # of a chunk of logits, its gradient and what the allocator keeps apart


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
