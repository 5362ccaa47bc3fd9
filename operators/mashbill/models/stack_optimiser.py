"""AdamW for a stack: every model has a learning rate, a weight decay and a largest gradient norm of its own.

The arithmetic is torch's AdamW, so that a stacked model's steps are those it would take alone. Nothing is
read back from the device, so that a step can be captured in a CUDA graph.
"""

from collections.abc import Iterable, Sequence
from typing import TypedDict

import torch

EPSILON = 1e-8


class StackedState(TypedDict):
    """Of the optimiser: steps taken, and means and mean squares of the gradients, [models, ...] each."""

    taken: torch.Tensor
    means: list[torch.Tensor]
    squares: list[torch.Tensor]


class StackedAdamW:
    """Optimiser of tensors with a leading axis of models.

    Args:
        parameters: [models, ...] each; matrices (three axes) decay, norms (two) don't.
        weight_decay: [models].
        gradient_clip: [models] largest norm of each model's whole gradient.
        betas: of AdamW.
    """

    def __init__(
        self,
        parameters: Iterable[torch.nn.Parameter],
        weight_decay: Sequence[float],
        gradient_clip: Sequence[float],
        *,
        betas: tuple[float, float],
    ) -> None:
        self.parameters, self.betas = list(parameters), betas
        device = self.parameters[0].device
        self.weight_decay = torch.tensor(weight_decay, dtype=torch.float32, device=device)
        self.gradient_clip = torch.tensor(gradient_clip, dtype=torch.float32, device=device)
        self.taken = torch.zeros((), dtype=torch.float64, device=device)
        self.means = [torch.zeros_like(p) for p in self.parameters]
        self.squares = [torch.zeros_like(p) for p in self.parameters]

    @torch.no_grad()
    def step(self, rates: torch.Tensor) -> None:
        """Clip and apply the gradients, and forget them.

        Args:
            rates: [models] learning rates.
        """
        gradients = [p.grad for p in self.parameters]
        norms = torch.stack(
            [torch.linalg.vector_norm(g.flatten(1), dim=1) for g in gradients if g is not None]
        ).norm(dim=0)
        shares = (self.gradient_clip / (norms + 1e-6)).clamp(max=1.0)
        self.taken += 1
        one, two = (1 - beta**self.taken for beta in self.betas)
        sizes, roots = rates / one.float(), two.sqrt().float()
        kept = 1 - rates * self.weight_decay
        for p, mean, square in zip(self.parameters, self.means, self.squares, strict=True):
            assert p.grad is not None
            each = (-1, *[1] * (p.dim() - 1))
            gradient = p.grad * shares.view(each)
            if p.dim() > 2:
                p.mul_(kept.view(each))
            mean.lerp_(gradient, 1 - self.betas[0])
            square.mul_(self.betas[1]).addcmul_(gradient, gradient, value=1 - self.betas[1])
            p.sub_(sizes.view(each) * mean / ((square.sqrt() / roots).add_(EPSILON)))
            p.grad = None

    def state(self) -> StackedState:
        """What a checkpoint keeps."""
        return {"taken": self.taken, "means": self.means, "squares": self.squares}

    def load(self, state: StackedState) -> None:
        """Go on from a checkpoint; tensors are overwritten in place, as a captured graph knows them by
        address."""
        self.taken.copy_(state["taken"])
        for own, given in zip(
            (*self.means, *self.squares), (*state["means"], *state["squares"]), strict=True
        ):
            own.copy_(given)
