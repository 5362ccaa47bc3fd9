"""Files read side by side: some threads read ahead, and what they read comes in the files' order."""

import queue
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import TypeVar

File = TypeVar("File")
Item = TypeVar("Item")
AHEAD = 4  # batches of a file that wait at most
SECONDS = 0.1  # after which a thread that waits for room sees whether it is still wanted


class _Ahead:
    """A file that a thread reads: its batches wait here."""

    def __init__(self, items: Callable[[], Iterable[object]], stopped: Event) -> None:
        self.items, self.stopped = items, stopped
        self.waiting: queue.Queue[tuple[str, object]] = queue.Queue(AHEAD)

    def read(self) -> None:
        """Read the file to its end, or until nobody wants it any more."""
        try:
            for item in self.items():
                if not self._put("item", item):
                    return
        except BaseException as error:  # whatever it is, it belongs to who asked for the file
            self._put("error", error)
        else:
            self._put("end", None)

    def take(self) -> Iterator[object]:
        """What was read, in order; raises what reading raised."""
        while True:
            kind, item = self.waiting.get()
            if kind == "item":
                yield item
            elif kind == "end":
                return
            elif isinstance(item, BaseException):
                raise item

    def _put(self, kind: str, item: object) -> bool:
        while not self.stopped.is_set():
            try:
                self.waiting.put((kind, item), timeout=SECONDS)
            except queue.Full:
                continue
            return True
        return False


def side_by_side(
    files: Iterable[File], read: Callable[[File], Iterable[Item]], threads: int
) -> Iterator[tuple[File, Iterator[Item]]]:
    """Each file and what is read of it, in the files' order; a file is taken to its end before the next.

    Args:
        files: what is read.
        read: gives what a file holds, bit by bit; called by a thread.
        threads: files that are read at a time.
    """
    stopped = Event()
    with ThreadPoolExecutor(threads) as pool:
        try:
            begun: deque[tuple[File, _Ahead]] = deque()
            for file in files:
                ahead = _Ahead(lambda file=file: read(file), stopped)  # type: ignore[misc]
                pool.submit(ahead.read)
                begun.append((file, ahead))
                if len(begun) > threads:
                    first, ahead = begun.popleft()
                    yield first, ahead.take()  # type: ignore[misc]
            while begun:
                first, ahead = begun.popleft()
                yield first, ahead.take()  # type: ignore[misc]
        finally:
            stopped.set()
