"""Waiting for jobs elsewhere: how they are and how far, and how each ended, as if it had run here."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from mashbill.artifacts import Artifact, ProgressState
from mashbill.errors import ConfigError, DataError, MashbillError, RunError
from mashbill.launch.backend import FINAL_EXIT, PAUSED_EXIT, Failure, JobState
from mashbill.launch.submission import BackendOf, Submitted, backend_of
from mashbill.launch.told import error_of, progress_of
from mashbill.stages.elsewhere import STAGE, Elsewhere

EVERY_SECONDS = 2.0
OWN_EXITS = frozenset({1, FINAL_EXIT, PAUSED_EXIT})
"""Exit codes of a node that ended by itself, with an error that it told."""

MENDS = {"image": "correct it, or have kubernetes.pull_secrets name a secret that may pull it"}
"""Of settings that keep a job from ever running."""


@dataclass(frozen=True)
class Seen:
    """How a job was seen.

    Attributes:
        submitted: the job.
        state: what its backend says.
        progress: how far it said it is; None where it has said nothing.
    """

    submitted: Submitted
    state: JobState
    progress: ProgressState | None

    @property
    def words(self) -> str:
        """In a few words."""
        told = [self.state.phase if self.state.phase != "running" else "", self.state.message]
        if self.progress is not None and self.state.phase == "running":
            told.append(self.progress.message)
        return ", ".join(word for word in told if word) or self.state.phase

    @property
    def line(self) -> str:
        """For a log: how far it is, which job, and how it is."""
        done = 0.0 if self.progress is None else self.progress.done
        return f"{100 * done:3.0f}% {self.submitted.handle.name}: {self.words}"


async def watched(
    submitted: Submitted, *, backend_of: BackendOf = backend_of, every: float = EVERY_SECONDS
) -> AsyncIterator[Seen]:
    """How a job is, as that or how far it is changes, to its end, which is kept in its record.

    Args:
        submitted: the job.
        backend_of: gives the backend of an order.
        every: seconds between looks at how far it is.
    Raises:
        RunError: the backend has not answered for longer than its patience.
    """
    attempt = submitted.attempt
    order, ended = await asyncio.to_thread(lambda: (attempt.order, attempt.end))
    if ended is not None:  # where it ran, there may be nothing left of it
        yield Seen(submitted, ended, await asyncio.to_thread(progress_of, attempt))
        return
    states, before = backend_of(order).watch(submitted.handle), None
    state = await anext(states)
    coming = asyncio.ensure_future(anext(states, state))
    try:
        while True:
            progress = await asyncio.to_thread(progress_of, attempt)
            if state.ended:
                state = await asyncio.to_thread(attempt.ended_as, state)
            seen = Seen(submitted, state, progress)
            if seen != before:
                yield seen
            before = seen
            if state.ended:
                return
            await asyncio.wait({coming}, timeout=every)
            if coming.done():
                state = coming.result()
                coming = asyncio.ensure_future(anext(states, state))
    finally:
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)


async def follow(
    jobs: Sequence[Submitted],
    seen: Callable[[Seen], None],
    *,
    backend_of: BackendOf = backend_of,
    every: float = EVERY_SECONDS,
) -> list[JobState]:
    """Wait for jobs to end.

    Args:
        jobs: to be waited for.
        seen: called with each, as it changes.
        backend_of: gives the backend of an order.
        every: seconds between looks at how far a job is.
    Returns:
        How each ended.
    """

    async def one(submitted: Submitted) -> JobState:
        async for now in watched(submitted, backend_of=backend_of, every=every):
            seen(now)
            last = now.state
        return last

    following = [asyncio.ensure_future(one(job)) for job in jobs]
    try:
        return await asyncio.gather(*following)
    finally:  # where one cannot be followed, nobody is told of the others
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)


def refuse_failed(submitted: Submitted, state: JobState) -> None:
    """Raise the error that a job ended with, the one that its node gave where it gave one.

    Raises:
        MashbillError: it did not succeed.
    """
    error = failure_of(submitted, state)
    if error is not None:
        raise error


def failure_of(submitted: Submitted, state: JobState) -> MashbillError | None:
    """The error that a job ended with; None where it succeeded."""
    if state.phase == "succeeded":
        return None
    name, failure = submitted.handle.name, state.failure
    if state.phase == "gone":
        return RunError(f"job {name}", state.message or "was removed", "run again for a new attempt")
    if failure is None or failure.exit_code is None or failure.exit_code in OWN_EXITS:
        told = error_of(submitted.attempt, None if failure is None else failure.rank)
        if told is not None:
            return told
    if failure is not None and failure.setting:
        where = f"launch.{submitted.attempt.order.labels[STAGE]}.{failure.setting}"
        return ConfigError(where, f"job {name} {_words(failure)}", MENDS.get(failure.setting, "correct it"))
    mend = f"see mashbill jobs logs {name} --config ..., and run again"
    return RunError(f"job {name}", _words(failure) if failure else state.message or "failed", mend)


def _words(failure: Failure) -> str:
    """Where and why, in one line."""
    where = (
        failure.where if failure.machine in {"", failure.where} else f"{failure.where} on {failure.machine}"
    )
    node = "" if failure.rank is None or f"node {failure.rank}" in where else f", node {failure.rank}"
    return f"failed ({where}{node}: {failure.why})"


def run_elsewhere(elsewhere: Elsewhere, seen: Callable[[Seen], None]) -> Artifact:
    """The result of a stage, made by jobs where it is not there: those that are under way are taken up.

    Args:
        elsewhere: the stage.
        seen: called with each job, as it changes.
    Raises:
        MashbillError: a job failed; the others have ended too, and what they finished is kept.
    """
    job = elsewhere.job
    done = job.reused()
    if done is not None:
        return done
    with job.store.making(job.stage.name, job.fingerprint):
        jobs = elsewhere.submit_all()
        states = asyncio.run(follow(jobs, seen, backend_of=elsewhere.backend_of))
        errors = [failure_of(one, state) for one, state in zip(jobs, states, strict=True)]
        found = [error for error in errors if error is not None]
        final = [error for error in found if isinstance(error, ConfigError | DataError)]
        if found:
            raise (final or found)[0]
        return elsewhere.collect()
