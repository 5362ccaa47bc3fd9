"""The jobs that were submitted to an artifact store, by whomever: listed, found by name, and how each is."""

from collections.abc import Iterator
from dataclasses import dataclass

from mashbill.artifacts import ProgressState
from mashbill.errors import ConfigError, MashbillError
from mashbill.launch.backend import JobState, Order
from mashbill.launch.records import Attempt, all_work
from mashbill.launch.submission import BackendOf, Submitted, backend_of
from mashbill.launch.told import log_of, progress_of
from mashbill.stages.elsewhere import STAGE, parts_of
from mashbill.storage import Storage


@dataclass(frozen=True)
class KnownJob:
    """A job that there is a record of.

    Attributes:
        attempt: its record.
        order: what was to be submitted.
        state: how it is; None where its backend does not answer.
        problem: why that is not known.
        progress: how far it said it is.
    """

    attempt: Attempt
    order: Order
    state: JobState | None
    problem: str
    progress: ProgressState | None

    @property
    def stage(self) -> str:
        """The stage that it works at."""
        return self.order.labels[STAGE]

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that it makes; none where it makes the whole stage."""
        return parts_of(self.order)

    @property
    def words(self) -> str:
        """How it is, in a few words."""
        if self.state is None:
            return f"unknown: {self.problem}"
        failure = self.state.failure
        words = [self.state.phase, self.state.message]
        if failure is not None and failure.why not in self.state.message:
            words.append(failure.why)
        if self.progress is not None and not self.state.ended:
            words.append(f"{self.progress.done:.0%} {self.progress.message}")
        return ", ".join(word for word in words if word)


def known_jobs(storage: Storage, backend_of: BackendOf = backend_of) -> Iterator[KnownJob]:
    """All jobs of a store, and how each is; those that have not ended are asked for."""
    for work in all_work(storage):
        for attempt in work.attempts():
            yield known_job(attempt, backend_of)


def known_job(attempt: Attempt, backend_of: BackendOf = backend_of) -> KnownJob:
    """How the job of a record is."""
    order, problem = attempt.order, ""
    state, handle = attempt.end, attempt.handle
    if state is None and handle is None:
        state = JobState("starting", "is about to be submitted, or whoever did was killed")
    elif state is None and handle is not None:
        try:
            state = backend_of(order).state(handle)
        except MashbillError as error:
            problem = str(error)
    return KnownJob(attempt, order, state, problem, progress_of(attempt))


def attempt_named(storage: Storage, name: str) -> Attempt:
    """The record of the job of that name.

    Raises:
        ConfigError: there is none.
    """
    for work in all_work(storage):
        for attempt in work.attempts():
            if attempt.order.name == name:
                return attempt
    raise ConfigError(f"job {name}", f"is none of {storage.root}", "name one that mashbill jobs list shows")


def submitted_job(attempt: Attempt, backend_of: BackendOf = backend_of) -> Submitted:
    """The job of a record, to be followed.

    Raises:
        ConfigError: it was never submitted.
    """
    handle = attempt.handle
    if handle is None:
        what = "was never seen to be submitted"
        raise ConfigError(f"job {attempt.order.name}", what, "run its stage again, which submits it")
    return Submitted(attempt, handle)


def said_by(attempt: Attempt, node: int, lines: int, *, backend_of: BackendOf = backend_of) -> str:
    """The last lines that a node of a job said: of a job that runs as its backend has them, else as they were
    gathered.

    Raises:
        RunError: the backend does not answer, and nothing was gathered.
    """
    text, handle = "", attempt.handle
    try:
        text = backend_of(attempt.order).logs(handle, node, lines) if handle is not None else ""
    except MashbillError:
        if (gathered := log_of(attempt, node)) is None:
            raise
        text = gathered
    text = text or log_of(attempt, node) or ""
    return "\n".join(text.splitlines()[-lines:])
