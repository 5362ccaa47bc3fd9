"""How fast a training goes, and how long it has to go, in one line of words."""

from collections import deque

import numpy as np

from mashbill.training.amounts import count, duration, short
from mashbill.training.metrics import model_flops_utilisation

LAST_STEPS = 50


class Pace:
    """The speed of the last steps.

    The time left is the median of the last steps times the steps left: a run that was resumed, or a step that
    waited for a checkpoint, does not bend it.

    Args:
        steps: of the run.
        batch_tokens: tokens of a global batch.
        flops_per_token: forward and backward.
        peak_flops: of one processor; None where it is not known.
        processors: of the run.
    """

    def __init__(
        self,
        *,
        steps: int,
        batch_tokens: int,
        flops_per_token: float,
        peak_flops: float | None,
        processors: int,
    ) -> None:
        self.steps, self.batch_tokens = steps, batch_tokens
        self.flops_per_token, self.peak_flops, self.processors = flops_per_token, peak_flops, processors
        self.seconds: deque[float] = deque(maxlen=LAST_STEPS)

    def took(self, seconds: float) -> None:
        """A step was done in so many seconds."""
        self.seconds.append(seconds)

    @property
    def step_seconds(self) -> float | None:
        """Median of the last steps; None before the first."""
        return float(np.median(self.seconds)) if self.seconds else None

    @property
    def tokens_per_second(self) -> float | None:
        """Of all processes together; None before the first step."""
        seconds = self.step_seconds
        return self.batch_tokens / seconds if seconds else None

    @property
    def mfu(self) -> float | None:
        """Share of the peak; None where that is not known."""
        tokens = self.tokens_per_second
        if tokens is None:
            return None
        return model_flops_utilisation(
            tokens, self.flops_per_token, peak_flops=self.peak_flops, processors=self.processors
        )

    def seconds_left(self, step: int) -> float | None:
        """Seconds from a step to the end; None before the first."""
        seconds = self.step_seconds
        return None if seconds is None else seconds * max(0, self.steps - step)

    def words(self, step: int, loss: float) -> str:
        """``step 1200 of 48,000, loss 2.71, 412k tokens/s, 41.2% MFU, 15 h 20 min left``."""
        parts = [f"step {count(step)} of {count(self.steps)}", f"loss {loss:.2f}"]
        tokens, mfu, left = self.tokens_per_second, self.mfu, self.seconds_left(step)
        if tokens is not None:
            parts.append(f"{short(tokens)} tokens/s")
        if mfu is not None:
            parts.append(f"{mfu:.1%} MFU")
        if left is not None:
            parts.append(f"{duration(left)} left")
        return ", ".join(parts)
