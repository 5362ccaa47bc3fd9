"""How a model is optimised, shared by proxies and final models: schedule, weight decay, precision."""

import functools
import math
from pathlib import Path
from typing import Any

import torch


def learning_rate_at(step: int, steps: int, peak: float, *, minimum: float, warmup_share: float) -> float:
    """Linear warm-up to the peak, then a cosine to the minimum at the last step.

    Args:
        step: step about to be taken, from 0.
        steps: steps of the run.
        peak: highest rate.
        minimum: rate at the end.
        warmup_share: share of the steps that warm up.
    """
    warmup = max(1, round(steps * warmup_share))
    if step < warmup:
        return peak * (step + 1) / warmup
    done = (step - warmup) / max(1, steps - 1 - warmup)
    return minimum + (peak - minimum) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def weight_decay_groups(model: torch.nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups for AdamW: matrices decay, norms don't."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]


def resolve_precision(precision: str, device: str = "cpu") -> torch.dtype:
    """The dtype of matrix products: auto is bf16 where the hardware multiplies in it, as elsewhere it is
    slower."""
    if precision != "auto":
        return torch.bfloat16 if precision == "bf16" else torch.float32
    if device.startswith("cuda"):
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    return torch.bfloat16 if _cpu_multiplies_bf16() else torch.float32


@functools.cache
def _cpu_multiplies_bf16() -> bool:
    try:
        flags = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    except OSError:
        return False
    return bool({"avx512_bf16", "amx_bf16"} & flags)
