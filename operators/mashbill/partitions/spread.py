"""One function over many partitions: on threads of this machine, or as tasks of a Ray cluster; results in the
items' order.

The same code runs in both places, and nothing depends on which finishes first, so the artifacts are the same
files. Threads serve because the kernels, Arrow and the tokenizer release the interpreter's lock. A task reads
its partition from the store and writes what it makes of it there; only its result and the names of its files
come back.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from mashbill.artifacts import FileEntry, Output, telling
from mashbill.config import EngineConfig
from mashbill.cores import cores_here
from mashbill.errors import ConfigError, MashbillError, RunError, one_line
from mashbill.storage import Copies

Item = TypeVar("Item")
Result = TypeVar("Result")
AHEAD = 2
CANCELLED_SECONDS = 60.0


def spread(
    engine: EngineConfig,
    work: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    output: Output | None = None,
) -> Generator[Result, None, None]:
    """Results of the work on each item, in order.

    Args:
        engine: where to run.
        work: the function; on Ray it and what it refers to are pickled.
        items: what it is called with; no more than a few at a time are under way, so that memory is bounded.
        output: what the work writes into, which is told of the files.
    """
    if engine.runner != "ray":
        yield from on_threads(work, items)
        return
    for result, files in _on_ray(engine, work, items):
        if output is not None:
            output.tell(files)
        yield result


def growing_lots(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """Items in lots of one, two, four and so on: for who may find what is looked for in the first."""
    start, many = 0, 1
    while start < len(items):
        yield items[start : start + many]
        start, many = start + many, 2 * many


def on_threads(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Results of the work on each item, in order, on all cores of this machine.

    Args:
        work: the function.
        items: what it is called with, taken a few ahead.
    """
    cores = cores_here()
    with ThreadPoolExecutor(cores) as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > AHEAD * cores:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _on_ray(
    engine: EngineConfig, work: Callable[[Item], Result], items: Sequence[Item]
) -> Iterator[tuple[Result, list[FileEntry]]]:
    import ray

    _connect(engine)

    def task(item: Item) -> tuple[Result, list[FileEntry]]:
        with Copies.all_held_within(), telling() as files:
            return work(item), files

    needs = {"num_cpus": engine.task_cpus, "memory": engine.task_memory_bytes or None}
    remote: Any = ray.remote(**needs, max_retries=engine.task_retries)(task)
    waiting: deque[Any] = deque()
    try:
        for item in items:
            waiting.append(remote.remote(item))
            if len(waiting) > AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1) / engine.task_cpus)):
                yield _result(waiting.popleft())
        while waiting:
            yield _result(waiting.popleft())
    finally:
        for left in waiting:
            ray.cancel(left)
        if waiting:  # a task that still writes would leave files behind
            ray.wait(list(waiting), num_returns=len(waiting), timeout=CANCELLED_SECONDS)


def _result(reference: Any) -> Any:
    """What a task gave; an error of ours as it was raised.

    Raises:
        RunError: its node or process was lost as often as it may be.
    """
    import ray

    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, MashbillError):
            raise error.cause from None
        raise
    except (
        ray.exceptions.WorkerCrashedError,
        ray.exceptions.NodeDiedError,
        ray.exceptions.OutOfMemoryError,
    ) as error:
        what = f"a task lost its process or node ({one_line(error)})"
        mend = "look for a lack of memory (engine.task_memory_bytes), raise engine.task_retries, or rerun"
        raise RunError("engine", what, mend) from error


def _connect(engine: EngineConfig) -> None:
    """Join the cluster, unless this process has.

    Raises:
        ConfigError: none answers.
    """
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
