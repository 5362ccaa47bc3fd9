"""Task groups: several stages in one import, for the DAGs of this package and for other teams' DAGs.

    with DAG(...):
        curation = CurationTaskGroup(config="pipeline.toml")
        mixture = MixtureTaskGroup(config="pipeline.toml", inputs=curation.outputs)

``outputs`` holds the addresses that the stages return, by stage; a group's ``inputs`` are the outputs of
groups before it, or addresses of results that are there. ``PretrainingPipeline`` is all three in one.
"""

from collections.abc import Collection, Mapping
from functools import cache
from typing import Any

from airflow.sdk import TaskGroup

from mashbill.config.launch import LaunchConfig
from mashbill.errors import ConfigError
from mashbill.operators.assets import PipelineAssets
from mashbill.operators.base import Overrides, StageOperator, own_params
from mashbill.operators.check import CheckConfig
from mashbill.operators.gate import ApproveTraining, AskWhereInDoubt, Gate
from mashbill.operators.optional import address_or_nothing, complete, ended, made_before
from mashbill.operators.parts import ListParts, RunPart
from mashbill.operators.resources import ALL, Resources, launched, refuse_unknown, resources_of
from mashbill.stages import GROUPS, STAGES

CHECK = "check"
APPROVE, IN_DOUBT = "approve", "needs_approval"
JOIN = "none_failed_min_one_success"


@cache
def operator_of(stage: str) -> type[StageOperator]:
    """The operator that runs a stage, among those that this package exports."""
    from mashbill import operators

    exported = [value for value in vars(operators).values() if isinstance(value, type)]
    return next(one for one in exported if issubclass(one, StageOperator) and vars(one).get("stage") == stage)


class StageTaskGroup(TaskGroup):
    """Stages in the table's order, those that split as a group of their own with mapped parts.

    Args:
        config: path of a TOML config file (templated).
        overrides: settings by dotted key that win over the file's (templated); not paths and addresses.
        allow: dotted names of paths and addresses that they may change all the same, or of their sections.
        inputs: addresses by stage that come from elsewhere.
        skip: stages that are left out; what reads one needs its address in ``inputs``, or is left out too.
        launch: where stages run, by stage; what is not named is as the config has it.
        resources: pool, queue, executor and time-out of the tasks, of all or by stage.
        assets: names of the assets that the stages make; None tells of none.
        mapped_tasks: tasks that the parts of a stage are shared among at most; None is Airflow's setting
            ``[mashbill] mapped_tasks``, 32 where that says nothing.
        aws_conn_id: Airflow's connection to S3; None is the identity of the worker.
        kubernetes_conn_id: Airflow's connection to the cluster that jobs are sent to; None is the kubeconfig,
            or that identity.
        deferrable: whether the triggerer waits for what runs elsewhere; None is Airflow's setting
            ``[operators] default_deferrable``.
        group_id: name of the group.
    """

    stages: tuple[str, ...] = ()

    def __init__(
        self,
        *,
        config: str,
        overrides: Overrides | None = None,
        allow: Collection[str] = (),
        inputs: Mapping[str, Any] | None = None,
        skip: Collection[str] = (),
        launch: Mapping[str, LaunchConfig] | None = None,
        resources: Resources | None = None,
        assets: PipelineAssets | None = PipelineAssets(),  # noqa: B008 - frozen
        mapped_tasks: int | None = None,
        aws_conn_id: str | None = None,
        kubernetes_conn_id: str | None = None,
        deferrable: bool | None = None,
        group_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        name = group_id or type(self).__name__.removesuffix("TaskGroup").lower()
        super().__init__(group_id=name, prefix_group_id=False, **kwargs)
        self.stages = _those_left(type(self), skip, inputs or {})
        for field, named in (("launch", launch), ("resources", resources)):
            if isinstance(named, Mapping):
                refuse_unknown(f"{type(self).__name__}: {field}", named, (*self.stages, ALL))
        layers, allowed = launched(launch, overrides, allow)
        self.settings: dict[str, Any] = {
            "config": config,
            "overrides": layers,
            "allow": allowed,
            "aws_conn_id": aws_conn_id,
        }
        self.sending = {"kubernetes_conn_id": kubernetes_conn_id, "deferrable": deferrable}
        self.resources, self.assets, self.mapped_tasks = resources, assets, mapped_tasks
        self.outputs: dict[str, Any] = dict(inputs or {})
        with self:
            for stage in self.stages:
                self.outputs[stage] = self.add_stage(stage)
            self._check_first()

    def add_stage(self, name: str) -> Any:
        """Add one stage; returns its address as an XComArg."""
        stage = STAGES[name]
        settings: dict[str, Any] = {
            **self.settings,
            **self.sending,
            **resources_of(name, self.resources),
            "inputs": {i: self.outputs[i] for i in stage.inputs if i in self.outputs},
        }
        if stage.parts is None:
            return self._whole(name, settings).output
        with TaskGroup(f"{name}_group", prefix_group_id=False, tooltip=stage.summary):
            parts = ListParts(
                task_id=f"{name}_parts",
                stage=name,
                most=self.mapped_tasks,
                doc_md=f"Parts of {name} to run.",
                **settings,
            )
            one = RunPart.partial(
                task_id=f"{name}_part",
                stage=name,
                map_index_template="{{ part }}",
                max_active_tis_per_dagrun=1 if stage.needs.one_at_a_time else None,
                **settings,
            ).expand(part=parts.output)
            one.params = own_params(one.params)
            whole = self._whole(name, {**settings, "trigger_rule": "none_failed"})
            one >> whole
        return whole.output

    def _whole(self, name: str, settings: Mapping[str, Any]) -> StageOperator:
        """The task of a stage; it waits for what it does without, and goes on however that ended."""
        words, inputs = STAGES[name].summary, settings["inputs"]
        before = made_before(inputs, STAGES[name].optional)
        given = {**inputs, **{one: address_or_nothing(inputs[one]) for one in before}}
        task = operator_of(name)(
            task_id=name, doc_md=words, assets=self.assets, **{**settings, "inputs": given}
        )
        if before:
            ended(before.values(), name) >> task
            complete([*before.values(), task])
        return task

    def _check_first(self) -> None:
        """Look at what the stages read before any of them runs: with an earlier group's look, where that has
        the same config and cluster, so that a DAG's first task tells all."""
        cluster = "kubernetes_conn_id"
        asked = {**self.settings, cluster: self.sending[cluster]}
        for task in self.dag.tasks if self.dag else ():
            if isinstance(task, CheckConfig) and all(getattr(task, k) == v for k, v in asked.items()):
                task.stages = (*task.stages, *self.stages)
                return
        first = list(self.get_roots())
        name = f"check_{self.group_id}" if self.dag and self.dag.has_task(CHECK) else CHECK
        words = "Look at what the config names."
        check = CheckConfig(task_id=name, stages=self.stages, doc_md=words, **self.settings, **self.sending)
        check >> first


class CurationTaskGroup(StageTaskGroup):
    """From sources to token shards."""

    stages = GROUPS["curation"]


class MixtureTaskGroup(StageTaskGroup):
    """From token shards to a mixture, and whether it is worth training. Needs tokenize."""

    stages = GROUPS["mixture"]


class TrainingTaskGroup(StageTaskGroup):
    """From a mixture to a forecast, models and the report, with a person's approval where the gate asks for
    it.

    Args:
        gate: who lets the training through.
        forecast_required: whether training waits for a forecast that succeeds. Otherwise it waits until the
            forecast has ended, as both want the machine, and goes on without one that failed, which is told.
    """

    stages = GROUPS["training"]

    def __init__(self, *, gate: Gate | None = None, forecast_required: bool = False, **kwargs: Any) -> None:
        self.gate, self.forecast_required = gate or Gate(), forecast_required
        super().__init__(**kwargs)

    def add_stage(self, name: str) -> Any:
        """Add one stage; before train, the approval."""
        output = super().add_stage(name)
        if name == "train":
            self._ask_before(self.children["train_group"].children["train_parts"])  # type: ignore[attr-defined]
        return output

    def _ask_before(self, first: Any) -> None:
        given = {name: self.outputs[name] for name in ("mix", "gate")}
        branch = AskWhereInDoubt(
            task_id=IN_DOUBT,
            inputs={"gate": given["gate"]},
            asks=self.gate.asks,
            approval=APPROVE,
            go_on=first.task_id,
            **self.settings,
        )
        approval = ApproveTraining(
            task_id=APPROVE,
            subject="Train the final models?",
            gate=self.gate,
            inputs={**given, "forecast": self._forecast_ended(branch)},
            **self.settings,
        )
        branch >> [approval, first]
        approval >> first
        first.trigger_rule = JOIN

    def _forecast_ended(self, branch: Any) -> str:
        """Have the training wait for the forecast; its address, which may come to be empty."""
        forecast = self.outputs.get("forecast", "")
        if not hasattr(forecast, "operator"):
            return str(forecast)
        task = forecast.operator
        (task if self.forecast_required else ended([task], "training")) >> branch
        return address_or_nothing(forecast)


class PretrainingPipeline(TaskGroup):
    """Curation, mixture search and training in one group, which takes the arguments of all three.

    Args:
        overrides, allow, inputs: as of every group.
        skip, launch, resources: of any of the stages.
        gate, forecast_required: as of ``TrainingTaskGroup``.
        group_id: name of the group.
        kwargs: as of every group: config, assets, mapped_tasks, connections, deferrable.
    """

    def __init__(
        self,
        *,
        overrides: Overrides | None = None,
        allow: Collection[str] = (),
        inputs: Mapping[str, Any] | None = None,
        skip: Collection[str] = (),
        launch: Mapping[str, LaunchConfig] | None = None,
        resources: Resources | None = None,
        gate: Gate | None = None,
        forecast_required: bool = False,
        group_id: str = "pretraining",
        **kwargs: Any,
    ) -> None:
        super().__init__(group_id=group_id, prefix_group_id=False)
        for field, named in (("skip", skip), ("launch", launch or ()), ("resources", resources)):
            if isinstance(named, Collection):
                refuse_unknown(f"{type(self).__name__}: {field}", named, (*STAGES, ALL))
        layers, allowed = launched(launch, overrides, allow)
        self.outputs: dict[str, Any] = dict(inputs or {})
        last: dict[str, Any] = {"gate": gate, "forecast_required": forecast_required}
        with self:
            for group in (CurationTaskGroup, MixtureTaskGroup, TrainingTaskGroup):
                made = group(
                    overrides=layers,
                    allow=allowed,
                    inputs=self.outputs,
                    skip=[stage for stage in skip if stage in group.stages],
                    resources=_of_group(resources, group),
                    **(last if group is TrainingTaskGroup else {}),
                    **kwargs,
                )
                self.outputs = made.outputs


def _of_group(resources: Resources | None, group: type[StageTaskGroup]) -> Resources | None:
    if not isinstance(resources, Mapping):
        return resources
    return {name: value for name, value in resources.items() if name in (*group.stages, ALL)}


def _those_left(
    group: type[StageTaskGroup], skip: Collection[str], inputs: Collection[str]
) -> tuple[str, ...]:
    """The stages of a group that are not left out, each with all that it reads.

    Raises:
        ConfigError: a name is no stage of the group, or what a stage reads is not to be had.
    """
    refuse_unknown(f"{group.__name__}: skip", skip, group.stages)
    left = tuple(stage for stage in group.stages if stage not in skip)
    for stage in left:
        for read in STAGES[stage].required:
            if read not in left and read not in inputs:
                why = "is left out" if read in group.stages else "is of another group"
                mend = f"give its address, inputs={{{read!r}: ...}}, or leave {stage} out too"
                raise ConfigError(f"{group.__name__}: {stage}", f"reads {read}, which {why}", mend)
    return left
