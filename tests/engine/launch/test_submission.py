"""Work is submitted once: whoever is killed, whenever, and however many submit it at once."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.memory_cluster import (
    Cluster,
    ClusterBackend,
    Killed,
    Step,
    SteppedStorage,
    Turns,
    killed_at,
    nothing,
)
from mashbill.config import LaunchConfig
from mashbill.errors import ConfigError, RunError
from mashbill.launch.backend import Failure, Handle, JobState, Order
from mashbill.launch.records import Work
from mashbill.launch.submission import (
    Submitted,
    cancel,
    cancel_all,
    forget,
    submit_or_take_up,
    take_up,
)

KEY = "jobs/train/0123456789abcdef/chosen"
STEPS = 24
"""More than a submission takes."""
Event = Literal["nothing", "runs", "fails", "vanishes", "succeeds"]
kills = st.integers(0, STEPS)
events = st.sampled_from(["nothing", "runs", "fails", "vanishes", "succeeds"])


@dataclass
class World:
    """A disk, a cluster, and whether the result is there."""

    disk: Path
    cluster: Cluster = field(default_factory=Cluster)
    done: bool = False

    def work(self, step: Step = nothing) -> Work:
        return Work(SteppedStorage(self.disk, step), KEY)

    def submit(self, step: Step = nothing) -> Submitted | None:
        """Submit the work, as a process of its own."""
        backend = ClusterBackend(self.cluster, step)
        return submit_or_take_up(
            self.work(step),
            ordered=lambda number, token: Order(f"train-{number}", token, ("run",), LaunchConfig()),
            done=lambda: self.done,
            backend_of=lambda order: backend,
        )

    def found(self, step: Step = nothing) -> Mapping[str, Any]:
        """What is kept of the job that does the work."""
        submitted = self.submit(step)
        assert submitted is not None
        return submitted.as_json()

    def cancel(self, step: Step = nothing) -> None:
        """End what was submitted last, as a process of its own."""
        backend = ClusterBackend(self.cluster, step)
        for attempt in self.work(step).attempts()[-1:]:
            cancel(attempt, lambda order: backend)

    def happens(self, event: Event) -> None:
        """Something becomes of the jobs that are there."""
        for name in self.cluster.alive:
            if event == "vanishes":
                self.cluster.remove(name)
            elif event == "fails":
                self.cluster.states[name] = JobState("failed", failure=Failure("pod", "node", 0, "OOMKilled"))
            elif event == "succeeds":
                self.cluster.states[name], self.done = JobState("succeeded"), True
            elif event == "runs":
                self.cluster.states[name] = JobState("running")


@contextmanager
def world() -> Iterator[World]:
    with tempfile.TemporaryDirectory() as folder:
        yield World(Path(folder))


@given(st.lists(kills, max_size=5))
def test_however_often_submitters_are_killed_there_is_one_job(killed: list[int]) -> None:
    with world() as it:
        for number in killed:
            with suppress(Killed):
                it.submit(killed_at(number))
        submitted = it.submit()
        assert it.cluster.made == ["train-1"]
        assert submitted is not None
        assert submitted.handle.uid == it.cluster.uids["train-1"]
        assert it.found() == submitted.as_json()


@pytest.mark.parametrize("number", range(1, STEPS))
def test_a_submitter_killed_at_any_step_leaves_a_job_that_is_taken_up(number: int) -> None:
    with world() as it:
        with suppress(Killed):
            it.submit(killed_at(number))
        it.happens("runs")
        assert it.submit() is not None
        assert it.cluster.made == ["train-1"]


@given(
    st.lists(
        st.tuples(kills, st.sampled_from(["nothing", "runs", "fails", "vanishes", "succeeds"])), max_size=6
    )
)
def test_no_two_jobs_do_the_same_work_at_once_and_none_does_what_is_done(
    story: list[tuple[int, Event]],
) -> None:
    with world() as it:
        for number, event in story:
            made, done = len(it.cluster.made), it.done
            with suppress(Killed):
                it.submit(killed_at(number))
            assert not done or len(it.cluster.made) == made
            it.happens(event)
        assert max(it.cluster.at_once, default=0) <= 1
        assert (it.submit() is None) == it.done
        assert it.done or len(it.cluster.alive) == 1


@given(st.lists(st.integers(0, 1), max_size=2 * STEPS), kills)
def test_of_two_that_submit_at_once_one_wins_and_the_other_takes_up_its_job(
    order: list[int], killed: int
) -> None:
    with world() as it:
        turns = Turns(order)
        one, other = turns.step_of(0), turns.step_of(1)
        dies = killed_at(killed)

        def step() -> None:
            one()
            dies()

        def first() -> None:
            with suppress(Killed):
                it.submit(step)

        found: list[Mapping[str, Any]] = []
        turns.run(first, lambda: found.append(it.found(other)))
        assert it.cluster.made == ["train-1"]
        assert found == [it.found()]


@given(st.lists(st.integers(0, 1), max_size=2 * STEPS), st.sampled_from([0, 5, 9, 11]))
def test_who_cancels_while_another_submits_leaves_no_job_that_nobody_knows(
    order: list[int], killed: int
) -> None:
    with world() as it:
        if killed:
            with suppress(Killed):
                it.submit(killed_at(killed))
        turns = Turns(order)
        one, other = turns.step_of(0), turns.step_of(1)

        def submit() -> None:
            with suppress(RunError):
                it.submit(one)

        turns.run(submit, lambda: it.cancel(other))
        for name in it.cluster.alive:
            last = it.work().attempts()[-1]
            assert last.order.name == name
            assert last.end is None
        assert len(it.cluster.alive) <= 1


@given(kills)
def test_a_cancellation_that_was_killed_is_finished_by_whoever_comes_next(killed: int) -> None:
    with world() as it:
        it.submit()
        with suppress(Killed):
            it.cancel(killed_at(killed))
        asked = it.work().attempts()[0].unwanted
        it.submit()
        assert it.cluster.alive == (["train-2"] if asked else ["train-1"])


def test_a_job_of_that_name_with_another_uid_is_not_taken_for_ours() -> None:
    with world() as it:
        first = it.submit()
        assert first is not None
        it.cluster.remove("train-1")
        it.cluster.make(Order("train-1", "another's", ("run",), LaunchConfig()))
        second = it.submit()
        assert second is not None
        assert (second.handle.name, second.handle.token) != (first.handle.name, first.handle.token)


def test_what_is_kept_of_a_job_finds_it_again_from_another_process() -> None:
    with world() as it:
        submitted = it.submit()
        assert submitted is not None
        again = Submitted.of(json.loads(json.dumps(submitted.as_json())), it.disk)
        assert (again.handle, again.attempt.order) == (submitted.handle, submitted.attempt.order)


@pytest.mark.parametrize("number", range(1, STEPS))
def test_nothing_that_is_read_from_the_store_is_run(number: int) -> None:
    with world() as it:
        with suppress(Killed):
            it.submit(killed_at(number))
        for attempt in it.work().attempts():
            planted = replace(attempt.order, command=("rm", "-r", "/"), environment={"LD_PRELOAD": "evil"})
            attempt.write("order.json", planted.text())
        if number % 2:
            it.cancel()
        it.submit()
        assert {order.command for order in it.cluster.orders.values()} == {("run",)}
        assert not any(order.environment for order in it.cluster.orders.values())
        assert "rm" not in str(it.cluster.commands)


def test_what_may_have_been_submitted_to_another_backend_is_not_submitted_to_this_one() -> None:
    with world() as it:
        it.work().begin(1, Order("train-1", "token", ("run",), LaunchConfig(backend="job", image="i")))
        with pytest.raises(RunError, match="may have been submitted to job, and backend is local"):
            it.submit()
        assert it.cluster.made == []
        it.cancel()
        it.submit()
        assert it.cluster.alive == ["train-2"]


def test_attempts_are_counted_on_past_the_tenth() -> None:
    with world() as it:
        for number in range(1, 12):
            assert it.submit() is not None
            assert it.cluster.made[-1] == f"train-{number}"
            it.happens("fails")


def test_a_job_that_cannot_be_ended_keeps_no_other_from_being_ended(tmp_path: Path) -> None:
    class Away(ClusterBackend):
        """A cluster that does not answer for one of the jobs."""

        def cancel(self, handle: Handle) -> None:
            if handle.name == "job-0":
                raise RunError("host a", "does not answer", "mend it")
            if handle.name == "job-2":
                raise KeyError("pid")
            if handle.name == "job-3":
                raise ConfigError("host d", "does not let us in", "add the key")
            super().cancel(handle)

    backend = Away(Cluster())
    attempts = []
    for number in range(5):
        submitted = submit_or_take_up(
            Work(SteppedStorage(tmp_path), f"{KEY}-{number}"),
            ordered=lambda _, token, name=f"job-{number}": Order(name, token, ("run",), LaunchConfig()),
            done=lambda: False,
            backend_of=lambda order: backend,
        )
        assert submitted is not None
        attempts.append(submitted.attempt)
    with pytest.raises(ConfigError) as told:  # as one of them is for a person to mend
        cancel_all(attempts, lambda order: backend)
    assert backend.cluster.alive == ["job-0", "job-2", "job-3"]
    assert [attempt.end is None for attempt in attempts] == [True, False, True, True, False]
    lines = str(told.value).splitlines()
    assert lines[0] == (
        "job job-0: host a: does not answer; mend it; "
        "or, where it is no more: mashbill jobs cancel job-0 --forget"
    )
    assert "KeyError" in lines[1]
    assert lines[2].startswith("job job-3: host d: does not let us in; ")


def test_a_job_whose_machines_are_no_more_is_forgotten_and_its_work_begun_anew() -> None:
    class Gone(ClusterBackend):
        """A cluster of which nothing is left."""

        def state(self, handle: Handle) -> JobState:
            raise RunError("host a", "does not answer", "mend it")

        def cancel(self, handle: Handle) -> None:
            raise RunError("host a", "does not answer", "mend it")

    with world() as it:
        it.submit()
        gone = Gone(it.cluster)
        attempt = it.work().attempts()[0]
        with pytest.raises(RunError, match=r"does not answer.*mashbill jobs cancel train-1 --forget"):
            take_up(attempt, lambda number, token: attempt.order, lambda order: gone)
        with pytest.raises(RunError, match=r"mashbill jobs cancel train-1 --forget"):
            cancel(attempt, lambda order: gone)
        assert "host a: does not answer" in forget(attempt, lambda order: gone)
        assert forget(attempt, lambda order: gone) == ""
        assert attempt.end is not None
        assert (attempt.end.phase, attempt.end.message) == ("gone", "was forgotten")
        again = it.submit()
        assert again is not None
        assert again.handle.name == "train-2"


def test_what_can_be_reached_of_a_job_that_is_forgotten_is_ended() -> None:
    with world() as it:
        it.submit()
        backend = ClusterBackend(it.cluster)
        assert forget(it.work().attempts()[0], lambda order: backend) == ""
        assert it.cluster.alive == []
