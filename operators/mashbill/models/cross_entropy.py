"""Cross-entropy fused with the output layer, chunk by chunk, its gradients computed in the forward pass.

The output layer of a tiny model is most of its work; logits of a whole batch would be most of its memory
traffic. Here the logits of a chunk live in one small buffer, and are turned into their own gradient in place.
Several models stand along a leading axis: on a CPU one after the other, as a chunk then stays in the cache;
on a GPU all at once, as it is the launches that cost there.
"""

from collections.abc import Iterator
from typing import Any

import torch

from mashbill.models.sizes import CHUNK_TOKENS, GPU_CHUNK_LOGITS


class FusedCrossEntropy(torch.autograd.Function):
    """Mean cross-entropy of ``hidden @ weight.T`` against targets, in nats, of each of several models; to it
    the z-loss may be added, a multiple of the squared logarithm of the softmax's normaliser (PaLM, arXiv
    2204.02311, section 5)."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        targets: torch.Tensor,
        counted: torch.Tensor | None = None,
        z_loss: float = 0.0,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """[models] losses, with the gradients kept for backward, and [models] their cross-entropy alone,
        which has none.

        Args:
            ctx: autograd's context.
            hidden: [models, tokens, width].
            weight: [models, vocabulary, width].
            targets: [models, tokens] int64.
            counted: [models, tokens] whether a target counts; without it all do.
            z_loss: factor of the z-loss.
        """
        loss, squares = (torch.zeros(len(hidden), dtype=torch.float32, device=hidden.device) for _ in "ab")
        hidden_gradient, weight_gradient = torch.empty_like(hidden), torch.zeros_like(weight)
        count = _count(hidden, counted)
        for which, tokens in _chunks(hidden, weight):
            rows, target, matrix = (
                hidden[which][..., tokens, :],
                targets[which][..., tokens, None],
                weight[which],
            )
            kept = None if counted is None else counted[which][..., tokens, None].float()
            logits = (rows @ matrix.transpose(-1, -2)).float()
            normaliser = torch.logsumexp(logits, -1, keepdim=True)
            loss[which] += _total(normaliser - logits.gather(-1, target), kept)
            gradient = logits.sub_(normaliser).exp_()
            if z_loss:
                squares[which] += _total(normaliser.square(), kept)
                gradient.mul_(1 + 2 * z_loss * normaliser)
            gradient.scatter_add_(-1, target, torch.full_like(target, -1, dtype=gradient.dtype))
            gradient = _weighted(gradient, count, which, kept=kept).to(hidden.dtype)
            hidden_gradient[which][..., tokens, :] = gradient @ matrix
            _add_product(weight_gradient[which], gradient.transpose(-1, -2), rows)
        ctx.save_for_backward(hidden_gradient, weight_gradient)
        plain = loss / count
        ctx.mark_non_differentiable(plain)
        return plain + z_loss * squares / count, plain

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[torch.Tensor, torch.Tensor, None, None, None]:
        """Scale the kept gradients."""
        hidden_gradient, weight_gradient = ctx.saved_tensors
        scale = gradients[0].to(hidden_gradient.dtype)[:, None, None]
        return hidden_gradient * scale, weight_gradient * scale, None, None, None


def matrix_dtype(hidden: torch.Tensor) -> torch.dtype:
    """The dtype of the output layer's product: autocast's where it is on, else that of its input."""
    kind = hidden.device.type
    cast = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
    return torch.get_autocast_dtype(kind) if cast else hidden.dtype


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


def _count(hidden: torch.Tensor, counted: torch.Tensor | None) -> int | torch.Tensor:
    """Targets that count: of all models alike, or [models]."""
    return hidden.shape[1] if counted is None else counted.sum(-1).clamp(min=1)


def _total(values: torch.Tensor, kept: torch.Tensor | None) -> torch.Tensor:
    """The sum over tokens, [..., tokens, 1], of those that are kept."""
    return (values if kept is None else values * kept).sum((-1, -2))


def _weighted(
    gradient: torch.Tensor, count: int | torch.Tensor, which: int | slice, *, kept: torch.Tensor | None
) -> torch.Tensor:
    """The gradient of a mean over so many tokens, in place, none of it for tokens that are not kept."""
    if kept is None or not isinstance(count, torch.Tensor):
        return gradient.mul_(1 / count)
    return gradient.mul_(kept / count[which][..., None, None])
