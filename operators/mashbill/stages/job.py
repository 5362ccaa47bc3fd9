"""Running one stage, or one part of it: look for the result, else make it and commit it."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import mashbill
from mashbill.artifacts import (
    OUTSIDE,
    Artifact,
    Output,
    Progress,
    ProgressFile,
    StageRun,
    fingerprint,
    open_store,
)
from mashbill.artifacts.manifest import Manifest
from mashbill.artifacts.statistics import write_statistics
from mashbill.config import PipelineConfig, StageConfig
from mashbill.errors import RunError, one_line
from mashbill.stages.stage import Stage
from mashbill.storage import Copies, scratch_of

log = logging.getLogger(__name__)


def quiet(done: float, words: str) -> None:
    """Tell nobody how far work is."""


class StageJob:
    """A stage with its config and inputs, ready to run whole or part by part.

    Args:
        stage: row of the table.
        config: the whole config.
        inputs: artifacts of the stages it reads, by stage.
        progress: called with the share done and a message, beside the progress file.
    """

    def __init__(
        self,
        stage: Stage,
        config: PipelineConfig,
        inputs: Mapping[str, Artifact],
        *,
        progress: Progress | None = None,
    ) -> None:
        self.stage, self.config, self.progress = stage, config, progress
        self.inputs = {name: _ready(artifact, config) for name, artifact in inputs.items()}
        self.store = open_store(config)
        missing = [name for name in stage.required if name not in inputs]
        if missing:
            raise RunError(
                f"stage {stage.name}", f"its input {missing[0]} is missing", f"run {missing[0]} first"
            )
        own = self._view(stage.sections)
        identity = stage.external_identity(self._view((*stage.sections, *stage.identified)), inputs)
        self.view = own if identity is None else self._view((*stage.sections, *stage.identified))
        self.settings = own.settings()
        self.fingerprint = fingerprint(
            stage.name,
            stage.version,
            self.settings,
            inputs={k: inputs[k].fingerprint for k in stage.inputs if k in inputs},
            external=identity,
        )

    def find(self) -> Artifact | None:
        """The finished result, or None."""
        return self.store.find(self.stage.name, self.fingerprint)

    def reused(self) -> Artifact | None:
        """The finished result, or None; what a killed run left of making it is removed."""
        return self.store.reused(self.stage.name, self.fingerprint)

    def part_names(self) -> list[str]:
        """Names of the parts; finished ones among them; none where the stage does not split."""
        return self.stage.part_names(self.view, self.inputs)

    def find_part(self, part: str) -> Artifact | None:
        """The finished part, or None."""
        return self.store.find(self.stage.name, self.fingerprint, part)

    def run_part(self, part: str) -> Artifact:
        """Make one part, unless it is there.

        Raises:
            RunError: it reads the parts before it, and one is missing.
        """
        done = self.store.reused(self.stage.name, self.fingerprint, part)
        return done or self._make(part, self._parts_before(part) if self.stage.needs.in_order else {})

    def node_folder(self, part: str | None) -> Path:
        """The folder of this node, of those that work on a part, for what it writes on the way; several nodes
        may have theirs on one disk."""
        folder = self.store.scratch_folder(self.stage.name, self.fingerprint, part)
        node = self.config.training.node
        own = folder / f"node-{node}" if node else folder
        own.mkdir(exist_ok=True)
        return own

    def help_with(self, part: str) -> None:
        """Do this machine's share of a part that another machine makes; nothing is committed here."""
        output = self.store.output(self.stage.name, self.fingerprint, part)
        try:
            given = self._given(output, progress=self.progress or quiet, part=part, parts={})
            given = replace(given, scratch=self.node_folder(part))
            with Copies.under(scratch_of(self.config)).held_within():
                self.stage.load_run(part=True)(given)
        finally:
            self.store.abandon(output)

    def collect(self) -> Artifact:
        """Make the whole from its finished parts, unless it is there.

        Raises:
            RunError: a part is missing.
        """
        return self.reused() or self._make(None, self._parts_before(None))

    def run(self, run_parts: "Callable[[StageJob, list[str]], None] | None" = None) -> Artifact:
        """Make the result, unless it is there; parts one after the other, or as ``run_parts`` does it."""
        done = self.reused()
        if done is not None:
            return done
        with self.store.making(self.stage.name, self.fingerprint):
            todo = [part for part in self.part_names() if self.find_part(part) is None]
            if todo and run_parts is not None:
                run_parts(self, todo)
            else:
                for part in todo:
                    self.run_part(part)
            return self.collect()

    def _view(self, sections: tuple[str, ...]) -> StageConfig:
        """What the stage sees of the config."""
        return StageConfig.of(self.config, sections, reader=f"stage {self.stage.name}")

    def _parts_before(self, last: str | None) -> dict[str, Artifact]:
        """The finished parts before one, or all."""
        parts: dict[str, Artifact] = {}
        for name in self.part_names():
            if name == last:
                break
            artifact = self.find_part(name)
            if artifact is None:
                raise RunError(
                    f"stage {self.stage.name}", f"its part {name} is not finished", "run the parts first"
                )
            parts[name] = artifact
        return parts

    def _elsewhere(self) -> list[Artifact]:
        """Finished parts that are none of today's."""
        others = set(self.store.part_names(self.stage.name, self.fingerprint)) - set(self.part_names())
        found = (self.find_part(name) for name in sorted(others))
        return [artifact for artifact in found if artifact is not None]

    def discard(self) -> None:
        """Forget the result and its parts, so that the next run makes them anew.

        Raises:
            RunError: another run of this machine is making them.
        """
        self.store.discard(self.stage.name, self.fingerprint)

    def _make(self, part: str | None, parts: Mapping[str, Artifact]) -> Artifact:
        output = self.store.output(self.stage.name, self.fingerprint, part)
        file = ProgressFile(self.store.progress_path(self.stage.name, part))

        def progress(done: float, message: str) -> None:
            file(done, message)
            if self.progress is not None:
                self.progress(done, message)

        try:
            progress(0.0, "starting")
            with self.store.making(self.stage.name, self.fingerprint, output):
                return self._attempt(output, progress=progress, part=part, parts=parts)
        except Exception as error:  # whoever is overtaken may miss anything that the other has removed
            made = self.store.find(self.stage.name, self.fingerprint, part)
            if made is None:
                raise
            words = "stage %s: another run made the same result first; what stopped this one was: %s"
            log.info(words, self.stage.name, one_line(error))
            return self.store.tidy(made)
        finally:
            self.store.abandon(output)
            file.remove()

    def _attempt(
        self, output: Output, *, progress: Progress, part: str | None, parts: Mapping[str, Artifact]
    ) -> Artifact:
        """Make the result, or a part, and commit it."""
        started, clock = datetime.now(UTC), time.monotonic()
        given = self._given(output, progress=progress, part=part, parts=parts)
        with Copies.under(scratch_of(self.config)).held_within():
            counts = self.stage.load_run(part=part is not None)(given)
        write_statistics(self.stage.name, counts, output.folder)
        before = sum(done.manifest.seconds for done in parts.values() if part is None)
        manifest = Manifest(
            stage=self.stage.name,
            part=part,
            fingerprint=self.fingerprint,
            version=self.stage.version,
            settings=self.settings,
            inputs={name: self.inputs[name].address for name in self.stage.inputs if name in self.inputs},
            counts=counts,
            started=started.isoformat(timespec="seconds"),
            seconds=round(time.monotonic() - clock + before, 2),
            mashbill=mashbill.__version__,
        )
        return self.store.commit(output, manifest, shared=given.shared)

    def _given(
        self, output: Output, *, progress: Progress, part: str | None, parts: Mapping[str, Artifact]
    ) -> StageRun:
        where = self.stage.name, self.fingerprint, part
        scratch = self.store.scratch_folder(*where)
        everywhere = self.stage.durable or self.config.engine.runner == "ray"
        shared = self.store.shared(*where, everywhere=everywhere)
        return StageRun(
            self.view, self.inputs, output, scratch, shared, progress, part, parts, self._elsewhere
        )


def _ready(artifact: Artifact, config: PipelineConfig) -> Artifact:
    """An input, whose documents may be others' files."""
    if not artifact.has(OUTSIDE):
        return artifact
    from mashbill.corpus.outside import with_documents

    return with_documents(artifact, scratch_of(config))
