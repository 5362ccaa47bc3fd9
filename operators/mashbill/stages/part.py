"""What one node of a job does: ``mashbill part``.

The first node makes the parts, or the whole stage; the others lend themselves to a training that the first
leads. It is told by its environment which one it is.
"""

import logging
import multiprocessing
import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from mashbill.artifacts import Artifact
from mashbill.config import LaunchConfig
from mashbill.errors import ConfigError
from mashbill.launch.needs import processes_of
from mashbill.launch.node import Node
from mashbill.launch.records import Attempt
from mashbill.launch.telling import Telling
from mashbill.launch.torchrun import PausedError
from mashbill.launch.trainer_status import TrainerStatus
from mashbill.stages.given_run import given_run, root_of
from mashbill.stages.job import StageJob
from mashbill.stages.join import help_until_there
from mashbill.stages.local_run import run_parts_here, run_stage_here
from mashbill.stages.reached import one_of, side_by_side
from mashbill.stages.table import stage_named
from mashbill.storage import open_storage, scratch_here

log = logging.getLogger(__name__)
LOOK_SECONDS = 2.0


def run_given(
    address: str, stage: str, parts: Sequence[str], *, record: str | None = None, node: Node | None = None
) -> list[Artifact]:
    """Do what a node of a job has to do.

    Args:
        address: of the run.
        stage: its stage.
        parts: those to be made; without any the whole stage.
        record: key of the job's record in the store; None where it has none.
        node: which node this is; None is what the environment says.
    Returns:
        What was made or was there, on the first node.
    Raises:
        ConfigError: the run is none of the stage, or the stage has no such part, or is none for nodes.
        PausedError: this process was asked to end; what it finished is kept.
    """
    here = node or Node.here()
    storage = open_storage(root_of(address), scratch_here(Path(tempfile.gettempdir()) / "mashbill"))
    attempt = None if record is None else Attempt(storage, record)
    asked = TrainerStatus.of(os.environ)
    with Telling(attempt, here.number, stage, trainer=asked) as telling, _paused_when_asked(stage):
        job = _job(address, stage, here)
        job.progress = telling.progress
        _refuse_unknown(job, parts)
        if not here.number:
            return _lead(job, list(parts), telling)
        for part in parts or job.part_names():
            telling.gather_from(job.node_folder(part))
            help_until_there(job, part, log.info)
        return []


def _job(address: str, stage: str, node: Node) -> StageJob:
    """The stage, as this node is to run it."""
    if node.of > 1 and not stage_named(stage).needs.nodes:
        what = f"is run on {node.of} nodes, and knows one"
        raise ConfigError(f"stage {stage}", what, f"leave nodes out of [launch.{stage}]")
    where = {
        "nodes": node.of,
        "node": node.number,
        "rendezvous": node.rendezvous,
        "address": node.address,
    }
    return given_run(address, stage, training=where if node.of > 1 else {})


def _refuse_unknown(job: StageJob, parts: Sequence[str]) -> None:
    known = job.part_names() if parts else []
    unknown = [part for part in parts if part not in known]
    if unknown:
        what = f"has no part {unknown[0]}" if known else "has no parts"
        mend = f"name one of {', '.join(known):.200}" if known else "leave the parts out"
        raise ConfigError(f"stage {job.stage.name}", what, mend)


def _lead(job: StageJob, parts: list[str], telling: Telling) -> list[Artifact]:
    """Make the parts, or the whole."""
    for name in (part for part in parts or job.part_names() if job.find_part(part) is None):
        telling.gather_from(job.node_folder(name))
    takes = job.config.launch.get(job.stage.name, LaunchConfig())
    processes = processes_of(takes) if takes.backend != "local" else takes.processes or job.config.workers
    job.config = job.config.model_copy(update={"workers": processes})
    told = _Told(job, parts, telling)
    if not parts:
        return [run_stage_here(job, told.refresh)]
    if processes == 1 or job.stage.needs.one_at_a_time:
        for place, part in enumerate(parts):
            job.progress = one_of(parts, place, telling.progress)
            job.run_part(part)
    else:
        run_parts_here(job, [part for part in parts if job.find_part(part) is None], told.refresh)
        told.tell()
    return [job.run_part(part) for part in parts]


class _Told:
    """Tells how far parts of a job are that run side by side, looking at their files now and then."""

    def __init__(self, job: StageJob, parts: Sequence[str], telling: Telling) -> None:
        self.job, self.parts, self.telling = job, parts, telling
        self.last = float("-inf")

    def refresh(self) -> None:
        """They are under way."""
        if time.monotonic() - self.last >= LOOK_SECONDS:
            self.last = time.monotonic()
            self.tell()

    def tell(self) -> None:
        """Tell how far they are now."""
        self.telling.progress(*side_by_side(self.job, self.parts or self.job.part_names()))


@contextmanager
def _paused_when_asked(stage: str) -> Iterator[None]:
    """Within, a SIGTERM ends the work as a pause; a training, while it runs, saves first."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def asked(number: int, frame: FrameType | None) -> None:
        del number, frame
        for worker in multiprocessing.active_children():
            worker.terminate()
        what = "was asked to end; what it finished is kept"
        raise PausedError(f"stage {stage}", what, "run again to go on")

    before = signal.signal(signal.SIGTERM, asked)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
