"""What every filter is: settings in, a verdict on each document of a batch out."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa

from mashbill.artifacts import StageRun
from mashbill.config import PipelineConfig
from mashbill.config.check import Check
from mashbill.storage import path_identity

KEPT = 0


@dataclass(frozen=True)
class Verdict:
    """What a filter says of a batch of documents.

    Attributes:
        codes: [documents] index into the filter's reasons; 0 means kept.
        texts: [documents] the texts as the filter leaves them, where it changes any; None where it changes
            none.
        counts: further figures by name, added up in the report.
    """

    codes: np.ndarray
    texts: pa.Array | None
    counts: dict[str, int]


class Filter(ABC):
    """Decides on documents, in batches; several threads call the same one.

    Attributes:
        name: its section in ``[filters]``, and its module in this package.
        reasons: what its codes stand for; the first is ``kept``.
        metadata_field: the field of documents' metadata by which it decides, where it does: a domain none of
            whose documents has it is told.
    """

    name: ClassVar[str] = ""
    reasons: tuple[str, ...]
    metadata_field: str | None = None

    @abstractmethod
    def __init__(self, settings: Any) -> None:
        """Take the settings of its section."""

    @classmethod
    def for_run(cls, run: StageRun) -> Self:
        """The filter as the config sets it; one that reads more than its section reads it here."""
        return cls(run.config.filters.settings_of(cls.name))

    @classmethod
    def files(cls, config: PipelineConfig) -> dict[str, str]:
        """Files outside the artifacts that its verdicts depend on, by the setting that gives them."""
        del config
        return {}

    @classmethod
    def checks(cls, config: PipelineConfig) -> Iterator[Check]:
        """Looks at those files before any stage runs: that they are there."""
        for setting, given in cls.files(config).items():
            yield Check(setting, partial(_is_there, config, setting, given))

    @abstractmethod
    def __call__(self, texts: pa.Array, metadata: pa.Array) -> Verdict:
        """Decide on [documents] texts; metadata are JSON strings."""


def _is_there(config: PipelineConfig, setting: str, given: str) -> str:
    path_identity(config, setting, given)
    return f"{given} is there"
