"""Running stages in order, and making a result again whose files are gone or hold other bytes.

Nothing is made again unasked: what damaged a file may have damaged others, and a person should know. Asked
for, the result is discarded and its stage run on its inputs, once a stage; what was made from it stays, as
the same inputs give the same files. Where they do not, that is told.
"""

import logging
from collections.abc import Callable, Iterable

from mashbill.artifacts import Artifact
from mashbill.config import PipelineConfig
from mashbill.errors import DamagedError
from mashbill.stages.job import StageJob
from mashbill.stages.local_run import job_of
from mashbill.stages.stage import Stage

log = logging.getLogger(__name__)


def run_in_order(
    config: PipelineConfig,
    stages: Iterable[Stage],
    run: Callable[[StageJob, dict[str, Artifact]], Artifact],
    *,
    repair: bool = False,
) -> dict[str, Artifact]:
    """Results of stages, each run on those before it.

    Args:
        config: the whole config.
        stages: in an order in which each comes after its inputs.
        run: gives the result of a stage, which may be there; it is called with the stage's job and what is
            done.
        repair: whether a result that is damaged is made again.
    Raises:
        DamagedError: a result is damaged, and not to be made again, or was already.
    """
    rows = {stage.name: stage for stage in stages}
    done: dict[str, Artifact] = {}
    damaged: dict[str, Artifact | None] = {}
    while todo := [stage for stage in rows.values() if stage.name not in done]:
        job = job_of(todo[0], config, done)
        try:
            done[job.stage.name] = run(job, done)
        except DamagedError as error:
            name = _whose(error, job, done)
            if not repair or name not in rows or name in damaged:
                raise
            log.warning("%s: %s; %s is made again", error.where, error.what, name)
            damaged[name] = done.pop(name, None)
            job_of(rows[name], config, done).discard()
            continue
        _tell_other_files(damaged.get(job.stage.name), done[job.stage.name])
    return done


def _whose(error: DamagedError, job: StageJob, done: dict[str, Artifact]) -> str:
    """The stage whose result a damaged file belongs to; empty where it is none of this run."""
    own = f"{job.store.storage.root}/{job.store.key(job.stage.name, job.fingerprint)}"
    places = {job.stage.name: own, **{name: made.address for name, made in done.items()}}
    for name, address in places.items():
        if error.where.startswith((f"{address}/", f"{address}.parts/")):
            return name
    return ""


def _tell_other_files(before: Artifact | None, now: Artifact) -> None:
    """Say where a result that was made again is not what it was."""
    if before is not None:
        files = {file.path: file.sha256 for file in before.manifest.files}
        other = [file.path for file in now.manifest.files if files.get(file.path) != file.sha256]
        if other:
            words = (
                "%s: %d files came out otherwise than before (%s); make again what was made from it (--force)"
            )
            log.warning(words, now.address, len(other), other[0])
