"""AdamW as its paper has it, in numpy: what any optimiser of ours is held against."""

from collections.abc import Mapping

import numpy as np
import torch


class PlainAdamW:
    """Loshchilov and Hutter 2019, algorithm 2, with clipping by the norm of the whole gradient.

    Args:
        weights: by name; matrices decay, what has one axis doesn't.
        weight_decay, gradient_clip: as in the config.
    """

    def __init__(
        self, weights: Mapping[str, np.ndarray], *, weight_decay: float, gradient_clip: float
    ) -> None:
        self.weights = {name: weight.astype(np.float64) for name, weight in weights.items()}
        self.first = {name: np.zeros_like(weight) for name, weight in self.weights.items()}
        self.second = {name: np.zeros_like(weight) for name, weight in self.weights.items()}
        self.weight_decay, self.gradient_clip, self.steps = weight_decay, gradient_clip, 0

    def step(self, gradients: Mapping[str, np.ndarray], rate: float) -> None:
        """One step down the gradients."""
        self.steps += 1
        norm = np.sqrt(sum((gradient.astype(np.float64) ** 2).sum() for gradient in gradients.values()))
        for name, weight in self.weights.items():
            gradient = gradients[name] * min(1.0, self.gradient_clip / norm)
            self.first[name] = 0.9 * self.first[name] + 0.1 * gradient
            self.second[name] = 0.95 * self.second[name] + 0.05 * gradient**2
            mean = self.first[name] / (1 - 0.9**self.steps)
            square = self.second[name] / (1 - 0.95**self.steps)
            decay = self.weight_decay if weight.ndim > 1 else 0.0
            self.weights[name] = weight - rate * (mean / (np.sqrt(square) + 1e-8) + decay * weight)


def arrays_of(model: torch.nn.Module) -> dict[str, np.ndarray]:
    """Weights of a model by name; a tied one once."""
    return {name: weight.detach().numpy().copy() for name, weight in model.named_parameters()}


def put_into(model: torch.nn.Module, weights: Mapping[str, np.ndarray]) -> None:
    """Give a model these weights."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.copy_(torch.from_numpy(weights[name]))


def plain_gradients(model: torch.nn.Module, loss: torch.Tensor) -> dict[str, np.ndarray]:
    """Gradient of a loss by the weights' names."""
    names, weights = zip(*model.named_parameters(), strict=True)
    return dict(zip(names, (g.numpy() for g in torch.autograd.grad(loss, weights)), strict=True))


def target_losses(model: torch.nn.Module, sequences: torch.Tensor) -> torch.Tensor:
    """[sequences, context] cross-entropy of each token but the first given those before it, from logits."""
    logits = model(sequences[:, :-1])
    return -torch.log_softmax(logits, -1).gather(-1, sequences[:, 1:, None])[..., 0]
