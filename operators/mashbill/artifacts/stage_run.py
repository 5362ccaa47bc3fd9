"""What a stage is given: its config, its inputs, and where to write. It knows neither Airflow nor where it
runs."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from mashbill.artifacts.artifact import Artifact
from mashbill.artifacts.output import Output
from mashbill.artifacts.progress import Progress
from mashbill.config import PipelineConfig
from mashbill.storage import Storage, open_storage

Counts = dict[str, Any]
"""Small numbers about what a stage did, by name: they go to the manifest, the report and XCom."""


@dataclass(frozen=True)
class StageRun:
    """One attempt at a stage, or at one part of it.

    Attributes:
        config: the sections that the table names for the stage; reading another raises RunError.
        inputs: artifacts of the stages before it, by stage.
        files: where files of the artifact are written, by this process or by tasks on other machines.
        scratch: a local folder kept between attempts at the same fingerprint (checkpoints), removed on
            commit.
        shared: what all tasks of the stage reach, wherever they run: that folder, or one in the store.
        progress: called with the share done and a message.
        part: name of the part to run, for a stage that splits.
        parts: finished parts by name, for the run that collects them.
        elsewhere: gives, to the run of a part, finished parts of the same result that have other names than
            today's, as its work was cut another way before.
    """

    config: PipelineConfig
    inputs: Mapping[str, Artifact]
    files: Output
    scratch: Path
    shared: Storage
    progress: Progress
    part: str | None = None
    parts: Mapping[str, Artifact] = field(default_factory=dict)
    elsewhere: Callable[[], Iterable[Artifact]] = tuple

    @classmethod
    def here(
        cls,
        config: PipelineConfig,
        inputs: Mapping[str, Artifact],
        *,
        output: Path,
        scratch: Path,
        progress: Progress,
        part: str | None = None,
        parts: Mapping[str, Artifact] = MappingProxyType({}),
    ) -> Self:
        """A run on this machine into a folder, of which nothing is committed."""
        shared = open_storage(str(scratch.absolute()), scratch)
        return cls(config, inputs, Output.at(output), scratch, shared, progress, part, parts)

    @property
    def output(self) -> Path:
        """A local folder, empty at the beginning; what is in it at the end is part of the artifact."""
        return self.files.folder
