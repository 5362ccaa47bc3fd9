"""Small files of a store, copied ahead of who reads them: each alone takes long to come."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from mashbill.corpus.pieces import FilePart

REQUESTS = 8  # at a time


def copied_ahead(parts: Sequence[FilePart]) -> Iterator[FilePart]:
    """The parts in order; of those that are read whole from a store some are copied before."""
    if len(parts) == 1 or all(part.file.storage is None for part in parts):
        yield from parts
        return
    with ThreadPoolExecutor(REQUESTS) as pool:
        waiting: deque[tuple[FilePart, Future[None]]] = deque()
        try:
            for part in parts:
                waiting.append((part, pool.submit(_copy, part)))
                if len(waiting) > REQUESTS:
                    first, copied = waiting.popleft()
                    copied.result()
                    yield first
            for first, copied in waiting:
                copied.result()
                yield first
        finally:
            pool.shutdown(cancel_futures=True)


def _copy(part: FilePart) -> None:
    if part.span is None:
        with part.file.opened():
            pass
