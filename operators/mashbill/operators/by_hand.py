"""Tasks that someone sets to another state while their jobs are waited for: the jobs end, at once or as soon
as there is a triggerer.

A trigger that runs ends its jobs itself (``JobsEnded.on_kill``). One that does not run yet, or whose
triggerer is down, Airflow deletes without a word. So listeners in Airflow's servers keep, in the transaction
that changes the task, that its jobs are to end, as a callback of Airflow's own, which a triggerer runs with
its rights. Workers have the listeners too, and do nothing in them.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin

log = logging.getLogger(__name__)
ENDED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})
AGAIN_SECONDS = (5.0, 30.0, 120.0, 600.0)
"""Waits before jobs that could not be ended are tried again."""


async def end_jobs(
    jobs: Sequence[Mapping[str, str]],
    connections: Mapping[str, str | None],
    task: Mapping[str, Any],
) -> str:
    """End jobs that nobody waits for any more, in the triggerer; not where the task runs again, which takes
    care of them itself.

    Args:
        jobs: submitted jobs as plain values.
        connections: of the trigger that waited for them.
        task: ids of the DAG, run and task that waited.
    Raises:
        MashbillError: a backend or the store does not answer, again and again.
    """
    from mashbill.errors import MashbillError
    from mashbill.operators.jobs_trigger import JobsEnded

    waited = JobsEnded.over(jobs, connections)
    for seconds in (*AGAIN_SECONDS, None):
        if not await _has_ended(task):
            return "the task runs again"
        try:
            await waited.on_kill()
            break
        except MashbillError as error:
            if seconds is None:
                raise
            log.warning("jobs of %s could not be ended, and are tried again (%s)", task["task_id"], error)
            await asyncio.sleep(seconds)
    return f"{len(jobs)} ended"


async def _has_ended(task: Mapping[str, Any]) -> bool:
    """Whether a task has ended, or its run is gone."""
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
    from asgiref.sync import sync_to_async

    found = await sync_to_async(RuntimeTaskInstance.get_task_states)(
        dag_id=task["dag_id"],
        map_index=task["map_index"] if task["map_index"] >= 0 else None,
        task_ids=[task["task_id"]],
        run_ids=[task["run_id"]],
    )
    states = found.get(task["run_id"], {}).values()
    return all(state is not None and str(state) in ENDED for state in states)


class SetByHand:
    """The listeners."""

    @hookimpl
    def on_task_instance_failed(self, previous_state: Any, task_instance: Any, error: Any) -> None:
        """Keep that jobs are to end, where someone has failed the task."""
        del error
        _keep(previous_state, task_instance)

    @hookimpl
    def on_task_instance_success(self, previous_state: Any, task_instance: Any) -> None:
        """Keep that jobs are to end, where someone has passed over the task."""
        _keep(previous_state, task_instance)

    @hookimpl
    def on_task_instance_skipped(self, previous_state: Any, task_instance: Any) -> None:
        """Keep that jobs are to end, where someone has passed over the task."""
        _keep(previous_state, task_instance)

    @hookimpl
    def on_dag_run_failed(self, dag_run: Any, msg: str) -> None:
        """Keep that jobs are to end, where the run took longer than it may and its tasks were skipped."""
        from sqlalchemy.orm import object_session

        del msg
        session = object_session(dag_run)
        if session is not None:  # of its own it would commit what the scheduler has not done with
            for task_instance in dag_run.get_task_instances(state=["skipped"], session=session):
                _keep(None, task_instance)


class EndsJobs(AirflowPlugin):
    """What Airflow finds the listeners by."""

    name = "mashbill_ends_jobs"
    listeners = [SetByHand()]  # noqa: RUF012 - as Airflow has it


def _keep(previous_state: Any, task_instance: Any) -> None:
    """Have a triggerer end the jobs that a task instance waits for."""
    from sqlalchemy.orm import object_session

    kept = getattr(task_instance, "next_kwargs", None)
    if previous_state is not None or not kept:  # a worker's, or one that waits for nothing
        return
    from airflow.models.callback import TriggererCallback
    from airflow.sdk.definitions.callback import AsyncCallback
    from airflow.sdk.serde import deserialize

    from mashbill.operators.jobs_trigger import CONNECTIONS, JOBS

    given: Any = deserialize(dict(kept))
    session = object_session(task_instance)
    if not given.get(JOBS) or CONNECTIONS not in given or session is None:
        return
    names = ("dag_id", "run_id", "task_id", "map_index")
    task = {name: getattr(task_instance, name) for name in names}
    values = {JOBS: given[JOBS], CONNECTIONS: given[CONNECTIONS], "task": task}
    callback = TriggererCallback(AsyncCallback(end_jobs, values), dag_id=task["dag_id"])
    callback.queue(session=session)
    session.add(callback)
