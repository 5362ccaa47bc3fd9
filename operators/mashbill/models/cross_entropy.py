"""Cross-entropy fused with the output layer, chunk by chunk, its gradients computed in the forward pass.

The output layer of a tiny model is most of its work; logits of a whole batch would be most of its memory
traffic. Here the logits of a chunk live in one small buffer, and are turned into their own gradient in place;
on a CPU so few at a time in full precision that they stay in the cache.
Several models stand along a leading axis: on a CPU one after the other, as a chunk then stays in the cache;
on a GPU all at once, as it is the launches that cost there.
"""

from collections.abc import Iterator
from typing import Any

import torch

from mashbill.models.sizes import CHUNK_TOKENS, GPU_CHUNK_LOGITS, PART_LOGITS


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
        shares = _shares(targets, counted)
        for which, tokens in _chunks(hidden, weight):
            rows, matrix = hidden[which][..., tokens, :], weight[which]
            chunk = rows @ matrix.transpose(-1, -2)  # [..., tokens, vocabulary] logits, and then gradients
            for part in _parts(chunk):
                target = targets[which][..., tokens, None][..., part, :]
                share = shares[which][..., tokens, None][..., part, :]
                logits = chunk[..., part, :]
                wanted = logits.gather(-1, target).float()
                gradient = logits.float()
                normaliser, total = _exponentiate(gradient)
                loss[which] += ((normaliser - wanted) * share).sum((-1, -2))
                squares[which] += (normaliser.square() * share).sum((-1, -2))
                gradient.mul_(share * (1 + 2 * z_loss * normaliser) / total)
                gradient.scatter_add_(-1, target, -share)
                if gradient is not logits:
                    logits.copy_(gradient)
            hidden_gradient[which][..., tokens, :] = chunk @ matrix
            _add_product(weight_gradient[which], chunk.transpose(-1, -2), rows)
        ctx.save_for_backward(hidden_gradient, weight_gradient)
        plain = loss.clone()
        ctx.mark_non_differentiable(plain)
        return loss + z_loss * squares, plain

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
        chunk = hidden[which][..., tokens, :] @ weight[which].transpose(-1, -2)
        for part in _parts(chunk):
            logits = chunk[..., part, :]
            wanted = logits.gather(-1, targets[which][..., tokens, None][..., part, :]).float()
            normaliser, _ = _exponentiate(logits.float())
            losses[which][..., tokens][..., part] = (normaliser - wanted)[..., 0]
    return losses


def _chunks(hidden: torch.Tensor, weight: torch.Tensor) -> Iterator[tuple[int | slice, slice]]:
    """Which models, and which of their tokens, have their logits in memory at once."""
    models, count, _ = hidden.shape
    on_cpu = hidden.device.type == "cpu"
    size = CHUNK_TOKENS if on_cpu else max(1, GPU_CHUNK_LOGITS // (models * weight.shape[1]))
    for which in range(models) if on_cpu else (slice(None),):
        for start in range(0, count, size):
            yield which, slice(start, start + size)


def _parts(chunk: torch.Tensor) -> Iterator[slice]:
    """Which of a chunk's tokens have their softmax worked out at once."""
    tokens, vocabulary = chunk.shape[-2:]
    whole = chunk.device.type != "cpu" or torch.compiler.is_compiling()  # there one kernel does all of it
    size = tokens if whole else max(1, PART_LOGITS // vocabulary)
    for start in range(0, tokens, size):
        yield slice(start, start + size)


def _add_product(total: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> None:
    if total.dim() == 2:
        total.addmm_(left, right)
    else:
        total.baddbmm_(left, right)


def _shares(targets: torch.Tensor, counted: torch.Tensor | None) -> torch.Tensor:
    """[models, tokens] the share that each target has in its model's mean: none, where it does not count."""
    ones = torch.ones(targets.shape, device=targets.device)
    weights = ones if counted is None else ones * counted
    return weights / weights.sum(-1, keepdim=True).clamp(min=1)


def _exponentiate(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Turn [..., tokens, vocabulary] logits, in place, into their exponentials less the highest's.

    Returns:
        [..., tokens, 1] the logarithm of the softmax's normaliser, and the sum of the exponentials.
    """
    highest = logits.amax(-1, keepdim=True)
    total = logits.sub_(highest).exp_().sum(-1, keepdim=True)
    return total.log() + highest, total
