"""The model that a training goes on from, as the config names it: looked at, and known by its files."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mashbill.config import PipelineConfig
from mashbill.config.check import Check
from mashbill.models.folder import look_at_model
from mashbill.storage import local_path, path_identity

SETTING = "training.initial"


def initial_folder(config: PipelineConfig) -> Path | None:
    """The local folder of the model to go on from; None where there is none."""
    given = config.training.initial
    return local_path(config, SETTING, given) if given else None


def check_initial(config: PipelineConfig) -> Iterator[Check]:
    """Whether the model to go on from is there and whole."""
    given = config.training.initial
    if given:
        yield Check(
            SETTING, lambda: look_at_model(local_path(config, SETTING, config.training.initial or ""))
        )


def initial_identity(config: PipelineConfig) -> Any:
    """Changes when the model to go on from is written anew; None where there is none."""
    given = config.training.initial
    return path_identity(config, SETTING, given) if given else None
