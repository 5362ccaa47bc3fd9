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
    """A rank's parts of the batches, one after the other from the first to the run's last, or from any other.

    Args:
        loader: of the run.
        batch_sequences: of a whole batch.
        first: batch to begin with.
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
        self.number = loader.sequences // batch_sequences
        self.wait_seconds = 0.0
        loader.warn_of_little_room()
        self._next, self._closed = first, False
        self._reading = Reading(self, range(first, self.number))

    def positions(self, number: int) -> np.ndarray:
        """[sequences] positions of the run that this rank reads in a batch; after the run's last comes its
        first."""
        return (number * self.batch_sequences + np.arange(*self.part)) % self.loader.sequences

    def at(self, number: int) -> np.ndarray:
        """[sequences, context + 1] int64 this rank's part of any batch. One that is not the next is waited
        for, and read on from.

        Raises:
            MashbillError: what befell the thread that reads, as it was raised there.
        """
        started = time.perf_counter()
        if number != self._next or number >= self._reading.batches.stop:
            self._reading.close()
            self._reading = Reading(self, range(number, max(self.number, number + 1)))
        self._next, self._closed = number + 1, False
        try:
            return self._reading.take()
        except BaseException:
            self.close()
            raise
        finally:
            self.wait_seconds += time.perf_counter() - started

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> np.ndarray:
        """The next batch, as ``at`` gives it.

        Raises:
            StopIteration: the run is read to its end, or this was closed.
        """
        if self._closed or self._next >= self.number:
            self.close()
            raise StopIteration
        return self.at(self._next)

    def close(self) -> None:
        """End the reading, and let go of all shards; what is being fetched is waited for."""
        self._closed = True
        self._reading.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Reading:
    """A thread that reads batches on and on, as fast as they are taken.

    Args:
        of: whose.
        batches: numbers of those that it reads.
    """

    def __init__(self, of: Batches, batches: range) -> None:
        self.of, self.batches = of, batches
        self._ready: deque[np.ndarray] = deque()
        self._ended = self._closed = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="batches", daemon=True)
        self._thread.start()

    def take(self) -> np.ndarray:
        """The next batch, once it is read.

        Raises:
            MashbillError: what befell the thread before it could be.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._ready or self._ended)
            if self._ready:
                self._changed.notify_all()
                return self._ready.popleft()
        raise self._error or IndexError("no more batches are read")

    def close(self) -> None:
        """End, once what is being fetched is there."""
        with self._changed:
            self._closed = True
            self._ready.clear()
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        """Read on to the last, or until this is closed; an error goes to whoever asks next."""
        try:
            with ThreadPoolExecutor(FETCHING, thread_name_prefix="shards") as fetching:
                self._read(fetching)
        except BaseException as error:
            self._error = error
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _read(self, fetching: ThreadPoolExecutor) -> None:
        of, coming = self.of, deque[Future[ExitStack]]()
        try:
            for number in self.batches:
                for later in range(number + len(coming), min(number + of.ahead, self.batches.stop)):
                    coming.append(fetching.submit(of.loader.hold, of.positions(later)))
                with coming.popleft().result():
                    batch = of.loader.sequences_at(of.positions(number))
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
