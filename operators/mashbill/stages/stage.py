"""A stage: a pure function from artifacts to one artifact, named once and run anywhere.

Functions are given as ``module:name`` and imported when they run, so that reading the table costs nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, cast

from mashbill.artifacts import Artifact, Counts, StageRun
from mashbill.config import PipelineConfig

Run = Callable[[StageRun], Counts]
Parts = Callable[[PipelineConfig, Mapping[str, Artifact]], list[str]]


@dataclass(frozen=True)
class Stage:
    """One row of the table.

    Attributes:
        name: name of the stage, in the shell, in a DAG and in the artifact store.
        summary: what it does, in a sentence, for --help, the UI and the reference page.
        sections: config sections it reads; a change in any makes its result stale.
        inputs: stages whose artifacts it reads.
        outputs: files of its artifact and what they hold.
        run: ``module:function`` that makes the artifact, or collects the parts where the stage splits.
        parts: ``module:function`` that names the parts, for a stage whose work splits.
        run_part: ``module:function`` that makes one part.
        external: ``module:function`` that identifies files it reads outside the artifacts.
        earlier: ``module:function`` that identifies earlier results it reads, given the config and its
            inputs.
        exclusive: whether a part takes the whole machine, so that parts run one at a time.
        accelerated: whether a part takes a GPU to itself, where there is one.
        in_order: whether a part reads those before it; they run one at a time.
        version: version of its algorithm and output.
    """

    name: str
    summary: str
    sections: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: Mapping[str, str]
    run: str
    parts: str | None = None
    run_part: str | None = None
    external: str | None = None
    earlier: str | None = None
    exclusive: bool = False
    accelerated: bool = False
    in_order: bool = False
    version: int = 1

    @property
    def one_at_a_time(self) -> bool:
        """Whether no two parts may run at once."""
        return self.exclusive or self.in_order

    def load_run(self, *, part: bool) -> Run:
        """The function that makes the artifact, or one part of it."""
        return cast("Run", _load(self.run_part if part and self.run_part else self.run))

    def part_names(self, config: PipelineConfig, inputs: Mapping[str, Artifact]) -> list[str]:
        """Names of the parts; none where the stage does not split."""
        return cast("Parts", _load(self.parts))(config, inputs) if self.parts else []

    def external_identity(self, config: PipelineConfig, inputs: Mapping[str, Artifact]) -> Any:
        """A JSON value that changes when files outside the artifacts change, or the earlier results it reads
        are others."""
        if self.earlier:
            return _load(self.earlier)(config, inputs)
        return _load(self.external)(config) if self.external else None


def _load(path: str) -> Callable[..., Any]:
    module, _, name = path.partition(":")
    return cast("Callable[..., Any]", getattr(import_module(module), name))
