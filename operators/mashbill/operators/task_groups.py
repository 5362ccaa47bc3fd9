"""Task groups: several stages in one import, for the DAGs of this package and for other teams' DAGs.

    with DAG(...):
        curation = CurationTaskGroup(config="pipeline.toml")
        mixture = MixtureTaskGroup(config="pipeline.toml", inputs=curation.outputs)

``outputs`` holds the addresses that the stages return, by stage; a group's ``inputs`` are the outputs of
groups before it.
"""

from collections.abc import Collection, Mapping
from functools import cache
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import TaskGroup

from mashbill.operators.base import ListParts, Overrides, RunPart, StageOperator
from mashbill.operators.check import CheckConfig
from mashbill.operators.mixture import AskWhereInDoubt
from mashbill.stages import GROUPS, STAGES

CHECK = "check"
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
        group_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            group_id=group_id or type(self).__name__.removesuffix("TaskGroup").lower(),
            prefix_group_id=False,
            **kwargs,
        )
        self.settings = {"config": config, "overrides": overrides or {}, "allow": tuple(allow)}
        self.outputs: dict[str, Any] = dict(inputs or {})
        with self:
            for name in self.stages:
                self.outputs[name] = self.add_stage(name)
            self._check_first()

    def add_stage(self, name: str) -> Any:
        """Add one stage; returns its address as an XComArg."""
        stage = STAGES[name]
        settings: dict[str, Any] = {
            **self.settings,
            "inputs": {i: self.outputs[i] for i in stage.inputs if i in self.outputs},
        }
        if stage.parts is None:
            return operator_of(name)(task_id=name, doc_md=stage.summary, **settings).output
        with TaskGroup(f"{name}_group", prefix_group_id=False, tooltip=stage.summary):
            parts = ListParts(
                task_id=f"{name}_parts", stage=name, doc_md=f"Parts of {name} to run.", **settings
            )
            one = RunPart.partial(
                task_id=f"{name}_part",
                stage=name,
                map_index_template="{{ part }}",
                max_active_tis_per_dagrun=1 if stage.needs.one_at_a_time else None,
                **settings,
            ).expand(part=parts.output)
            whole = operator_of(name)(
                task_id=name, doc_md=stage.summary, trigger_rule="none_failed", **settings
            )
            one >> whole
        return whole.output

    def _check_first(self) -> None:
        """Look at what the stages read before any of them runs: with an earlier group's look, where that has
        the same config, so that a DAG's first task tells all."""
        for task in self.dag.tasks if self.dag else ():
            if isinstance(task, CheckConfig) and all(getattr(task, k) == v for k, v in self.settings.items()):
                task.stages = (*task.stages, *self.stages)
                return
        first = list(self.get_roots())
        name = f"check_{self.group_id}" if self.dag and self.dag.has_task(CHECK) else CHECK
        words = "Look at what the config names."
        check = CheckConfig(task_id=name, stages=self.stages, doc_md=words, **self.settings)
        check >> first


class CurationTaskGroup(StageTaskGroup):
    """From sources to token shards."""

    stages = GROUPS["curation"]


class MixtureTaskGroup(StageTaskGroup):
    """From token shards to a mixture, and whether it is worth training. Needs tokenize."""

    stages = GROUPS["mixture"]


class TrainingTaskGroup(StageTaskGroup):
    """From a mixture to a forecast, models and the report, with a person's approval where the gate asks for
    it."""

    stages = GROUPS["training"]

    def add_stage(self, name: str) -> Any:
        """Add one stage; before train, the approval."""
        output = super().add_stage(name)
        if name == "train":
            self._ask_before(self.children["train_group"].children["train_parts"])  # type: ignore[attr-defined]
        return output

    def _ask_before(self, first: Any) -> None:
        gate = self.outputs["gate"].operator.task_id
        counts = f"ti.xcom_pull(task_ids='{gate}', key='counts')"
        approval = ApprovalOperator(
            task_id="approve",
            subject="Train the final model on a gain within the noise?",
            body=f"{{{{ {counts}['reason'] }}}}",
            fail_on_reject=True,
            # Airflow 3.3 may lose an answer that comes while the task is being parked, and asks again
            retries=3,
        )
        branch = AskWhereInDoubt(task_id="needs_approval", gate=gate, approval="approve", go_on=first.task_id)
        [self.outputs[before].operator for before in ("gate", "forecast")] >> branch >> [approval, first]
        approval >> first
        first.trigger_rule = JOIN
