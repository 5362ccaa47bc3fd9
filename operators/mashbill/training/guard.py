"""The guard over a training's steps: which are skipped, and when training goes back.

Every process judges alike, as the loss and the gradient's norm that it is given are those of all processes.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from mashbill.artifacts import Part
from mashbill.config.final_run import GuardConfig

FEWEST = 2  # a window that is filled to one part in so many is judged by


class GuardState(Part):
    """What a guard judges by: losses and gradient norms of the steps that were taken, the last of them."""

    losses: tuple[float, ...]
    norms: tuple[float, ...]


@dataclass
class Guard:
    """Skips steps whose loss or gradient norm is no number, or a spike over those before.

    Attributes:
        settings: of the guard.
        losses, norms: of the steps that were taken, the last of them.
        skipped: steps skipped one after the other until now.
    """

    settings: GuardConfig
    losses: deque[float] = field(init=False)
    norms: deque[float] = field(init=False)
    skipped: int = 0

    def __post_init__(self) -> None:
        self.losses = deque(maxlen=self.settings.window)
        self.norms = deque(maxlen=self.settings.window)

    def judge(self, loss: float, norm: float) -> str | None:
        """Why a step is not to be taken, or None: then it counts among those that others are judged by.

        Args:
            loss: mean over the global batch.
            norm: of the gradient, before clipping.
        """
        reason = self._spike("loss", loss, self.losses) or self._spike("gradient norm", norm, self.norms)
        if reason is None:
            self.losses.append(loss)
            self.norms.append(norm)
            self.skipped = 0
        else:
            self.skipped += 1
        return reason

    @property
    def gives_up(self) -> bool:
        """Whether so many steps were skipped in a row that training has to go back."""
        return self.skipped >= self.settings.rollback_after

    def state(self) -> GuardState:
        """What a checkpoint holds of it."""
        return GuardState(losses=tuple(self.losses), norms=tuple(self.norms))

    def restore(self, state: GuardState) -> None:
        """Go on as when a checkpoint was taken, with nothing skipped."""
        self.losses = deque(state.losses, self.settings.window)
        self.norms = deque(state.norms, self.settings.window)
        self.skipped = 0

    def _spike(self, what: str, value: float, before: Sequence[float]) -> str | None:
        if not math.isfinite(value):
            return f"its {what} is {value}"
        if len(before) * FEWEST < self.settings.window:
            return None
        mean, deviation = float(np.mean(before)), float(np.std(before, ddof=1))
        if value <= mean + self.settings.deviations * deviation:
            return None
        over = (value - mean) / deviation if deviation else math.inf
        return f"its {what} of {value:.4g} is {over:.1f} deviations above {mean:.4g}, the mean before"
