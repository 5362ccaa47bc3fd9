"""What every operator is: templated fields in, one stage run, an address out. No logic about data.

A wrong setting or wrong data fails the task for good; a failure of the world is raised as it is, so that
Airflow retries.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, ClassVar

from airflow.sdk import BaseOperator, BaseOperatorLink
from airflow.sdk.configuration import conf
from airflow.sdk.definitions.param import ParamsDict
from airflow.sdk.exceptions import AirflowFailException

from mashbill.alone import ALONE, AloneWork, arguments_of
from mashbill.artifacts import Artifact, open_store
from mashbill.config import PipelineConfig, load_config
from mashbill.errors import ConfigError, DataError
from mashbill.operators.assets import PipelineAssets, tell_what_is_new, whole
from mashbill.operators.connections import s3_access
from mashbill.operators.lineage import StageLineage
from mashbill.operators.links import ArtifactLink
from mashbill.operators.plain import is_template, takes_arguments
from mashbill.stages import STAGES, StageJob, part_label
from mashbill.stages.summary import ArtifactSummary

MAPPED, TASKS = 1_024, 32
"""Tasks at most where Airflow's configuration says nothing: that it maps, and that we do, as a scheduler and
a grid of many tasks are slow."""
Overrides = Mapping[str, Any] | Sequence[Any]


class StageOperator(StageLineage, BaseOperator):
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
        assets: where given, the asset that the stage makes is among the task's outlets, and is told of when
            it is new.
        aws_conn_id: Airflow's connection to S3, whose credentials the stage finds in its environment; None is
            the identity of the worker (templated).
    """

    stage: ClassVar[str] = ""
    template_fields: Collection[str] = (
        "config",
        "overrides",
        "inputs",
        "force",
        "arguments",
        "aws_conn_id",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"arguments": "json"}
    operator_extra_links: Collection[BaseOperatorLink] = (ArtifactLink(),)
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
        assets: PipelineAssets | None = None,
        aws_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        self.asset = assets.made_by(self.stage) if assets is not None else None
        if self.asset is not None:
            kwargs["outlets"] = [*kwargs.get("outlets", ()), self.asset, whole(self.asset)]
        super().__init__(**kwargs)
        self.params = own_params(self.params)
        self.config, self.overrides, self.allow = config, overrides or {}, tuple(allow)
        self.inputs, self.force, self.aws_conn_id = dict(inputs or {}), force, aws_conn_id
        self.arguments = {name: value for name, value in (arguments or {}).items() if value is not None}
        self._check_form()

    def execute(self, context: Any) -> Any:
        """Run the stage; counts that are numbers go to XCom under ``counts``."""
        with final_errors(), s3_access(self.aws_conn_id):
            artifact = self._run()
        self.tell(context, artifact)
        return artifact.address

    def tell(self, context: Any, artifact: Artifact) -> None:
        """Say what was made: counts to XCom, what is new to the asset, the rest to lineage."""
        self.made, made = (artifact,), ArtifactSummary.of(artifact)
        self.log.info("%s: %s %s", self.stage, made.address, made.counts)
        context["ti"].xcom_push(key="counts", value=dict(made.counts))
        if self.asset is not None:
            tell_what_is_new(self, context, made=made, asset=self.asset)

    def _run(self) -> Artifact:
        if self.config is None:
            alone = self.alone()
            artifact = alone.run(force=bool(self.force))
            self.read = tuple(alone.job.inputs.values())
            return artifact
        job = self.job()
        self.read = tuple(job.inputs.values())
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

    def alone(self) -> AloneWork:
        """The stage with its own arguments, rendered."""
        return AloneWork(self.stage, self.arguments, self._who, progress=self._log_progress)

    def pipeline_config(self) -> PipelineConfig:
        """The config with the overrides."""
        return config_with(self.config or "", self.overrides, self.allow)

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

    Of more parts than tasks, it returns lists of neighbours, each for one task; so it does of parts that read
    those before them, which are one list.

    Args:
        stage: name of the stage.
        most: tasks at most; None is Airflow's setting ``[mashbill] mapped_tasks``. Airflow's own
            ``[core] max_map_length`` holds as well.
    """

    operator_extra_links: Collection[BaseOperatorLink] = ()

    def __init__(self, *, stage: str, most: int | None = None, **kwargs: Any) -> None:
        self.stage, self.most = stage, most  # type: ignore[misc]
        super().__init__(**kwargs)

    def execute(self, context: Any) -> list[str] | list[list[str]]:
        """Name the parts."""
        del context
        with final_errors(), s3_access(self.aws_conn_id):
            job = self.job()
            names = [] if job.find() else job.part_names()
        most = 1 if job.stage.placement.in_order else self._most()
        if len(names) <= most:
            return names
        shared = in_batches(names, most)
        self.log.info("%s parts of %s in %s tasks", len(names), job.stage.name, len(shared))
        return shared

    def _most(self) -> int:
        asked = self.most or conf.getint("mashbill", "mapped_tasks", fallback=TASKS)
        return max(1, min(asked, conf.getint("core", "max_map_length", fallback=MAPPED)))


class RunPart(StageOperator):
    """Run one part of a stage, or some, one after the other; returns the address of the last. Map it over
    ``ListParts``.

    Args:
        stage: name of the stage.
        part: name of the part, or names (templated).
    """

    template_fields: Collection[str] = ("config", "overrides", "inputs", "part", "arguments", "aws_conn_id")
    operator_extra_links: Collection[BaseOperatorLink] = ()

    def __init__(self, *, stage: str, part: str | Sequence[str], **kwargs: Any) -> None:
        self.stage, self.part = stage, part  # type: ignore[misc]
        super().__init__(**kwargs)

    def execute(self, context: Any) -> str:
        """Run the parts whose results are not there."""
        names = [self.part] if isinstance(self.part, str) else list(self.part)
        context["part"] = part_label(names)
        with final_errors(), s3_access(self.aws_conn_id):
            job = self.job()
            self.read = tuple(job.inputs.values())
            self.made = tuple(job.run_part(name) for name in names)
        return self.made[-1].address


def own_params(params: Any) -> ParamsDict:
    """A task's params without those of its DAG, which it finds there all the same: a DAG's form would
    otherwise be kept once more with each of its tasks."""
    return ParamsDict.filter_params_by_source(ParamsDict(params), source="task")


def in_batches(names: Sequence[str], most: int) -> list[list[str]]:
    """Names in at most so many lists of neighbours, as even as can be."""
    lists = min(len(names), max(1, most))
    ends = [len(names) * i // lists for i in range(lists + 1)]
    return [list(names[start:end]) for start, end in pairwise(ends)]


def config_with(config: str, overrides: Overrides, allow: Collection[str]) -> PipelineConfig:
    """A config file with overrides, or layers of them.

    Raises:
        ConfigError: a setting is wrong, or may not be overridden.
    """
    layers = [overrides] if isinstance(overrides, Mapping) else list(overrides)
    merged = {key: value for layer in layers for key, value in (layer or {}).items() if value is not None}
    return load_config(config, merged, allow=allow)


@contextmanager
def final_errors() -> Iterator[None]:
    """Errors that no retry can mend fail the task at once."""
    try:
        yield
    except (ConfigError, DataError) as error:
        raise AirflowFailException(str(error)) from error
