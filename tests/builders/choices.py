"""Choices of a mixture as the mix stage writes them, for the stages after it."""

from collections.abc import Mapping
from pathlib import Path

from builders.corpus import folder_as_artifact
from mashbill.artifacts import Artifact
from mashbill.mixtures import Choice, PredictedMixture, Prediction


def write_choice(
    folder: Path,
    mixture: Mapping[str, float],
    target: Mapping[str, float],
    *,
    beside: Mapping[str, Mapping[str, float]] | None = None,
    gain: float = 0.1,
    gain_interval: tuple[float, float] = (0.05, 0.15),
) -> Artifact:
    """A mix artifact whose choice stands beside natural, or beside other mixtures, all at 3 bits."""
    others = beside or {"natural": mixture}
    Choice(
        mixture=dict(mixture),
        predicted=Prediction(loss=3.0, interval=(2.9, 3.1)),
        baselines={
            name: PredictedMixture(mixture=dict(weights), loss=3.0, interval=(2.9, 3.1))
            for name, weights in others.items()
        },
        regressor="gp",
        gain=gain,
        gain_interval=gain_interval,
        sets={},
        nearest_sampled=0.0,
        outside_sampled=False,
        target=dict(target),
        limits=(),
        sensitivity={},
    ).write(folder)
    return folder_as_artifact("mix", folder)
