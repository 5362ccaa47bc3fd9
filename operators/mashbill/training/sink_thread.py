"""A sink of metrics in a thread of its own, so that it can neither delay nor stop the training."""

import queue
import threading
from collections.abc import Callable

from mashbill.errors import one_line
from mashbill.training.sinks import EXTRA, Scalars, Sink

WAITING = 1_000
OPENINGS = 3
Told = Callable[[Sink], None]


class SinkThread:
    """Hands a sink its numbers, in order.

    Args:
        kind: the sink's name.
        make: opens it.
        tell: told of its first failure.
    """

    def __init__(self, kind: str, make: Callable[[], Sink], tell: Callable[[str], None]) -> None:
        self.kind, self.make, self.tell = kind, make, tell
        self.forgets = kind == "tensorboard"
        self.failures, self.openings = 0, 0
        self.sink: Sink | None = None
        self.waiting: queue.Queue[Told | None] = queue.Queue(WAITING)
        self.thread = threading.Thread(target=self._work, name=f"metrics {kind}", daemon=True)
        self.thread.start()

    def take(self, step: int, scalars: Scalars) -> None:
        """Take the numbers of a step; where too many wait already, they are lost and counted."""
        self._put(lambda sink: sink.take(step, scalars))

    def back_to(self, step: int) -> None:
        """Forget what came after a step."""
        self._put(lambda sink: sink.back_to(step))

    def close(self, timeout_seconds: float) -> None:
        """Write what waits, for so long at most."""
        try:
            self.waiting.put(None, timeout=timeout_seconds)
        except queue.Full:
            return
        self.thread.join(timeout_seconds)

    def _put(self, what: Told) -> None:
        try:
            self.waiting.put_nowait(what)
        except queue.Full:
            self._failed("takes too long")

    def _work(self) -> None:
        while (what := self.waiting.get()) is not None:
            self._try(what)
        if self.sink is not None:
            self._try(lambda sink: sink.close())

    def _try(self, what: Told) -> None:
        """Hand something to the sink, opening it first; whatever it raises is no matter of the training."""
        try:
            if self.sink is None:
                if self.openings == OPENINGS:
                    self.failures += 1
                    return
                self.openings += 1
                self.sink = self.make()
            what(self.sink)
        except ModuleNotFoundError as error:
            self.openings = OPENINGS
            self._failed(f"needs {error.name}, which is not installed ({EXTRA.format(self.kind)})")
        except Exception as error:  # of a library's making: told once, and counted
            self._failed(f"does not take them ({one_line(error)})")

    def _failed(self, why: str) -> None:
        self.failures += 1
        if self.failures == 1:
            self.tell(f"metrics: {self.kind} {why}; training goes on, and metrics.jsonl has them all")
