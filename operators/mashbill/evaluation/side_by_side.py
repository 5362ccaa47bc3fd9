"""Several models asked at once, each in a process of its own on one thread; a single one in this process."""

import multiprocessing
import os
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from mashbill.artifacts import ProgressFile
from mashbill.artifacts.progress import read_progress_file
from mashbill.cores import cores_here
from mashbill.errors import RunError
from mashbill.evaluation.asking import Asked, ask
from mashbill.evaluation.record import TaskScores
from mashbill.launch.child import end_with
from mashbill.launch.processes import single_threaded

LOOK_SECONDS = 0.25
Told = Callable[[str, float, str], None]
"""Called with a model's name, the share done and a message."""
PROGRESS = "progress"


def ask_each(
    models: Mapping[str, Path], places: Mapping[str, Path], asked: Asked, *, told: Told
) -> dict[str, list[TaskScores]]:
    """Put every task to every model.

    Args:
        models: Hugging Face folders by name.
        places: of each a folder for the scores of what is done.
        asked: the tasks.
        told: hears how far each is.
    Raises:
        MashbillError: as ``ask`` does.
        RunError: a process died.
    """
    if len(models) == 1:
        ((name, folder),) = models.items()
        return {name: ask(folder, asked, places[name], progress=lambda *said: told(name, *said))}
    context = multiprocessing.get_context("spawn")
    workers = min(len(models), cores_here())
    with (
        single_threaded(),
        ProcessPoolExecutor(workers, context, end_with, (os.getpid(),)) as pool,
    ):
        futures = {
            name: pool.submit(_ask_one, folder, asked, places[name], workers=workers)
            for name, folder in models.items()
        }
        try:
            _wait(futures, places, told)
            return {name: future.result() for name, future in futures.items()}
        except BrokenProcessPool as error:
            mend = "look for a lack of memory, then run again: what is done is kept"
            raise RunError("evaluate", "a process died", mend) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _ask_one(folder: Path, asked: Asked, place: Path, *, workers: int) -> list[TaskScores]:
    place.mkdir(parents=True, exist_ok=True)
    return ask(folder, asked, place, progress=ProgressFile(place / PROGRESS), processes=workers)


def _wait(futures: Mapping[str, Future[list[TaskScores]]], places: Mapping[str, Path], told: Told) -> None:
    """Tell how far each is until all are done, or one failed."""
    waiting = set(futures.values())
    while waiting:
        finished, waiting = wait(waiting, timeout=LOOK_SECONDS, return_when=FIRST_COMPLETED)
        for name in futures:
            state = read_progress_file(places[name] / PROGRESS)
            if state is not None:
                told(name, state.done, state.message)
        for future in finished:
            future.result()
