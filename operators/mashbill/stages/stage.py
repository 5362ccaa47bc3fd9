"""A stage: a pure function from artifacts to one artifact, named once and run anywhere.

Functions are given as ``module:name`` and imported when they run, so that reading the table costs nothing.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, cast

from mashbill.artifacts import Artifact, Counts, StageRun
from mashbill.config import PipelineConfig
from mashbill.config.check import Check, Checks
from mashbill.launch.needs import A_CORE, Needs

Run = Callable[[StageRun], Counts]
Parts = Callable[[PipelineConfig, Mapping[str, Artifact]], list[str]]


@dataclass(frozen=True)
class Stage:
    """One row of the table.

    Attributes:
        name: name of the stage, in the shell, in a DAG and in the artifact store.
        summary: what it does, in a sentence, for --help, the UI and the reference page.
        sections: config sections it reads, and settings outside any; a change in one makes its result stale,
            and it sees no others.
        inputs: stages whose artifacts it reads.
        optional: those of them without which it does something all the same.
        run: ``module:function`` that makes the artifact, or collects the parts where the stage splits.
        parts: ``module:function`` that names the parts, for a stage whose work splits.
        run_part: ``module:function`` that makes one part.
        check: ``module:function`` that names the things outside the artifacts which it reads, to be looked at
            before the first stage runs.
        external: ``module:function`` that identifies files it reads outside the artifacts.
        earlier: ``module:function`` that identifies earlier results it reads, given the config and its
            inputs.
        identified: sections of which it reads a little, where ``earlier`` or ``external`` identifies a thing:
            of these the fingerprint holds only what that function puts into the identity, so it puts there
            all that is read. Where it identifies nothing, the stage does not see them.
        needs: what a part needs of machines, and whether parts run side by side.
        durable: whether what it keeps while it runs lies in the store, as another machine may go on from it.
        version: version of its algorithm and output.
    """

    name: str
    summary: str
    sections: tuple[str, ...]
    inputs: tuple[str, ...]
    run: str
    parts: str | None = None
    run_part: str | None = None
    check: str | None = None
    external: str | None = None
    earlier: str | None = None
    optional: tuple[str, ...] = ()
    identified: tuple[str, ...] = ()
    needs: Needs = A_CORE
    durable: bool = False
    version: int = 1

    @property
    def required(self) -> tuple[str, ...]:
        """Stages without whose artifacts it does nothing."""
        return tuple(name for name in self.inputs if name not in self.optional)

    @property
    def outputs(self) -> Mapping[str, str]:
        """Files of its artifact and what they hold, as the module that writes them says."""
        return cast("Mapping[str, str]", _load(f"{self.run.partition(':')[0]}:OUTPUTS"))

    def load_run(self, *, part: bool) -> Run:
        """The function that makes the artifact, or one part of it."""
        return cast("Run", _load(self.run_part if part and self.run_part else self.run))

    def part_names(self, config: PipelineConfig, inputs: Mapping[str, Artifact]) -> list[str]:
        """Names of the parts; none where the stage does not split."""
        return cast("Parts", _load(self.parts))(config, inputs) if self.parts else []

    def checks(self, config: PipelineConfig) -> Iterator[Check]:
        """Things that it reads besides artifacts, to be looked at before the first stage runs."""
        return cast("Checks", _load(self.check))(config) if self.check else iter(())

    def external_identity(self, config: PipelineConfig, inputs: Mapping[str, Artifact]) -> Any:
        """A JSON value that changes when files outside the artifacts change, or the earlier results it reads
        are others."""
        if self.earlier:
            return _load(self.earlier)(config, inputs)
        return _load(self.external)(config) if self.external else None


def _load(path: str) -> Callable[..., Any]:
    module, _, name = path.partition(":")
    return cast("Callable[..., Any]", getattr(import_module(module), name))
