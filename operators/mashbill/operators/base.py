"""What every operator is: templated fields in, one stage run, an address out. No logic about data.

A wrong setting or wrong data fails the task for good; a failure of the world is raised as it is, so that
Airflow retries.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, ClassVar

from airflow.sdk import BaseOperator, BaseOperatorLink, ParamsDict
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowFailException

from mashbill.artifacts import Artifact, open_store
from mashbill.config import PipelineConfig, load_config
from mashbill.errors import ConfigError, DataError
from mashbill.operators.assets import PipelineAssets, tell_what_is_new, whole
from mashbill.operators.connections import s3_access
from mashbill.operators.lineage import StageLineage
from mashbill.operators.links import ArtifactLink
from mashbill.stages import STAGES, StageJob, part_label
from mashbill.stages.summary import ArtifactSummary

MAPPED, TASKS = 1_024, 32
"""Tasks at most where Airflow's configuration says nothing: that it maps, and that we do, as a scheduler and
a grid of many tasks are slow."""
Overrides = Mapping[str, Any] | Sequence[Any]


class StageOperator(StageLineage, BaseOperator):
    """Run one stage, unless its result is there; returns the artifact's address.

    Args:
        config: path of a TOML config file (templated).
        overrides: settings by dotted key that win over the file's, or a sequence of such; None values are
            left out (templated). They may not change paths and addresses (``config/protected.py``).
        allow: dotted names of paths and addresses that the overrides may change all the same, or of their
            sections; not templated, so that the DAG's author says it.
        inputs: addresses of the input artifacts by stage, as upstream operators return them (templated).
        force: make the result anew even if it is there (templated).
        assets: where given, the asset that the stage makes is among the task's outlets, and is told of when
            it is new.
        aws_conn_id: Airflow's connection to S3, whose credentials the stage finds in its environment; None is
            the identity of the worker (templated).
    """

    stage: ClassVar[str] = ""
    template_fields: Collection[str] = ("config", "overrides", "inputs", "force", "aws_conn_id")
    operator_extra_links: Collection[BaseOperatorLink] = (ArtifactLink(),)
    template_ext: Sequence[str] = ()
    ui_color = "#f3e3d3"

    def __init__(
        self,
        *,
        config: str,
        overrides: Overrides | None = None,
        allow: Collection[str] = (),
        inputs: Mapping[str, Any] | None = None,
        force: bool = False,
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

    def execute(self, context: Any) -> Any:
        """Run the stage; counts that are numbers go to XCom under ``counts``."""
        with final_errors(), s3_access(self.aws_conn_id):
            job = self.job()
            if self.force:
                job.discard()
            artifact = job.run()
        self.read = tuple(job.inputs.values())
        self.tell(context, artifact)
        return artifact.address

    def tell(self, context: Any, artifact: Artifact) -> None:
        """Say what was made: counts to XCom, what is new to the asset, the rest to lineage."""
        self.made, made = (artifact,), ArtifactSummary.of(artifact)
        self.log.info("%s: %s %s", self.stage, made.address, made.counts)
        context["ti"].xcom_push(key="counts", value=dict(made.counts))
        if self.asset is not None:
            tell_what_is_new(self, context, made=made, asset=self.asset)

    def job(self) -> StageJob:
        """The stage with its config and inputs."""
        config = self.pipeline_config()
        store = open_store(config)
        stage = STAGES[self.stage]
        opened = {name: store.open(self.inputs[name]) for name in stage.inputs if name in self.inputs}
        return StageJob(stage, config, opened, progress=self._log_progress)

    def pipeline_config(self) -> PipelineConfig:
        """The config with the overrides."""
        return config_with(self.config, self.overrides, self.allow)

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
        super().__init__(**kwargs)
        self.stage, self.most = stage, most  # type: ignore[misc]

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

    template_fields: Collection[str] = ("config", "overrides", "inputs", "part", "aws_conn_id")
    operator_extra_links: Collection[BaseOperatorLink] = ()

    def __init__(self, *, stage: str, part: str | Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stage, self.part = stage, part  # type: ignore[misc]

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
