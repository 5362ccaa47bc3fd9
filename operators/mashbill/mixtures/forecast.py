"""The forecast of a final model: its last loss, its curve with a band, and what both rest on."""

from collections.abc import Sequence
from itertools import pairwise
from math import exp, log

from pydantic import Field

from mashbill.artifacts import Part, Record


class LawConstants(Part):
    """L = E + alpha N^b + beta 6^(b/2) (M N)^b, with N parameters and M tokens for each of them."""

    E: float
    alpha: float
    beta: float
    b: float


class SmallRun(Part):
    """A run that a forecast rests on.

    Attributes:
        parameters: embeddings among them; tokens: trained on, in batches of batch_tokens.
        learning_rate: the highest; seed: which of the runs of this size and budget it is.
        loss: the last, in bits per byte of the target; None where it diverged.
        fitted: whether the law was fitted to it.
        origin: ladder, or sweep for the proxies' prediction of the chosen mixture.
    """

    parameters: int
    tokens: int
    batch_tokens: int
    learning_rate: float
    seed: int
    loss: float | None
    fitted: bool
    origin: str = "ladder"


class HeldOut(Part):
    """The largest runs, forecast from the smaller ones.

    Attributes:
        runs: how many were held out; error: root of the mean square of their log losses' errors.
        expected: the same by the forecast's own account of itself; widened: what the interval was multiplied
            by.
    """

    runs: int
    error: float
    expected: float
    widened: float


class CurveForm(Part):
    """How the loss falls on the way.

    Attributes:
        name: the form that was taken.
        errors: by form, root of the mean square of the log losses' errors on runs of a size that was left
            out.
    """

    name: str
    errors: dict[str, float]


class Band(Part):
    """A loss expected at steps of a run, and what it lies between.

    Attributes:
        steps: rising, the last is the run's; expected, low, high: bits per byte of the target at each.
    """

    steps: tuple[int, ...]
    expected: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    def band_at(self, step: int) -> tuple[float, float] | None:
        """What the loss lies between after so many steps; None before the first step that is spoken of, and
        after the last."""
        if not self.steps or not self.steps[0] <= step <= self.steps[-1]:
            return None
        return _between(self.steps, self.low, step), _between(self.steps, self.high, step)


class FinalLoss(Part):
    """What a final model is expected to come to.

    Attributes:
        loss: bits per byte of the target at the end; interval: with the coverage.
        constants: of the law; prior: what they lean on; empty where they rest on the runs alone.
        noise: deviation of a run's log loss from the law: what a seed does, and what the law misses.
        held_out: None where too few runs are left without the largest.
        parameters_factor, tokens_factor: how many times beyond the largest runs the final model lies.
        curve: None where no run was measured on the way; band: of the loss by step.
    """

    loss: float
    interval: tuple[float, float]
    coverage: float
    constants: LawConstants
    prior: str
    noise: float
    held_out: HeldOut | None
    parameters_factor: float
    tokens_factor: float
    curve: CurveForm | None
    band: Band | None


class Forecast(Record):
    """A forecast of the final model on one mixture.

    Attributes:
        mixture: its name; target: weight of each set that the loss is of.
        parameters, tokens, steps, batch_tokens, learning_rate: of the final model.
        final: None where there is no forecast; refused: why, empty where there is one.
        runs: what it rests on.
        cautions: what weakens it here; unknown: what it cannot know.
    """

    FILE = "forecast.json"
    mixture: str
    target: dict[str, float]
    parameters: int
    tokens: int
    steps: int
    batch_tokens: int
    learning_rate: float
    final: FinalLoss | None
    refused: str
    runs: tuple[SmallRun, ...]
    cautions: tuple[str, ...] = Field(())
    unknown: tuple[str, ...] = Field(())


def _between(steps: Sequence[int], values: Sequence[float], step: int) -> float:
    """A value between those of two steps, straight in the logarithms of both."""
    for (before, after), (low, high) in zip(pairwise(steps), pairwise(values), strict=True):
        if before <= step <= after and before < after:
            share = log(step / before) / log(after / before)
            return exp((1 - share) * log(low) + share * log(high))
    return values[0]
