"""Following several jobs: where one cannot be followed the others are not either."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from builders.memory_cluster import Cluster, ClusterBackend, SteppedStorage
from mashbill.config import LaunchConfig
from mashbill.errors import RunError
from mashbill.launch.backend import Handle, JobState, Order
from mashbill.launch.records import Work
from mashbill.launch.submission import Submitted, submit_or_take_up
from mashbill.stages.following import follow


class OneAway(ClusterBackend):
    """A cluster that does not answer for one job, once all are looked at, and whose others never end."""

    looked = 0

    async def watch(self, handle: Handle) -> AsyncIterator[JobState]:
        self.looked += 1
        yield JobState("running")
        if handle.name == "job-0":
            while self.looked < len(self.cluster.made):
                await asyncio.sleep(0)
            raise RunError("host a", "does not answer", "mend it")
        await asyncio.Event().wait()


def test_nothing_is_followed_on_where_one_job_cannot_be_followed(tmp_path: Path) -> None:
    backend = OneAway(Cluster())

    def submit(name: str) -> Submitted:
        found = submit_or_take_up(
            Work(SteppedStorage(tmp_path), f"jobs/{name}"),
            ordered=lambda _, token: Order(name, token, ("run",), LaunchConfig()),
            done=lambda: False,
            backend_of=lambda order: backend,
        )
        assert found is not None
        return found

    async def left() -> int:
        jobs = [submit(f"job-{number}") for number in range(3)]
        with pytest.raises(RunError, match="host a"):
            await follow(jobs, lambda seen: None, backend_of=lambda order: backend, every=0.01)
        return len(asyncio.all_tasks()) - 1

    assert asyncio.run(left()) == 0
