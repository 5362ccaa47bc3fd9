"""Cross-entropy fused with the output layer, chunk by chunk, its gradients computed in the forward pass.

The output layer of a tiny model is most of its work; logits of a whole batch would be most of its memory traffic. Here
the logits of a chunk live in one small buffer, and are turned into their own gradient in place.
"""

from typing import Any

import torch

CHUNK_TOKENS = 512


class FusedCrossEntropy(torch.autograd.Function):
    """Mean cross-entropy of ``hidden @ weight.T`` against targets, in nats."""

    @staticmethod
    def forward(ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Loss, with the gradients kept for backward.

        Args:
            ctx: autograd's context.
            hidden: [tokens, width].
            weight: [vocabulary, width].
            targets: [tokens] int64.
        """
        count = hidden.shape[0]
        loss = torch.zeros((), dtype=torch.float32, device=hidden.device)
        hidden_gradient, weight_gradient = torch.empty_like(hidden), torch.zeros_like(weight)
        for start in range(0, count, CHUNK_TOKENS):
            rows, target = hidden[start : start + CHUNK_TOKENS], targets[start : start + CHUNK_TOKENS, None]
            logits = (rows @ weight.t()).float()
            normaliser = torch.logsumexp(logits, 1, keepdim=True)
            loss += (normaliser - logits.gather(1, target)).sum()
            gradient = logits.sub_(normaliser).exp_()
            gradient.scatter_add_(1, target, torch.full_like(target, -1, dtype=gradient.dtype))
            gradient = gradient.mul_(1 / count).to(hidden.dtype)
            torch.mm(gradient, weight, out=hidden_gradient[start : start + CHUNK_TOKENS])
            weight_gradient.addmm_(gradient.t(), rows)
        ctx.save_for_backward(hidden_gradient, weight_gradient)
        return loss / count

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[torch.Tensor, torch.Tensor, None]:
        """Scale the kept gradients."""
        hidden_gradient, weight_gradient = ctx.saved_tensors
        (gradient,) = gradients
        scale = gradient.to(hidden_gradient.dtype)
        return hidden_gradient * scale, weight_gradient * scale, None
