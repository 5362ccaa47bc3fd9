"""Cross-entropy fused with the output layer, chunk by chunk, its gradients computed in the forward pass.

The output layer of a tiny model is most of its work; logits of a whole batch would be most of its memory
traffic. Here the logits of a chunk live in one small buffer, and are turned into their own gradient in place.
Several models stand along a leading axis: on a CPU one after the other, as a chunk then stays in the cache;
on a GPU all at once, as it is the launches that cost there.
"""

from collections.abc import Iterator
from typing import Any

import torch

CHUNK_TOKENS = 512
GPU_CHUNK_LOGITS = 2**28


class FusedCrossEntropy(torch.autograd.Function):
    """Mean cross-entropy of ``hidden @ weight.T`` against targets, in nats, of each of several models."""

    @staticmethod
    def forward(ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """[models] losses, with the gradients kept for backward.

        Args:
            ctx: autograd's context.
            hidden: [models, tokens, width].
            weight: [models, vocabulary, width].
            targets: [models, tokens] int64.
        """
        count = hidden.shape[1]
        loss = torch.zeros(len(hidden), dtype=torch.float32, device=hidden.device)
        hidden_gradient, weight_gradient = torch.empty_like(hidden), torch.zeros_like(weight)
        for which, tokens in _chunks(hidden, weight):
            rows, target, matrix = (
                hidden[which][..., tokens, :],
                targets[which][..., tokens, None],
                weight[which],
            )
            logits = (rows @ matrix.transpose(-1, -2)).float()
            normaliser = torch.logsumexp(logits, -1, keepdim=True)
            loss[which] += (normaliser - logits.gather(-1, target)).sum((-1, -2))
            gradient = logits.sub_(normaliser).exp_()
            gradient.scatter_add_(-1, target, torch.full_like(target, -1, dtype=gradient.dtype))
            gradient = gradient.mul_(1 / count).to(hidden.dtype)
            hidden_gradient[which][..., tokens, :] = gradient @ matrix
            _add_product(weight_gradient[which], gradient.transpose(-1, -2), rows)
        ctx.save_for_backward(hidden_gradient, weight_gradient)
        return loss / count

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[torch.Tensor, torch.Tensor, None]:
        """Scale the kept gradients."""
        hidden_gradient, weight_gradient = ctx.saved_tensors
        (gradient,) = gradients
        scale = gradient.to(hidden_gradient.dtype)[:, None, None]
        return hidden_gradient * scale, weight_gradient * scale, None


def matrix_dtype(hidden: torch.Tensor) -> torch.dtype:
    """The dtype of the output layer's product: autocast's where it is on, else that of its input."""
    kind = hidden.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype


def token_cross_entropy(hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """[models, tokens] cross-entropy of each target in nats, without gradients; shapes as in
    ``FusedCrossEntropy``."""
    losses = torch.empty(targets.shape, dtype=torch.float32, device=hidden.device)
    for which, tokens in _chunks(hidden, weight):
        logits = (hidden[which][..., tokens, :] @ weight[which].transpose(-1, -2)).float()
        wanted = logits.gather(-1, targets[which][..., tokens, None])[..., 0]
        losses[which][..., tokens] = torch.logsumexp(logits, -1) - wanted
    return losses


def _chunks(hidden: torch.Tensor, weight: torch.Tensor) -> Iterator[tuple[int | slice, slice]]:
    """Which models, and which of their tokens, have their logits in memory at once."""
    models, count, _ = hidden.shape
    on_cpu = hidden.device.type == "cpu"
    size = CHUNK_TOKENS if on_cpu else max(1, GPU_CHUNK_LOGITS // (models * weight.shape[1]))
    for which in range(models) if on_cpu else (slice(None),):
        for start in range(0, count, size):
            yield which, slice(start, start + size)


def _add_product(total: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> None:
    if total.dim() == 2:
        total.addmm_(left, right)
    else:
        total.baddbmm_(left, right)
