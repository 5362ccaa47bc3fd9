"""What a stage that stands alone is given, on its way to a config and artifacts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError

import mashbill
from mashbill.alone.arguments import EVERYWHERE, Arguments
from mashbill.artifacts import Artifact, ArtifactStore, Counts, Published, fingerprint, open_store
from mashbill.artifacts.manifest import Manifest
from mashbill.config import CorpusConfig, PipelineConfig
from mashbill.config.wrong import settings_errors
from mashbill.errors import ConfigError, Problems
from mashbill.storage import scratch_of

VERSION = 1  # of what stands in for a stage's result


@dataclass(frozen=True)
class Ready:
    """A config and the artifacts that a stage reads."""

    config: PipelineConfig
    inputs: Mapping[str, Artifact]


@dataclass(frozen=True)
class Given:
    """Arguments of a stage, rendered and looked at.

    Attributes:
        arguments: of the stage; values: by name; who: the operator, for errors.
        fixed: values of the config that are none of the arguments'.
    """

    arguments: Arguments
    values: Mapping[str, Any]
    who: str
    fixed: Mapping[str, Any]

    def get(self, name: str) -> Any:
        """The value of an input, or None."""
        return self.values.get(name)

    def where(self, name: str) -> str:
        """What errors call an argument."""
        return f"{self.who}: {name}"

    def having(self, values: Mapping[str, Any]) -> Self:
        """The arguments with some others."""
        return replace(self, values={**self.values, **values})

    @property
    def ground(self) -> PipelineConfig:
        """The config of where things are, before anything is known of what there is."""
        nothing = {"domains": [{"name": "documents", "sources": [{"path": "."}]}]}
        values = {name: value for name, value in self.values.items() if name in EVERYWHERE}
        return replace(self, values=values).config(nothing)

    def config(self, corpus: Mapping[str, Any] | CorpusConfig) -> PipelineConfig:
        """The config, with its sets of documents.

        Args:
            corpus: domains, references and evaluations as a config has them.
        Raises:
            ConfigError: a value will not do beside another.
        """
        raw = {**self.arguments.raw(self.values, corpus), **self.fixed}
        try:
            return PipelineConfig.model_validate(raw)
        except ValidationError as error:
            name = self.arguments.name_of
            found = settings_errors(error.errors(), lambda field: f"{self.who}: {name(field)}".rstrip(": "))
            raise (found[0] if len(found) == 1 else Problems(found)) from error

    def made(self, name: str, config: PipelineConfig, *, holds: str, by: str) -> Artifact:
        """What another operator wrote, at the address that an argument gives.

        Args:
            name: of the argument.
            config: whose root relative paths start from.
            holds: a file or folder that it has.
            by: the operator that writes such.
        Raises:
            ConfigError: nothing of that kind is there.
        """
        address = str(self.values[name])
        found = self.published(address, config)
        if found is None or not (found.has(holds) or found.names(holds)):
            kind = "is no result" if found is None else f"is a result of {found.manifest.stage}"
            raise ConfigError(self.where(name), f"{address} {kind}", f"give the address that {by} wrote to")
        return found

    def published(self, address: str, config: PipelineConfig) -> Artifact | None:
        """What another operator wrote at an address; None where nothing of that kind is there."""
        try:
            return Published(config.resolve(address), scratch_of(config)).found()
        except ConfigError:  # of no storage: whoever reads it says so
            return None


def stand_in(
    config: PipelineConfig, stage: str, identity: Any, *, write: Callable[[Path], Counts]
) -> Artifact:
    """An artifact that stands in for a stage's result.

    Args:
        config: whose artifact root it is kept under.
        stage: the stage.
        identity: a JSON value that is another where the content is.
        write: writes its files into a folder, and says what is counted.
    """
    store = open_store(config)
    mark = fingerprint(stage, VERSION, {}, inputs={}, external=identity)
    made = store.reused(stage, mark)
    if made is not None:
        return made
    output = store.output(stage, mark)
    try:
        with store.making(stage, mark, output):
            counts = write(output.folder)
            return store.commit(output, _manifest(stage, mark, counts))
    finally:
        store.abandon(output)


def referring(config: PipelineConfig, stage: str, made: Artifact) -> Artifact:
    """An artifact that stands in for a stage's result by the files of another, wherever that is.

    Args:
        config: whose artifact root it is kept under.
        stage: the stage.
        made: what is referred to.
    """
    store: ArtifactStore = open_store(config)
    mark = fingerprint(stage, VERSION, {}, inputs={stage: made.fingerprint}, external=made.address)
    there = store.find(stage, mark)
    if there is not None:
        return there
    about = _manifest(stage, mark, made.manifest.counts)
    told = {"files": made.manifest.files, "attempt": made.manifest.attempt, "elsewhere": made.address}
    return store.refer(about.model_copy(update=told))


def _manifest(stage: str, mark: str, counts: Counts) -> Manifest:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Manifest(
        stage=stage,
        fingerprint=mark,
        version=VERSION,
        settings={},
        inputs={},
        counts=counts,
        started=now,
        seconds=0.0,
        mashbill=mashbill.__version__,
    )
