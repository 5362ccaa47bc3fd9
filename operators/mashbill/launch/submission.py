"""Submitting work once, whatever is killed: whoever comes after takes up the job that is there.

The steps are: an intention in the store, the job, its handle in the store. Whoever finds an intention without
a handle submits the same order again, of which a backend makes one job; whoever finds a handle asks how the
job is. A new attempt is begun where the last is known to have ended and its result is not there.
"""

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from mashbill.errors import MashbillError, RunError, Several, all_of, one_line
from mashbill.launch.backend import Backend, Handle, JobState, Order
from mashbill.launch.records import Attempt, Work
from mashbill.launch.registry import backend_named
from mashbill.storage import open_storage

Ordered = Callable[[int, str], Order]
"""Given the number of an attempt and its token, what is to be submitted."""
BackendOf = Callable[[Order], Backend]
CANCELLED = JobState("gone", "was cancelled")
NOTHING = ("true",)


@dataclass(frozen=True)
class Submitted:
    """A job that was submitted, by whomever.

    Attributes:
        attempt: its record.
        handle: what its backend knows it by.
    """

    attempt: Attempt
    handle: Handle

    def as_json(self) -> dict[str, str]:
        """Plain values, by which another process that reaches the store finds it again."""
        root, key = self.attempt.storage.root, self.attempt.key
        return {"root": root, "key": key, "handle": self.handle.text()}

    @classmethod
    def of(cls, values: Mapping[str, str], scratch: Path) -> Self:
        """From what ``as_json`` gave.

        Args:
            values: plain values.
            scratch: local folder for copies, where the store is remote.
        """
        return cls.all_of([values], scratch)[0]

    @classmethod
    def all_of(cls, each: Sequence[Mapping[str, str]], scratch: Path) -> list[Self]:
        """As ``of``, for several, whose stores are opened once."""
        stores = {root: open_storage(root, scratch) for root in {values["root"] for values in each}}
        return [
            cls(Attempt(stores[values["root"]], values["key"]), Handle.of(values["handle"]))
            for values in each
        ]


def submit_or_take_up(
    work: Work, *, ordered: Ordered, done: Callable[[], bool], backend_of: BackendOf
) -> Submitted | None:
    """The job that does a piece of work: the one that is there and has not ended, else a new one.

    Args:
        work: its records.
        ordered: makes the order of an attempt.
        done: whether the work's result is there.
        backend_of: the backend of an order.
    Returns:
        None where the result is there.
    Raises:
        ConfigError: the backend refuses it for good.
        RunError: the backend does not answer, or the job was cancelled at once.
    """
    while True:
        attempts = work.attempts()
        running = take_up(attempts[-1], ordered, backend_of) if attempts else None
        if running is not None or done():
            return running
        number = attempts[-1].number + 1 if attempts else 1
        order = ordered(number, uuid.uuid4().hex)
        if work.begin(number, order):  # else another did, whose job is taken up
            return _submitted(work.attempt(number), order, backend_of(order))


def take_up(attempt: Attempt, ordered: Ordered, backend_of: BackendOf) -> Submitted | None:
    """The job of an attempt, submitted if that is still to be done; None where it has ended.

    What is submitted is what is ordered now, under the token that was kept: nothing that is read from a store
    is run.

    Raises:
        ConfigError: the backend refuses it for good.
        RunError: the backend does not answer, or the job was cancelled at once, or was to be another
            backend's.
    """
    if attempt.end is not None:
        return None
    kept, handle = attempt.order, attempt.handle
    backend = backend_of(kept)
    if attempt.unwanted:
        with _way_out(kept.name):
            _end_for_good(attempt, backend)
        return None
    if handle is None:
        order = ordered(attempt.number, kept.token)
        if order.takes.backend != kept.takes.backend:
            what = f"may have been submitted to {kept.takes.backend}, and backend is {order.takes.backend}"
            mend = f"run it with {kept.takes.backend} once more, or end it: mashbill jobs cancel {kept.name}"
            raise RunError(f"job {kept.name}", what, mend)
        submitted = _submitted(attempt, order, backend)
    else:
        submitted = Submitted(attempt, handle)
    with _way_out(kept.name):
        state = backend.state(submitted.handle)
    if not state.ended:
        return submitted
    attempt.keep_end(state)
    return None


def cancel(attempt: Attempt, backend_of: BackendOf) -> None:
    """End the job of an attempt, also one whose submission is under way.

    Raises:
        RunError: the backend does not answer; whoever takes the job up ends it.
    """
    if attempt.end is None:
        attempt.keep_unwanted()
        order = attempt.order
        with _way_out(order.name):
            _end_for_good(attempt, backend_of(order))


def cancel_all(attempts: Sequence[Attempt], backend_of: BackendOf) -> None:
    """End the jobs of some attempts, all of those that can be.

    Raises:
        MashbillError: some could not be ended; all of them are told, after all others were ended.
    """
    errors: list[MashbillError] = []
    for attempt in attempts:
        try:
            cancel(attempt, backend_of)
        except Exception as error:  # whatever it is, the others are ended, and it is told
            errors.append(_not_ended(attempt, error))
    if errors:
        raise all_of(errors)


def forget(attempt: Attempt, backend_of: BackendOf) -> str:
    """Note that the job of an attempt has ended, though nobody can ask: its machine or cluster is no more.
    What of it can be reached is ended.

    Returns:
        What could not be reached, in a line; empty where all was ended.
    """
    if attempt.end is not None:
        return ""
    attempt.keep_unwanted()
    left = ""
    try:
        handle = attempt.handle
        if handle is not None:
            backend_of(attempt.order).cancel(handle)
    except MashbillError as error:
        left = "; ".join(str(error).splitlines())
    attempt.keep_end(JobState("gone", "was forgotten" if left else CANCELLED.message))
    return left


@contextmanager
def _way_out(name: str) -> Iterator[None]:
    """Within the block a job is asked for; a failure tells what to do if its machines are no more."""
    try:
        yield
    except MashbillError as error:
        way = f"or, where it is no more: mashbill jobs cancel {name} --forget"
        each = error.found if isinstance(error, Several) else (error,)
        raise all_of(
            [type(one)(_of_job(name, one.where), one.what, f"{one.mend}; {way}") for one in each]
        ) from error


def _of_job(name: str, where: str) -> str:
    return where if where.startswith(f"job {name}") else f"job {name}: {where}"


def _not_ended(attempt: Attempt, error: Exception) -> MashbillError:
    if isinstance(error, MashbillError):
        return error
    what = f"was not ended ({type(error).__name__}: {one_line(error)})"
    return RunError(f"job {attempt.key}", what, "end it by hand, or: mashbill jobs cancel NAME")


def _submitted(attempt: Attempt, order: Order, backend: Backend) -> Submitted:
    """Submit an order, and keep what it was submitted as."""
    handle = backend.submit(order)
    attempt.keep_handle(handle)
    if attempt.unwanted:
        _end_for_good(attempt, backend)
        what = "was cancelled as it was submitted"
        raise RunError(f"job {handle.name}", what, "run again for a new attempt")
    return Submitted(attempt, handle)


def _end_for_good(attempt: Attempt, backend: Backend) -> None:
    handle = attempt.handle
    if handle is None:  # the job that is there, if there is one; else one that does nothing
        handle = backend.submit(replace(attempt.order, command=NOTHING, environment={}))
    backend.cancel(handle)
    attempt.keep_end(CANCELLED)


def backend_of(order: Order) -> Backend:
    """The backend that an order is for.

    Raises:
        ConfigError: what it needs is not installed.
    """
    return backend_named(order.takes.backend)
