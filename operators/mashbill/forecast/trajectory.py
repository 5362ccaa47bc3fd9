"""A run on its way: where its loss was measured, and by which schedule it was trained."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Trajectory:
    """A run, measured now and then.

    Attributes:
        parameters: of the model; tokens: of the run; batch_tokens: of a step.
        warmup_share: of the steps; last_rate: the last learning rate over the highest.
        steps_measured: [points] rising, the last at the end; losses: [points] there. Empty of a run to come.
    """

    parameters: int
    tokens: int
    batch_tokens: int
    warmup_share: float
    last_rate: float
    steps_measured: np.ndarray
    losses: np.ndarray

    @property
    def steps(self) -> int:
        """Of the whole run."""
        return max(1, round(self.tokens / self.batch_tokens))

    @property
    def shares(self) -> np.ndarray:
        """[points] shares of the run at which it was measured."""
        return self.steps_measured / self.steps_measured[-1]

    def falls_at(self, shares: np.ndarray) -> np.ndarray:
        """[shares] log losses over that at the end, at shares of the run."""
        falls = np.log(self.losses / self.losses[-1])
        return np.interp(np.log(shares), np.log(self.shares), falls)

    def rates(self) -> np.ndarray:
        """[steps] learning rates over the highest: linear warm-up, cosine."""
        steps = np.arange(self.steps)
        warmup = max(1, round(self.steps * self.warmup_share))
        done = np.clip((steps - warmup) / max(1, self.steps - 1 - warmup), 0, 1)
        cosine = self.last_rate + (1 - self.last_rate) * 0.5 * (1 + np.cos(np.pi * done))
        return np.where(steps < warmup, (steps + 1) / warmup, cosine)
