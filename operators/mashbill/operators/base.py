"""What every operator is: templated fields in, one stage run, an address out. No logic about data.

A wrong setting or wrong data fails the task for good; a failure of the world is raised as it is, so that
Airflow retries.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

from airflow.sdk import BaseOperator, BaseOperatorLink
from airflow.sdk.definitions.param import ParamsDict
from pydantic import ValidationError

from mashbill.alone import ALONE, AloneWork, arguments_of
from mashbill.artifacts import Artifact, open_store
from mashbill.config import LaunchConfig, PipelineConfig, load_config
from mashbill.config.wrong import config_error
from mashbill.errors import ConfigError
from mashbill.launch.submission import Submitted
from mashbill.operators.assets import PipelineAssets, tell_what_is_new, whole
from mashbill.operators.connections import s3_access
from mashbill.operators.elsewhere import RunsElsewhere, required
from mashbill.operators.failures import final_errors
from mashbill.operators.kube_connection import over_connection
from mashbill.operators.lineage import StageLineage
from mashbill.operators.links import ArtifactLink
from mashbill.operators.plain import is_template, takes_arguments
from mashbill.stages import STAGES, StageJob
from mashbill.stages.elsewhere import Elsewhere
from mashbill.stages.summary import ArtifactSummary

NOTHING = (None, "", "None")
"""An address that is none, as templates give it."""
Overrides = Mapping[str, Any] | Sequence[Any]
YES, NO = ("true", "1", "yes", "on"), ("false", "0", "no", "off", "none", "")
"""Words that a template may give for whether something is so."""


class StageOperator(StageLineage, RunsElsewhere, BaseOperator):
    """Run one stage, unless its result is there; returns the artifact's address.

    It takes a pipeline's config, or the stage's own arguments and no config at all, never both.

    Args:
        config: path of a TOML config file (templated).
        overrides: settings by dotted key that win over the file's, or a sequence of such; None values are
            left out (templated). They may not change paths and addresses (``config/protected.py``).
        allow: dotted names of paths and addresses that the overrides may change all the same, or of their
            sections; not templated, so that the DAG's author says it.
        inputs: addresses of the input artifacts by stage, as upstream operators return them (templated).
        force: make the result anew even if it is there; a retry goes on with what the first try began
            (templated).
        arguments: the stage's own arguments by name, in place of a config (templated).
        assets: where given, the asset that the stage makes is among the task's outlets, and is told of when
            it is new.
        aws_conn_id: Airflow's connection to S3, whose credentials the stage finds in its environment; None is
            the identity of the worker (templated).
        launch: where the stage runs, as a config's ``[launch.STAGE]`` says it, and instead of that; not
            templated.
        kubernetes_conn_id: Airflow's connection to the cluster that jobs are sent to; None is the kubeconfig,
            or the identity of the worker's pod (templated).
        deferrable: whether the triggerer waits for what runs elsewhere; None is Airflow's setting
            ``[operators] default_deferrable``.
        durable: with deferral off, whether Airflow keeps which jobs were submitted, beside the store.
    """

    stage: ClassVar[str] = ""
    template_fields: Collection[str] = (
        "config",
        "overrides",
        "inputs",
        "force",
        "arguments",
        "aws_conn_id",
        "kubernetes_conn_id",
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
        launch: LaunchConfig | Mapping[str, Any] | None = None,
        kubernetes_conn_id: str | None = None,
        deferrable: bool | None = None,
        durable: bool = True,
        **kwargs: Any,
    ) -> None:
        self.asset = assets.made_by(self.stage) if assets is not None else None
        if self.asset is not None:
            kwargs["outlets"] = [*kwargs.get("outlets", ()), self.asset, whole(self.asset)]
        super().__init__(deferrable=deferrable, durable=durable, **kwargs)
        self.params = own_params(self.params)
        self.config, self.overrides, self.allow = config, overrides or {}, tuple(allow)
        self.inputs, self.force, self.aws_conn_id = dict(inputs or {}), force, aws_conn_id
        self.arguments = {name: value for name, value in (arguments or {}).items() if value is not None}
        self._check_form()
        self.launch, self.kubernetes_conn_id = launch_of(launch, self._who), kubernetes_conn_id

    def execute(self, context: Any) -> Any:
        """Run the stage; counts that are numbers go to XCom under ``counts``."""
        with final_errors(), s3_access(self.aws_conn_id):
            if self.config is None:
                return self._execute_alone(context)
            job = self.job()
            elsewhere = Elsewhere.of(job)
            if elsewhere is not None:
                self.end_those_of_before(context, elsewhere)
            if self._forced and first_try(self, context) and not (elsewhere and elsewhere.under_way()):
                job.discard()
            if elsewhere is not None:
                return self.run_elsewhere(context, elsewhere)
            return self._finished(context, job, job.run())

    def _execute_alone(self, context: Any) -> Any:
        work, force = self.alone(), self._forced
        elsewhere = Elsewhere.of(work.job)
        if elsewhere is not None:
            self.end_those_of_before(context, elsewhere)
        if elsewhere is None or (work.find() is not None and not force):
            made = work.run(force=force, goes_on=not first_try(self, context))
            return self._finished(context, work.job, made)
        if force and first_try(self, context) and not elsewhere.under_way():
            work.job.discard()
        return self.run_elsewhere(context, elsewhere)

    def elsewhere(self) -> Elsewhere:
        """The stage, with where it is sent."""
        return required(Elsewhere.of(self.job(asks=False)))

    def submitted(self, elsewhere: Elsewhere) -> list[Submitted]:
        """The stage's jobs."""
        return elsewhere.submit_all()

    def finish(self, context: Any, elsewhere: Elsewhere) -> Any:
        """Put the parts together, and return the artifact's address."""
        made = elsewhere.collect()
        return self._finished(
            context, elsewhere.job, made if self.config else self.alone(asks=False).publish(made)
        )

    def _finished(self, context: Any, job: StageJob, artifact: Artifact) -> str:
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

    def job(self, *, asks: bool = True) -> StageJob:
        """The stage with its config and inputs; of plain arguments, whether its backend is asked before."""
        if self.config is None:
            return self.alone(asks=asks).job
        config = self.pipeline_config()
        store = open_store(config)
        stage = STAGES[self.stage]
        opened = {name: store.open(address) for name, address in self.addresses().items()}
        return StageJob(stage, config, opened, progress=self._log_progress)

    def addresses(self) -> dict[str, str]:
        """Of the input artifacts that there are, in the stage's order; a template may give nothing for one
        that the stage does without."""
        given = {name: self.inputs.get(name) for name in STAGES[self.stage].inputs}
        return {name: str(address) for name, address in given.items() if address not in NOTHING}

    def _is_done(self) -> bool:
        """Whether the result is there."""
        return bool(self.alone().find() if self.config is None else self.job().find())

    def alone(self, *, asks: bool = True) -> AloneWork:
        """The stage with its own arguments, rendered."""
        launch = None if self.launch is None else over_connection(self.launch, self.kubernetes_conn_id)
        return AloneWork(
            self.stage, self.arguments, self._who, launch=launch, asks=asks, progress=self._log_progress
        )

    def pipeline_config(self) -> PipelineConfig:
        """The config with the overrides."""
        config = config_with(self.config or "", self.overrides, self.allow)
        try:
            sent = config if self.launch is None else config.sent(self.stage, self.launch)
        except ValidationError as error:
            raise config_error(f"{self._who}: launch", error) from error
        launch = {
            name: over_connection(takes, self.kubernetes_conn_id) for name, takes in sent.launch.items()
        }
        return sent.model_copy(update={"launch": launch})

    @property
    def _forced(self) -> bool:
        """Whether the result is made anew; a template gives that in words."""
        words = str(self.force).strip().lower()
        if words not in {*YES, *NO}:
            raise ConfigError(f"{self._who}: force", f"is {self.force!r}", "give true or false")
        return words in YES

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


def first_try(task: BaseOperator, context: Any) -> bool:
    """Whether a task has not failed since it was triggered, or cleared: what its tries have finished, such as
    a training that has saved, is taken up by a retry."""
    ti = context.get("ti")
    number, most = getattr(ti, "try_number", None), getattr(ti, "max_tries", None)
    return number is None or most is None or number <= most - (task.retries or 0) + 1


def own_params(params: Any) -> ParamsDict:
    """A task's params without those of its DAG, which it finds there all the same: a DAG's form would
    otherwise be kept once more with each of its tasks."""
    return ParamsDict.filter_params_by_source(ParamsDict(params), source="task")


def config_with(config: str, overrides: Overrides, allow: Collection[str]) -> PipelineConfig:
    """A config file with overrides, or layers of them.

    Raises:
        ConfigError: a setting is wrong, or may not be overridden.
    """
    layers = [overrides] if isinstance(overrides, Mapping) else list(overrides)
    merged = {key: value for layer in layers for key, value in (layer or {}).items() if value is not None}
    return load_config(config, merged, allow=allow)


def launch_of(launch: LaunchConfig | Mapping[str, Any] | None, who: str) -> LaunchConfig | None:
    """Where a stage runs.

    Raises:
        ConfigError: a setting of it is wrong; who says it is named.
    """
    if launch is None or isinstance(launch, LaunchConfig):
        return launch
    try:
        return LaunchConfig.model_validate(dict(launch))
    except ValidationError as error:
        raise config_error(who, error, within="launch") from error
