"""A cluster in memory behind the interface of backends, and a disk whose writers are killed, or wait for
their turn, at every step."""

import itertools
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mashbill.config import LaunchConfig
from mashbill.errors import ConfigError
from mashbill.launch.backend import Handle, JobState, Order
from mashbill.storage.local import LocalStorage

Step = Callable[[], None]


class Killed(BaseException):
    """The process is no more."""


def nothing() -> None:
    """A step that nothing happens at."""


@dataclass
class Cluster:
    """What a cluster keeps: jobs by name, each with what it was made of.

    Attributes:
        orders: of the jobs that are there; states: how they are; uids: what they are called.
        numbers: of those.
        made: names of all jobs that ever were, in order.
        at_once: jobs that were not ended, after each that was made.
    """

    orders: dict[str, Order] = field(default_factory=dict)
    states: dict[str, JobState] = field(default_factory=dict)
    uids: dict[str, str] = field(default_factory=dict)
    made: list[str] = field(default_factory=list)
    at_once: list[int] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def make(self, order: Order) -> None:
        """Make a job."""
        self.orders[order.name], self.states[order.name] = order, JobState("queued")
        self.uids[order.name] = f"uid-{next(self.numbers)}"
        self.made.append(order.name)
        self.at_once.append(len(self.alive))

    def remove(self, name: str) -> None:
        """Remove a job, as someone else or its time to live does."""
        for table in (self.orders, self.states, self.uids):
            table.pop(name, None)

    @property
    def alive(self) -> list[str]:
        """Jobs that have not ended."""
        return [name for name, state in self.states.items() if not state.ended]


@dataclass
class ClusterBackend:
    """The interface over it, as one process has it.

    Attributes:
        cluster: shared with other processes.
        step: called before and after whatever the cluster is asked.
    """

    cluster: Cluster
    step: Step = nothing
    name: str = "cluster"

    def check(self, takes: LaunchConfig) -> list[str]:
        return []

    def submit(self, order: Order) -> Handle:
        self.step()
        if order.name not in self.cluster.orders:
            self.cluster.make(order)
        elif self.cluster.orders[order.name].token != order.token:
            raise ConfigError(f"job {order.name}", "is another's", "remove it")
        uid = self.cluster.uids[order.name]
        self.step()
        return Handle(self.name, order.name, order.token, uid, {})

    def state(self, handle: Handle) -> JobState:
        self.step()
        known = self.cluster.uids.get(handle.name) == handle.uid
        return self.cluster.states[handle.name] if known else JobState("gone", "was removed")

    async def watch(self, handle: Handle) -> AsyncIterator[JobState]:
        yield self.state(handle)

    def cancel(self, handle: Handle) -> None:
        self.step()
        if self.cluster.uids.get(handle.name) == handle.uid:
            self.cluster.remove(handle.name)
        self.step()

    def logs(self, handle: Handle, rank: int = 0, lines: int = 100) -> str:
        return ""


class SteppedStorage(LocalStorage):
    """A disk with a step before and after whatever is read or written."""

    def __init__(self, root: Path, step: Step = nothing) -> None:
        super().__init__(str(root), root)
        self.step = step

    def read(self, key: str) -> bytes:
        self.step()
        return super().read(key)

    def exists(self, key: str) -> bool:
        self.step()
        return super().exists(key)

    def keys(self, prefix: str) -> list[str]:
        self.step()
        return super().keys(prefix)

    def commit(self, folder: Path, key: str, last: str, *, attempt: str = "") -> bool:
        self.step()
        first = super().commit(folder, key, last, attempt=attempt)
        self.step()
        return first

    def put(self, path: Path, key: str) -> None:
        self.step()
        super().put(path, key)
        self.step()


def killed_at(number: int) -> Step:
    """Steps of which one kills, counted from 1; 0 kills at none."""
    numbers = itertools.count(1)

    def step() -> None:
        if next(numbers) == number:
            raise Killed

    return step


class Turns:
    """Lets two threads take steps in a given order; when that is at its end, or one has finished, as they
    will."""

    def __init__(self, order: Sequence[int]) -> None:
        self.order, self.place = list(order), 0
        self.finished: set[int] = set()
        self.changed = threading.Condition()

    def step_of(self, thread: int) -> Step:
        """The steps of one thread."""

        def step() -> None:
            with self.changed:
                self.changed.wait_for(lambda: self._may(thread))
                self.place += 1
                self.changed.notify_all()

        return step

    def run(self, *each: Callable[[], None]) -> None:
        """Run functions at once, a thread each, to their ends."""

        def one(number: int) -> None:
            try:
                each[number]()
            finally:
                with self.changed:
                    self.finished.add(number)
                    self.changed.notify_all()

        threads = [threading.Thread(target=one, args=(number,)) for number in range(len(each))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _may(self, thread: int) -> bool:
        if self.place >= len(self.order) or self.finished:
            return True
        return self.order[self.place] == thread
