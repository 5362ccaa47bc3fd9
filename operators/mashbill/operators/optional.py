"""What goes on without a stage that failed, and says so: neither the training nor the report hangs on a
forecast. That a stage failed is told by the run's state all the same, by its last task."""

from collections.abc import Collection, Mapping
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import BaseOperator

from mashbill.operators.base import own_params

COMPLETE = "all_succeeded"


class TellMissing(BaseOperator):
    """Say which of some tasks made nothing: they have ended, however they did, and what follows does not hang
    on them.

    Args:
        optional: ids of these tasks.
        goes_on: what goes on without those that failed.
    """

    def __init__(self, *, optional: Collection[str], goes_on: str, **kwargs: Any) -> None:
        super().__init__(**{"trigger_rule": "all_done", **kwargs})
        self.params = own_params(self.params)
        self.optional, self.goes_on = tuple(optional), goes_on

    def execute(self, context: Any) -> list[str]:
        """Tell, in the log and as the result: those that made nothing."""
        missing = [task for task in self.optional if not context["ti"].xcom_pull(task_ids=task)]
        for task in missing:
            words = "there is no %s, as that task did not succeed; the %s goes on without"
            self.log.warning(words, task, self.goes_on)
        return missing


def made_before(inputs: Mapping[str, Any], optional: Collection[str]) -> dict[str, BaseOperator]:
    """Tasks of the DAG that make what a stage does without, by stage.

    Args:
        inputs: addresses by stage, as they come.
        optional: stages.
    """
    return {name: inputs[name].operator for name in optional if hasattr(inputs.get(name), "operator")}


def ended(tasks: Collection[Any], goes_on: str) -> TellMissing:
    """A task that waits until others have ended, however they did."""
    names = [task.task_id for task in tasks]
    told = TellMissing(
        task_id=f"{names[0]}_told" if len(names) == 1 else f"{goes_on}_told",
        optional=names,
        goes_on=goes_on,
        doc_md=f"Say whether {', '.join(names)} failed.",
    )
    list(tasks) >> told
    return told


def address_or_nothing(made: Any) -> str:
    """A template of the address that comes of a task, empty where it made none; without waiting for it."""
    return f"{{{{ ti.xcom_pull(task_ids='{made.operator.task_id}', key='{made.key}') or '' }}}}"


def complete(tasks: Collection[Any]) -> EmptyOperator:
    """The last task: it is failed with any of those before it, and the run with it."""
    words = "That all stages succeeded, also those without which others go on."
    last = EmptyOperator(task_id=COMPLETE, trigger_rule="none_failed", doc_md=words)
    last.params = own_params(last.params)
    list(tasks) >> last
    return last
