"""A rank's part of each batch, prepared in the background before it is asked for.

A batch is the same positions of the run whatever the number of ranks; a rank reads a stretch of it. Shards
are fetched for the batches that come next, and let go once no sequence of these begins in them.
"""

import threading
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from types import TracebackType
from typing import Self

import numpy as np

from mashbill.mixtures.loader import MixtureLoader

AHEAD, READY, FETCHING = 16, 2, 4


class Batches:
    """Iterates over a rank's parts of the batches, from one step to the run's last.

    Args:
        loader: of the run.
        batch_sequences: of a whole batch.
        first: step to begin with.
        rank: of this process.
        world: ranks in all.
        ahead: batches whose shards are fetched before they are read, the next among them.
    Attributes:
        wait_seconds: how long whoever reads has waited for a batch, in all.
    """

    def __init__(
        self,
        loader: MixtureLoader,
        *,
        batch_sequences: int,
        first: int = 0,
        rank: int = 0,
        world: int = 1,
        ahead: int = AHEAD,
    ) -> None:
        self.loader, self.batch_sequences, self.ahead = loader, batch_sequences, max(1, ahead)
        self.part = rank * batch_sequences // world, (rank + 1) * batch_sequences // world
        self.steps = range(first, loader.sequences // batch_sequences)
        self.wait_seconds = 0.0
        self._ready: deque[np.ndarray] = deque()
        self._ended = self._closed = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._prepare, name="batches", daemon=True)
        self._thread.start()

    def positions(self, step: int) -> np.ndarray:
        """[sequences] positions of the run that this rank reads at a step."""
        return step * self.batch_sequences + np.arange(*self.part)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> np.ndarray:
        """[sequences, context + 1] int64 this rank's part of the next batch.

        Raises:
            StopIteration: the run is read to its end, or this was closed.
            MashbillError: what befell the thread that reads, as it was raised there.
        """
        started = time.perf_counter()
        with self._changed:
            self._changed.wait_for(lambda: self._ready or self._ended or self._closed)
            self.wait_seconds += time.perf_counter() - started
            if self._ready and not self._closed:
                self._changed.notify_all()
                return self._ready.popleft()
            error, self._error = self._error, None
        self.close()
        if error is not None:
            raise error
        raise StopIteration

    def close(self) -> None:
        """End the reading, and let go of all shards; what is being fetched is waited for."""
        with self._changed:
            self._closed = True
            self._ready.clear()
            self._changed.notify_all()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _prepare(self) -> None:
        """Read on until the end, or until this is closed; an error goes to whoever asks next."""
        try:
            with ThreadPoolExecutor(FETCHING, thread_name_prefix="shards") as fetching:
                self._read(fetching)
        except BaseException as error:
            self._error = error
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _read(self, fetching: ThreadPoolExecutor) -> None:
        coming: deque[Future[ExitStack]] = deque()
        try:
            for step in self.steps:
                for later in range(step + len(coming), min(step + self.ahead, self.steps.stop)):
                    coming.append(fetching.submit(self.loader.hold, self.positions(later)))
                with coming.popleft().result():
                    batch = self.loader.sequences_at(self.positions(step))
                if not self._hand_over(batch):
                    return
        finally:
            for unread in coming:
                if not unread.cancel():
                    unread.add_done_callback(_let_go)

    def _hand_over(self, batch: np.ndarray) -> bool:
        """Put a batch where it is asked for, once there is room; False where this is closed."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._ready) < READY or self._closed)
            if not self._closed:
                self._ready.append(batch)
                self._changed.notify_all()
            return not self._closed


def _let_go(held: Future[ExitStack]) -> None:
    if held.exception() is None:
        held.result().close()
