"""A stage that stands alone, from plain arguments to a result at a place of one's own."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from importlib import import_module
from os import getuid
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from mashbill.alone.arguments import OUTPUT, arguments_of
from mashbill.alone.given import Given, Ready
from mashbill.alone.table import ALONE
from mashbill.artifacts import Artifact, Progress, Published
from mashbill.config import LaunchConfig, PipelineConfig
from mashbill.config.wrong import config_error
from mashbill.errors import MashbillError, Several, all_of
from mashbill.stages import STAGES, StageJob
from mashbill.stages.check import check_config, refuse_problems
from mashbill.storage import LOCAL, scheme_of, scratch_here

NOTHING = (None, "None")
"""What is not given: a template may give the word."""


class AloneWork:
    """One run of a stage that stands alone.

    Args:
        stage: its name.
        values: arguments by name, rendered.
        who: the operator, for errors.
        launch: where it runs; None is here.
        asks: whether its backend is asked before whether it will do; not of what is under way already.
        progress: called with the share done and a message.
    """

    def __init__(
        self,
        stage: str,
        values: Mapping[str, Any],
        who: str,
        *,
        launch: LaunchConfig | None = None,
        asks: bool = True,
        progress: Progress | None = None,
    ) -> None:
        self.stage, self.who, self.progress = STAGES[stage], who, progress
        self.launch, self.asks = launch, asks
        self.row = ALONE[stage]
        self.arguments = arguments_of(self.row)
        self.values = {name: value for name, value in values.items() if value not in NOTHING}
        self.arguments.check(self.values, who)

    @cached_property
    def job(self) -> StageJob:
        """The stage with its config and inputs, ready to run whole or part by part.

        Raises:
            ConfigError: what is given will not do, or the output may not be written.
            DataError: the data will not do.
        """
        with self._naming():
            self.published.check(OUTPUT, self.stage.name)
            module, _, name = self.row.make.partition(":")
            make = cast("Callable[[Given], Ready]", getattr(import_module(module), name))
            ready = make(Given(self.arguments, self.values, self.who, self._fixed))
            config = ready.config if self.launch is None else self._sent(ready.config, self.launch)
            job = StageJob(self.stage, config, ready.inputs, progress=self.progress)
            looked_at = config if self.asks else ready.config
            refuse_problems(check_config(looked_at, [self.stage]))
            return job

    def find(self) -> Artifact | None:
        """The result where it is published already, whole; else None."""
        job, found = self.job, self.published.found()
        same = found is not None and found.fingerprint == job.fingerprint
        return found if same and self.published.is_whole() else None

    def run(self, *, force: bool = False, goes_on: bool = False) -> Artifact:
        """The result, published.

        Args:
            force: make it anew even if it is there.
            goes_on: whether an earlier try was forced so; what that has finished is taken up.
        """
        job = self.job
        with self._naming():
            if force and not goes_on:
                job.discard()
            return (None if force else self.find()) or self.publish(job.run())

    def _sent(self, config: PipelineConfig, launch: LaunchConfig) -> PipelineConfig:
        try:
            return config.sent(self.stage.name, launch)
        except ValidationError as error:
            raise config_error(f"{self.who}: launch", error) from error

    def publish(self, made: Artifact) -> Artifact:
        """Have a result at the output; where it was made nothing is left of it."""
        there = self.published.publish(made)
        self.job.discard()
        return there

    @cached_property
    def published(self) -> Published:
        """The place of the output."""
        return Published(self._absolute(str(self.values[OUTPUT])), Path(self._fixed["scratch"]))

    @property
    def _fixed(self) -> dict[str, Any]:
        """Values of the config that no argument gives: the root is absolute, and results are made beside
        where they will be."""
        scratch = self.values.get("scratch") or f"{tempfile.gettempdir()}/mashbill-{getuid()}"
        scratch = str(scratch_here(Path(self._absolute(scratch))))
        work = Published(self._absolute(str(self.values[OUTPUT])), Path(scratch)).work
        return {"root": self._absolute("."), "scratch": scratch, "artifacts": work}

    def _absolute(self, given: str) -> str:
        """A path as it is from the root that is given, or from where this process works."""
        if scheme_of(given) != LOCAL:
            return given
        return str(Path(self.values.get("root") or ".", given).resolve())

    @contextmanager
    def _naming(self) -> Iterator[None]:
        """Within the block errors name the operator, and arguments in place of settings."""
        try:
            yield
        except MashbillError as error:
            told = error.found if isinstance(error, Several) else (error,)
            raise all_of([self._named(one) for one in told]) from error

    def _named(self, error: MashbillError) -> MashbillError:
        if error.where.startswith(self.who):
            return error
        setting, colon, rest = error.where.partition(": ")
        where = f"{self.who}: {self.arguments.name_of(setting)}{colon}{rest}"
        return type(error)(where, error.what, error.mend)
