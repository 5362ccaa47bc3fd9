"""One function over many partitions: on threads of this machine, or as tasks of a Ray cluster; results in the
items' order.

The same code runs in both places, and nothing depends on which finishes first, so the artifacts are the same
files. Threads serve because the kernels, Arrow and the tokenizer release the interpreter's lock. On a cluster
the artifacts must be on a disk that all nodes share.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from mashbill.config import EngineConfig
from mashbill.errors import ConfigError

Item = TypeVar("Item")
Result = TypeVar("Result")
AHEAD = 2


def spread(engine: EngineConfig, work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """Results of the work on each item, in order.

    Args:
        engine: where to run.
        work: the function; on Ray it and what it refers to are pickled.
        items: what it is called with; no more than a few at a time are under way, so that memory is bounded.
    """
    return _on_ray(engine, work, items) if engine.runner == "ray" else on_threads(work, items)


def on_threads(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Results of the work on each item, in order, on all cores of this machine.

    Args:
        work: the function.
        items: what it is called with, taken a few ahead.
    """
    cores = os.cpu_count() or 1
    with ThreadPoolExecutor(cores) as pool:
        waiting: deque[Future[Result]] = deque()
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > AHEAD * cores:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _on_ray(engine: EngineConfig, work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    import ray

    if not ray.is_initialized():
        try:
            plain = {
                "env_vars": {"DAFT_RUNNER": "native"}
            }  # a task works on its own partition, it does not spread it again
            ray.init(
                address=engine.ray_address, log_to_driver=False, logging_level="ERROR", runtime_env=plain
            )
        except ConnectionError as error:
            what = f"no Ray cluster answers at {engine.ray_address} ({error})"
            raise ConfigError("engine.ray_address", what, "start one, or correct it") from error

    def task(item: Item) -> Result:
        return work(item)

    remote: Any = ray.remote(max_retries=2)(task)
    room = AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1)))
    waiting: deque[Any] = deque()
    for item in items:
        waiting.append(remote.remote(item))
        if len(waiting) > room:
            yield ray.get(waiting.popleft())
    while waiting:
        yield ray.get(waiting.popleft())
