"""What every operator is: templated fields in, one stage run, an address out. No logic about data.

A wrong setting or wrong data fails the task for good; a failure of the world is raised as it is, so that
Airflow retries.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, ClassVar

from airflow.sdk import BaseOperator
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowFailException

from mashbill.alone import ALONE, AloneWork, arguments_of
from mashbill.artifacts import Artifact, open_store
from mashbill.config import PipelineConfig, load_config
from mashbill.errors import ConfigError, DataError
from mashbill.operators.plain import is_template, takes_arguments
from mashbill.stages import STAGES, StageJob

MAPPED = 1_024
"""Tasks that Airflow maps at most where its configuration says nothing."""
Overrides = Mapping[str, Any] | Sequence[Any]


class StageOperator(BaseOperator):
    """Run one stage, unless its result is there; returns the artifact's address.

    It takes a pipeline's config, or the stage's own arguments and no config at all, never both.

    Args:
        config: path of a TOML config file (templated).
        overrides: settings by dotted key that win over the file's, or a sequence of such; None values are
            left out (templated). They may not change paths and addresses (``config/protected.py``).
        allow: dotted names of paths and addresses that the overrides may change all the same, or of their
            sections; not templated, so that the DAG's author says it.
        inputs: addresses of the input artifacts by stage, as upstream operators return them (templated).
        force: make the result anew even if it is there (templated).
        arguments: the stage's own arguments by name, in place of a config (templated).
    """

    stage: ClassVar[str] = ""
    template_fields: Collection[str] = ("config", "overrides", "inputs", "force", "arguments")
    template_fields_renderers: ClassVar[dict[str, str]] = {"arguments": "json"}
    template_ext: Sequence[str] = ()
    ui_color = "#f3e3d3"

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.stage in ALONE:
            takes_arguments(cls)

    def __init__(
        self,
        *,
        config: str | None = None,
        overrides: Overrides | None = None,
        allow: Collection[str] = (),
        inputs: Mapping[str, Any] | None = None,
        force: bool = False,
        arguments: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.config, self.overrides, self.allow = config, overrides or {}, tuple(allow)
        self.inputs, self.force = dict(inputs or {}), force
        self.arguments = {name: value for name, value in (arguments or {}).items() if value is not None}
        self._check_form()

    def execute(self, context: Any) -> Any:
        """Run the stage; counts that are numbers go to XCom under ``counts``."""
        with final_errors():
            artifact = self._run()
        counts = {
            key: value
            for key, value in artifact.manifest.counts.items()
            if isinstance(value, int | float | str)
        }
        self.log.info("%s: %s %s", self.stage, artifact.address, counts)
        context["ti"].xcom_push(key="counts", value=counts)
        return artifact.address

    def _run(self) -> Artifact:
        if self.config is None:
            return self.alone().run(force=bool(self.force))
        job = self.job()
        if self.force:
            job.discard()
        return job.run()

    def job(self) -> StageJob:
        """The stage with its config and inputs."""
        if self.config is None:
            return self.alone().job
        config = self.pipeline_config()
        store = open_store(config)
        stage = STAGES[self.stage]
        opened = {name: store.open(self.inputs[name]) for name in stage.inputs if name in self.inputs}
        return StageJob(stage, config, opened, progress=self._log_progress)

    def _is_done(self) -> bool:
        """Whether the result is there."""
        return bool(self.alone().find() if self.config is None else self.job().find())

    def alone(self) -> AloneWork:
        """The stage with its own arguments, rendered."""
        return AloneWork(self.stage, self.arguments, self._who, progress=self._log_progress)

    def pipeline_config(self) -> PipelineConfig:
        """The config with the overrides."""
        layers = [self.overrides] if isinstance(self.overrides, Mapping) else list(self.overrides)
        merged = {key: value for layer in layers for key, value in (layer or {}).items() if value is not None}
        return load_config(self.config or "", merged, allow=self.allow)

    @property
    def _who(self) -> str:
        return f"{type(self).__name__} {self.task_id}"

    def _check_form(self) -> None:
        """Refuse both forms at once, or neither, and what of the arguments will not do, as far as it is said
        in the DAG's file."""
        if self.config is not None:
            if self.arguments:
                what = f"is given beside config, as a plain argument ({', '.join(self.arguments)})"
                mend = "give a config, or plain arguments and no config"
                raise ConfigError(f"{self._who}: {next(iter(self.arguments))}", what, mend)
            return
        beside = [name for name in ("overrides", "inputs", "allow") if getattr(self, name)]
        if beside:
            mend = "give config too, or plain arguments alone"
            raise ConfigError(f"{self._who}: {beside[0]}", "goes with a config, and none is given", mend)
        row = ALONE.get(self.stage)
        if row is None:
            raise ConfigError(f"{self._who}: config", "is required and missing", "give a pipeline's config")
        arguments = arguments_of(row)
        arguments.refuse_unknown(tuple(self.arguments), self._who)
        said = {name: value for name, value in self.arguments.items() if not is_template(value)}
        whole = len(said) == len(self.arguments)
        missing = {name for name, one in arguments.by_name.items() if one.required} - self.arguments.keys()
        if missing:
            name = next(name for name in arguments.by_name if name in missing)
            raise ConfigError(f"{self._who}: {name}", "is required and missing", "give it, or a config")
        arguments.check(said, self._who, rendered=whole)

    def _log_progress(self, done: float, words: str) -> None:
        self.log.info("%3.0f%% %s", 100 * done, words)


class ListParts(StageOperator):
    """Names of the parts of a stage, finished ones among them; none where its result is there.

    Airflow maps no more tasks than its ``[core] max_map_length``; of more parts, it returns lists of
    neighbours, each for one task.
    """

    def __init__(self, *, stage: str, **kwargs: Any) -> None:
        self.stage = stage  # type: ignore[misc]
        super().__init__(**kwargs)

    def execute(self, context: Any) -> list[str] | list[list[str]]:
        """Name the parts."""
        del context
        with final_errors():
            names = [] if self._is_done() else self.job().part_names()
        most = conf.getint("core", "max_map_length", fallback=MAPPED)
        if len(names) <= most:
            return names
        shared = in_batches(names, most)
        self.log.info("%s parts in %s tasks, as Airflow maps at most %s", len(names), len(shared), most)
        return shared


class RunPart(StageOperator):
    """Run one part of a stage, or some, one after the other; returns the address of the last. Map it over
    ``ListParts``.

    Args:
        stage: name of the stage.
        part: name of the part, or names (templated).
    """

    template_fields: Collection[str] = ("config", "overrides", "inputs", "part", "arguments")

    def __init__(self, *, stage: str, part: str | Sequence[str], **kwargs: Any) -> None:
        self.stage, self.part = stage, part  # type: ignore[misc]
        super().__init__(**kwargs)

    def execute(self, context: Any) -> str:
        """Run the parts whose results are not there."""
        names = [self.part] if isinstance(self.part, str) else list(self.part)
        context["part"] = names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"
        with final_errors():
            job = self.job()
            return [job.run_part(name).address for name in names][-1]


def in_batches(names: Sequence[str], most: int) -> list[list[str]]:
    """Names in at most so many lists of neighbours, as even as can be."""
    lists = min(len(names), max(1, most))
    ends = [len(names) * i // lists for i in range(lists + 1)]
    return [list(names[start:end]) for start, end in pairwise(ends)]


@contextmanager
def final_errors() -> Iterator[None]:
    """Errors that no retry can mend fail the task at once."""
    try:
        yield
    except (ConfigError, DataError) as error:
        raise AirflowFailException(str(error)) from error
