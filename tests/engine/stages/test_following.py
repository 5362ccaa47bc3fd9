"""Following several jobs: where one cannot be followed the others are not either; of several that failed the
error is told that no other try can mend."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from builders.corpus import SMALL_SWEEP, easy_and_hard
from builders.memory_cluster import Cluster, ClusterBackend, SteppedStorage
from mashbill.config import LaunchConfig
from mashbill.errors import ConfigError, DataError, RunError
from mashbill.launch.backend import Failure, Handle, JobState, Order
from mashbill.launch.records import Work, all_work
from mashbill.launch.submission import CANCELLED, Submitted, submit_or_take_up
from mashbill.launch.told import ERROR, name_of, text_of
from mashbill.stages import STAGES, job_of
from mashbill.stages.elsewhere import STAGE, Elsewhere
from mashbill.stages.following import Seen, failure_of, follow, run_elsewhere
from mashbill.stages.jobs import known_job


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


def submit(root: Path, backend: ClusterBackend, name: str) -> Submitted:
    """A job of a stage."""
    found = submit_or_take_up(
        Work(SteppedStorage(root), f"jobs/{name}"),
        ordered=lambda _, token: Order(name, token, ("run",), LaunchConfig(), labels={STAGE: "train"}),
        done=lambda: False,
        backend_of=lambda order: backend,
    )
    assert found is not None
    return found


NO_IMAGE = Failure("train-0", "gpu-7", 0, "image can't be pulled: i: not found", setting="image")


@pytest.mark.parametrize(
    "end, told",
    [
        (JobState("failed", "node 0 failed", NO_IMAGE), "image can't be pulled: i: not found"),
        (CANCELLED, "was cancelled"),
    ],
)
def test_a_job_that_has_ended_is_told_as_it_ended_where_nothing_is_left_of_it(
    tmp_path: Path, end: JobState, told: str
) -> None:
    backend = ClusterBackend(Cluster())
    job = submit(tmp_path, backend, "train-1")
    job.attempt.keep_end(end)
    backend.cluster.remove("train-1")
    seen: list[Seen] = []
    assert asyncio.run(follow([job], seen.append, backend_of=lambda order: backend)) == [end]
    assert [one.state for one in seen] == [end]
    assert job.attempt.end == end
    assert told in str(failure_of(job, end))
    assert known_job(job.attempt).words.count(told) == 1


def test_an_end_is_kept_as_whoever_saw_it_first_says(tmp_path: Path) -> None:
    class Removed(ClusterBackend):
        """A cluster whose job is cancelled while it is followed."""

        async def watch(self, handle: Handle) -> AsyncIterator[JobState]:
            yield JobState("running")
            job.attempt.keep_end(CANCELLED)
            yield JobState("gone", "was removed")

    backend = Removed(Cluster())
    job = submit(tmp_path, backend, "train-1")
    (end,) = asyncio.run(follow([job], lambda seen: None, backend_of=lambda order: backend))
    assert end == job.attempt.end == CANCELLED


def test_an_image_that_cannot_be_pulled_is_a_setting_to_correct(tmp_path: Path) -> None:
    job = submit(tmp_path, ClusterBackend(Cluster()), "train-1")
    error = failure_of(job, JobState("failed", "node 0 failed", NO_IMAGE))
    assert isinstance(error, ConfigError)
    assert str(error) == (
        "launch.train.image: job train-1 failed (train-0 on gpu-7, node 0: "
        "image can't be pulled: i: not found); correct it, or have "
        "kubernetes.pull_secrets name a secret that may pull it"
    )


def test_nothing_is_followed_on_where_one_job_cannot_be_followed(tmp_path: Path) -> None:
    backend = OneAway(Cluster())

    async def left() -> int:
        jobs = [submit(tmp_path, backend, f"job-{number}") for number in range(3)]
        with pytest.raises(RunError, match="host a"):
            await follow(jobs, lambda seen: None, backend_of=lambda order: backend, every=0.01)
        return len(asyncio.all_tasks()) - 1

    assert asyncio.run(left()) == 0


def test_of_several_errors_the_one_that_no_other_try_can_mend_is_told(tmp_path: Path) -> None:
    extra = "[sweep]\ntokens = 2_000\ngroup_size = 2\n[mix]\ntarget = { easy = 1.0 }\n[launch.sweep]\n"
    extra += 'backend = "job"\nimage = "i"\n'
    config, done = easy_and_hard(tmp_path, SMALL_SWEEP + extra, then=("plan",))
    errors = [RunError("host a", "is away", "wait"), DataError("a.jsonl", "is bad", "mend it")]

    class Failing(ClusterBackend):
        """A cluster whose jobs have failed, each with an error of its own."""

        async def watch(self, handle: Handle) -> AsyncIterator[JobState]:
            number = self.cluster.made.index(handle.name)
            for work in all_work(job.store.storage):
                attempt = work.attempts()[-1]
                if number < len(errors) and attempt.order.name == handle.name:
                    attempt.write(name_of(0, ERROR), text_of(errors[number]))
            state = "failed" if number < len(errors) else "succeeded"
            yield JobState(state, failure=Failure("pod", "gpu-7", 0, "exit code", 1 + number))

    backend = Failing(Cluster())
    job = job_of(STAGES["sweep"], config, done)
    with pytest.raises(DataError, match=r"a.jsonl: is bad; mend it"):
        run_elsewhere(Elsewhere(job, config.launch["sweep"], lambda order: backend), lambda seen: None)
    ends = [attempt.end for work in all_work(job.store.storage) for attempt in work.attempts()]
    assert sorted(end.phase for end in ends if end is not None) == ["failed", "failed", "succeeded"]
