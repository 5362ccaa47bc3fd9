"""The choice of a mixture: what is expected of it, what stands beside it, and what it hangs on."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from pydantic import Field

from mashbill.artifacts import Part, Record
from mashbill.mixtures.mixture import MixtureTable

CHOSEN, NATURAL = "chosen", "natural"
MIXTURE = "mixture.csv"


class Prediction(Part):
    """A predicted target loss, with the interval of the coverage that was asked for."""

    loss: float
    interval: tuple[float, float]


class PredictedMixture(Part):
    """A mixture and what is expected of it."""

    mixture: dict[str, float]
    loss: float
    interval: tuple[float, float]

    @property
    def prediction(self) -> Prediction:
        """The prediction alone."""
        return Prediction(loss=self.loss, interval=self.interval)


class Sensitivity(Part):
    """What one domain does to the predicted loss of a choice.

    Attributes:
        weight: in the choice.
        without, halved, doubled: change of the loss when the weight changes so and the others make room in
            proportion, whatever the limits.
        as_good: least and greatest weight among mixtures around the choice, within the limits, that are as
            good.
    """

    weight: float
    without: float
    halved: float
    doubled: float
    as_good: tuple[float, float]


class Choice(Record):
    """A chosen mixture.

    Attributes:
        mixture: weight by domain.
        predicted: its target loss.
        baselines: other mixtures by name, ``natural`` among them.
        regressor: name of the one that predicted.
        gain: predicted loss of natural less that of the choice; gain_interval: with the noise of the
            difference.
        sets: predicted loss by set, and by mixture's name.
        nearest_sampled: sum of absolute differences from the nearest run's mixture; outside_sampled: whether
            runs lie closer to one another than that.
        target: weight of each set.
        limits: a line for each limit that the choice touches.
        sensitivity: by domain.
        epochs: times the final run reads each domain, where its tokens are known.
    """

    FILE = "choice.json"
    mixture: dict[str, float]
    predicted: Prediction
    baselines: dict[str, PredictedMixture]
    regressor: str
    gain: float
    gain_interval: tuple[float, float]
    sets: dict[str, dict[str, float]]
    nearest_sampled: float
    outside_sampled: bool
    target: dict[str, float]
    limits: tuple[str, ...]
    sensitivity: dict[str, Sensitivity]
    epochs: dict[str, float] = Field(default_factory=dict)

    @property
    def mixtures(self) -> dict[str, dict[str, float]]:
        """The choice and the mixtures beside it, by name."""
        return {CHOSEN: self.mixture, **{name: entry.mixture for name, entry in self.baselines.items()}}

    @property
    def predictions(self) -> dict[str, Prediction]:
        """What is expected of each of them."""
        return {CHOSEN: self.predicted, **{name: entry.prediction for name, entry in self.baselines.items()}}

    def table(self) -> MixtureTable:
        """The chosen mixture as a table of one row."""
        return table_of(self.mixture)

    def write(self, folder: Path) -> None:
        """Write the record, and the chosen mixture as a table beside it."""
        super().write(folder)
        self.table().write(folder / MIXTURE)


class Decision(Record):
    """What the gate decided.

    Attributes:
        decision: train, or ask a person.
        reason: a sentence.
        gain, gain_interval: what was predicted over natural.
    """

    FILE = "decision.json"
    decision: str
    reason: str
    gain: float
    gain_interval: tuple[float, float]


def table_of(mixture: Mapping[str, float]) -> MixtureTable:
    """One mixture as a table."""
    return MixtureTable(np.arange(1), tuple(mixture), np.array([list(mixture.values())], np.float64))
