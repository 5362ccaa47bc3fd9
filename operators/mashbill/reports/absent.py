"""What the report does without: results of stages that failed or were left out. Their records are read as
empty ones, and the page says which are missing."""

from collections.abc import Mapping
from typing import Protocol, Self, TypeVar

from mashbill.artifacts import Artifact
from mashbill.evaluation.record import Evaluation
from mashbill.mixtures import Choice, Forecast, Recipes, Validation
from mashbill.proxies.ladder import Ladder
from mashbill.training.events import Events


class Filed(Protocol):
    """A record that an artifact holds."""

    @classmethod
    def read(cls, place: Artifact) -> Self:
        """The record."""


Absent = TypeVar("Absent", bound=Filed)
WORDS = {
    "bootstrap": "There is no family of proxies",
    "baselines": "There are no mixtures of other methods",
    "ladder": "There is no ladder, so nothing is known of other sizes",
    "validate": "No mixture was trained again to validate the choice",
    "forecast": "There is no forecast of the final loss",
    "train": "There is no final model",
    "evaluate": "No final model was evaluated",
}
NO_LADDER = Ladder(rungs=(), agreement=())
NO_VALIDATION = Validation(target={}, sizes=())
NO_FORECAST = Forecast(
    mixture="",
    target={},
    parameters=0,
    tokens=0,
    steps=0,
    batch_tokens=0,
    learning_rate=0.0,
    final=None,
    refused="",
    runs=(),
)
NO_RECIPES, NO_EVENTS = Recipes({}), Events(())


def said_of_absent(inputs: Mapping[str, Artifact]) -> list[str]:
    """A sentence for each result that is not there."""
    why = "failed, or was left out"
    return [f"{words}: the stage {name} {why}." for name, words in WORDS.items() if name not in inputs]


def read_or(inputs: Mapping[str, Artifact], stage: str, absent: Absent) -> Absent:
    """A stage's record, or the empty one where its result is not there."""
    return type(absent).read(inputs[stage]) if stage in inputs else absent


def not_evaluated(choice: Choice) -> Evaluation:
    """What is known of models that were not evaluated: the predictions."""
    return Evaluation(
        models={},
        predicted={name: prediction.loss for name, prediction in choice.predictions.items()},
        measured={},
        gain_predicted=choice.gain,
        gain_measured=None,
        schedule_gain_measured=None,
    )
