"""How many questions a model reads at once: what the logits of its longest ones leave room for."""

from pathlib import Path

GPU_SHARE, CPU_SHARE = 0.5, 0.25
LARGEST = 64
UNKNOWN = 2 * 2**30
"""Bytes that are taken to be free where the system does not say."""
LOGIT_BYTES = 12
"""Of a logit: as it is computed, in full precision, and its logarithm."""
ACTIVATION_BYTES = 64
"""Of a value of the width: what a layer has in hand, and its feed-forward part."""


def rows_within(memory: int, *, context: int, vocabulary: int, width: int) -> int:
    """Questions of a whole context that fit into so many bytes; at least one.

    Args:
        memory: bytes.
        context: tokens; vocabulary, width: of the model.
    """
    row = context * (LOGIT_BYTES * vocabulary + ACTIVATION_BYTES * width)
    return max(1, min(LARGEST, memory // row))


def free_memory(device: str, processes: int = 1) -> int:
    """Bytes that one of so many processes may take for a batch."""
    if device == "cuda":
        import torch

        free, _ = torch.cuda.mem_get_info()
        return int(free * GPU_SHARE) // processes
    return int(_available() * CPU_SHARE) // processes


def _available() -> int:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return UNKNOWN
    kilobytes = next((line.split()[1] for line in lines if line.startswith("MemAvailable")), None)
    return int(kilobytes) * 1024 if kilobytes else UNKNOWN
