"""Running several stages in order, in the shell's way: parts spread over worker processes.

Airflow does the same with mapped tasks; both go through StageJob, so their results are the same artifacts.
"""

import logging
import multiprocessing
import os
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing.queues import SimpleQueue

from mashbill.artifacts import Artifact, open_store
from mashbill.config import PipelineConfig
from mashbill.cores import cores_here
from mashbill.errors import RunError
from mashbill.launch.child import end_with
from mashbill.launch.processes import single_threaded
from mashbill.stages.job import StageJob
from mashbill.stages.reached import one_of
from mashbill.stages.stage import Stage
from mashbill.stages.table import STAGES, stage_named

ATTEMPTS = 3  # of a stage whose worker processes are killed
log = logging.getLogger(__name__)


def stages_up_to(name: str) -> list[Stage]:
    """A stage and everything it needs, in the table's order."""
    needed, waiting = {name}, [stage_named(name)]
    while waiting:
        for upstream in waiting.pop().inputs:
            if upstream not in needed:
                needed.add(upstream)
                waiting.append(STAGES[upstream])
    return [stage for stage in STAGES.values() if stage.name in needed]


def job_of(stage: Stage, config: PipelineConfig, done: Mapping[str, Artifact]) -> StageJob:
    """The stage with its inputs taken from what is done."""
    return StageJob(stage, config, {name: done[name] for name in stage.inputs if name in done})


def finished_stages(config: PipelineConfig) -> dict[str, Artifact]:
    """Every stage whose result for this config is there already, from the first on."""
    done: dict[str, Artifact] = {}
    for stage in STAGES.values():
        if all(name in done for name in stage.required):
            artifact = job_of(stage, config, done).find()
            if artifact is not None:
                done[stage.name] = artifact
    return done


def run_stage_here(job: StageJob, refresh: Callable[[], None]) -> Artifact:
    """Run a stage on this machine, its parts in worker processes where it splits.

    Args:
        job: the stage, ready to run.
        refresh: called several times a second while workers run, to show what their progress files say.
    """
    return job.run(partial(run_parts_here, refresh=refresh))


def run_parts_here(job: StageJob, parts: list[str], refresh: Callable[[], None]) -> None:
    """Run parts on this machine, in worker processes where they may run side by side.

    Args:
        job: their stage.
        parts: names of those whose results are not there.
        refresh: called several times a second while workers run.
    Raises:
        RunError: worker processes were killed again and again.
    """
    if job.stage.needs.one_at_a_time:
        _in_turn(job, parts)
        return
    for attempt in range(ATTEMPTS):
        todo = [part for part in parts if job.find_part(part) is None]
        try:
            _spread(job, todo, refresh)
            return
        except BrokenProcessPool as error:
            if attempt == ATTEMPTS - 1:
                what = f"a worker process died {ATTEMPTS} times"
                raise RunError(
                    f"stage {job.stage.name}",
                    what,
                    "look for a lack of memory, then rerun: finished parts are kept",
                ) from error
            log.warning(
                "stage %s: a worker process died; going on with the parts that are not finished",
                job.stage.name,
            )


def _in_turn(job: StageJob, parts: list[str]) -> None:
    """Run parts one after the other; what is told of one is told of all."""
    tell, names = job.progress, job.part_names()
    for part in parts:
        job.progress = None if tell is None else one_of(names, names.index(part), tell)
        job.run_part(part)
    job.progress = tell


def _spread(job: StageJob, parts: list[str], refresh: Callable[[], None]) -> None:
    """Run parts in worker processes."""
    gpus = gpus_for(job)
    workers = min(len(gpus) or job.config.workers or cores_here(), len(parts))
    context = multiprocessing.get_context("spawn")
    turns = context.SimpleQueue()
    for gpu in gpus[:workers]:
        turns.put(gpu)
    given = (os.getpid(), turns if gpus else None)
    addresses = {name: artifact.address for name, artifact in job.inputs.items()}
    with single_threaded(), ProcessPoolExecutor(workers, context, _begin_worker, given) as pool:
        waiting: set[Future[None]] = {
            pool.submit(_run_part, job.stage.name, job.config, addresses, part) for part in parts
        }
        try:
            while waiting:
                finished, waiting = wait(waiting, timeout=0.25, return_when=FIRST_COMPLETED)
                refresh()
                for future in finished:
                    future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def gpus_for(job: StageJob) -> list[str]:
    """GPUs that the stage's parts are spread over, one each; none where they are for the cores."""
    if job.stage.needs.share != "gpu" or job.config.proxy.device == "cpu":
        return []
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return (
        visible.split(",")
        if visible and torch.cuda.is_available()
        else [str(gpu) for gpu in range(torch.cuda.device_count())]
    )


def _begin_worker(parent: int, turns: "SimpleQueue[str] | None") -> None:
    """End a worker process with its parent, and let it see one GPU, which no other has."""
    end_with(parent)
    if turns is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = turns.get()


def _run_part(stage: str, config: PipelineConfig, addresses: Mapping[str, str], part: str) -> None:
    store = open_store(config)
    StageJob(
        STAGES[stage], config, {name: store.open(address) for name, address in addresses.items()}
    ).run_part(part)
