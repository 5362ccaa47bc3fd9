"""The trigger that waits for jobs elsewhere, and tells how far they are in the task's log meanwhile."""

import asyncio
import tempfile
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from mashbill.errors import MashbillError
from mashbill.launch.submission import Submitted, backend_of, cancel
from mashbill.operators.connections import s3_access
from mashbill.stages.following import Seen, follow
from mashbill.storage import Storage, open_storage, scratch_here

STATES, ERROR = "states", "error"
EVERY_SECONDS = 10.0
"""Between looks at how far a job is."""
_opening = threading.Lock()  # a connection's credentials are in the environment while a store is opened


class JobsEnded(BaseTrigger):
    """Fire when all of some jobs have ended, with how each did.

    Args:
        root: artifact store with the jobs' records.
        jobs: submitted jobs as plain values.
        aws_conn_id: Airflow's connection to the store; None is the triggerer's identity.
        every_seconds: between looks at how far a job is.
    """

    def __init__(
        self,
        root: str,
        jobs: Sequence[dict[str, Any]],
        aws_conn_id: str | None = None,
        every_seconds: float = EVERY_SECONDS,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.root, self.jobs, self.aws_conn_id = root, list(jobs), aws_conn_id
        self.every_seconds = every_seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Where its class is, and its arguments."""
        arguments = {
            "root": self.root,
            "jobs": self.jobs,
            "aws_conn_id": self.aws_conn_id,
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
        for job in await self._submitted():
            await asyncio.to_thread(cancel, job.attempt, backend_of)

    async def _submitted(self) -> list[Submitted]:
        storage = await sync_to_async(self._storage, thread_sensitive=False)()
        return [Submitted.of(one, storage) for one in self.jobs]

    def _storage(self) -> Storage:
        """The store, opened with the connection's credentials, which it keeps."""
        with _opening, s3_access(self.aws_conn_id):
            storage = open_storage(self.root, scratch_here(Path(tempfile.gettempdir()) / "mashbill"))
            storage.exists("jobs")
            return storage

    def _tell(self, seen: Seen) -> None:
        done = 0.0 if seen.progress is None else seen.progress.done
        self.log.info("%3.0f%% %s: %s", 100 * done, seen.submitted.handle.name, seen.words)
