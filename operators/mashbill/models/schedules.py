"""The learning rate of a run, step by step: an object built once, then asked for each step. No torch needed.

Every schedule warms up linearly to what its law says of the warm-up's last step. Continued training is a run
of its own: it warms up again, from the rate that the earlier run ended with, to a new peak.

Sources: cosine and WSD (linear decay to 0, as in OLMo-core); Power scheduler, arXiv 2408.13359.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Rates(ABC):
    """Learning rates of a run.

    Attributes:
        steps: of the run.
        warmup: steps of warm-up, at least 1.
        start: rate that warm-up starts from.
    """

    steps: int
    warmup: int
    start: float = 0.0

    def rate_at(self, step: int) -> float:
        """The rate of a step, counted from 0; after the last it stays where the schedule ended."""
        if step < self.warmup:
            return self.start + (self.top() - self.start) * (step + 1) / self.warmup
        return self.after(step)

    def top(self) -> float:
        """The rate that warm-up ends with."""
        return self.after(self.warmup)

    @abstractmethod
    def after(self, step: int) -> float:
        """The rate of a step after warm-up."""


@dataclass(frozen=True, kw_only=True)
class Cosine(Rates):
    """Half a cosine from the peak to the minimum at the last step."""

    peak: float
    minimum: float

    def after(self, step: int) -> float:
        """The rate of a step after warm-up."""
        done = (step - self.warmup) / max(1, self.steps - 1 - self.warmup)
        return self.minimum + (self.peak - self.minimum) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


@dataclass(frozen=True, kw_only=True)
class Decaying(Rates):
    """A course that ends in a linear decay to 0, which is reached as the last step is done.

    Attributes:
        decay: steps of the decay.
    """

    decay: int

    def after(self, step: int) -> float:
        """The rate of a step after warm-up."""
        turn = self.steps - self.decay
        if step <= turn:
            return self.course(step)
        return self.course(turn) * max(0, self.steps - step) / self.decay

    def top(self) -> float:
        """The rate that warm-up ends with, also in a run so short that it decays at once."""
        return self.course(self.warmup)

    @abstractmethod
    def course(self, step: int) -> float:
        """The rate of a step before the decay."""


@dataclass(frozen=True, kw_only=True)
class WarmupStableDecay(Decaying):
    """WSD: constant at the peak between warm-up and decay."""

    peak: float

    def course(self, step: int) -> float:
        """The peak."""
        del step
        return self.peak


@dataclass(frozen=True, kw_only=True)
class Power(Decaying):
    """The Power scheduler: a power law of the tokens seen, the same whatever the run's length.

    Attributes:
        batch: sequences of a global batch; batch_tokens: its tokens.
        amplitude, exponent: the law's a and b.
        max_rate: cap of batch x a x tokens ^ b.
        scale: of the rate, for a model that is wider than the law's.
    """

    batch: int
    batch_tokens: int
    amplitude: float
    exponent: float
    max_rate: float
    scale: float = 1.0

    def course(self, step: int) -> float:
        """The law's rate, the step's own tokens among those seen."""
        seen = (step + 1) * self.batch_tokens
        return self.scale * min(self.max_rate, self.batch * self.amplitude * seen**self.exponent)
