"""The trigger that waits for jobs elsewhere, and tells how far they are in the task's log meanwhile."""

import asyncio
import tempfile
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from mashbill.errors import MashbillError
from mashbill.launch.records import HANDLE
from mashbill.launch.submission import Submitted, backend_of, cancel_all
from mashbill.operators.connections import s3_access
from mashbill.operators.kube_connection import cluster_of
from mashbill.stages.following import Seen, follow
from mashbill.storage import scratch_here

STATES, ERROR = "states", "error"
Connections = Mapping[str, str | None]
JOBS, CONNECTIONS = "jobs", "connections"
"""Names under which a task that waits keeps its jobs, and by which connections they are reached."""
EVERY_SECONDS = 30.0
"""Between looks at how far a job is."""
_opening = threading.Lock()  # a connection's credentials are in the environment while a store is opened


class JobsEnded(BaseTrigger):
    """Fire when all of some jobs have ended, with how each did.

    Args:
        jobs: submitted jobs as plain values.
        aws_conn_id: Airflow's connection to the store; None is the triggerer's identity.
        kubernetes_conn_id: its connection to the cluster; None is the kubeconfig, or that identity.
        every_seconds: between looks at how far a job is.
    """

    def __init__(
        self,
        jobs: Sequence[Mapping[str, str]],
        *,
        aws_conn_id: str | None = None,
        kubernetes_conn_id: str | None = None,
        every_seconds: float = EVERY_SECONDS,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.jobs, self.aws_conn_id = list(jobs), aws_conn_id
        self.kubernetes_conn_id, self.every_seconds = kubernetes_conn_id, every_seconds

    @classmethod
    def over(cls, jobs: Sequence[Mapping[str, str]], connections: Connections) -> Self:
        """The trigger, given its connections by name."""
        return cls(
            jobs,
            aws_conn_id=connections["aws_conn_id"],
            kubernetes_conn_id=connections["kubernetes_conn_id"],
        )

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Where its class is, and its arguments."""
        arguments = {
            "jobs": self.jobs,
            "aws_conn_id": self.aws_conn_id,
            "kubernetes_conn_id": self.kubernetes_conn_id,
            "every_seconds": self.every_seconds,
        }
        return f"{type(self).__module__}.{type(self).__name__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Follow the jobs to their ends, and fire."""
        try:
            jobs = await self._submitted()
            states = await follow(jobs, self._tell, every=self.every_seconds)
        except MashbillError as error:
            yield TriggerEvent({ERROR: [error.where, error.what, error.mend]})  # type: ignore[no-untyped-call]
            return
        yield TriggerEvent({STATES: [state.text() for state in states]})  # type: ignore[no-untyped-call]

    async def on_kill(self) -> None:
        """End the jobs: someone has failed, cleared or passed over the task."""
        attempts = [job.attempt for job in await self._submitted()]
        await asyncio.to_thread(cancel_all, attempts, backend_of)

    async def _submitted(self) -> list[Submitted]:
        return await sync_to_async(self._opened, thread_sensitive=False)()

    def _opened(self) -> list[Submitted]:
        """The jobs, their store opened with the connection's credentials, which it keeps."""
        scratch = scratch_here(Path(tempfile.gettempdir()) / "mashbill")
        with _opening, s3_access(self.aws_conn_id):
            if self.kubernetes_conn_id is not None:
                cluster_of(self.kubernetes_conn_id)
            found = Submitted.all_of(self.jobs, scratch)
            for one in found:
                one.attempt.read(HANDLE)
            return found

    def _tell(self, seen: Seen) -> None:
        self.log.info("%s", seen.line)
