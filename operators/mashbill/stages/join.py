"""Lending a machine to a training that another machine leads: the parts of ``train`` one after the other, as
the first node makes them, until its result is there."""

import logging
import time
from collections.abc import Callable

from mashbill.config import PipelineConfig
from mashbill.errors import ConfigError, RunError
from mashbill.launch.torchrun import PausedError
from mashbill.stages.job import StageJob
from mashbill.stages.local_run import finished_stages, job_of
from mashbill.stages.table import STAGES

log = logging.getLogger(__name__)
LOOK_SECONDS, PATIENCE_SECONDS = 2.0, 1_800.0
"""Between looks for what the first node makes, and how long that may take when the processes have ended: it
exports the model and writes it to the store."""


def join(config: PipelineConfig, node: int, tell: Callable[[str], None]) -> None:
    """Lend this machine as one of the nodes of a training, until all models are there.

    Args:
        config: the one that the first node runs.
        node: which of the nodes this is, from 1; the first, which leads, is 0.
        tell: called with what is happening.
    Raises:
        ConfigError: there is no such node, or what training reads is not there yet.
        PausedError: this machine was asked to end; the training has saved.
        RunError: the nodes did not meet, or the first node gave up.
    """
    training = config.training
    if not 0 < node < training.nodes:
        what = f"{node} is none of the {training.nodes} nodes that join"
        raise ConfigError("--node", what, "number them from 1; the first runs mashbill train")
    config = config.model_copy(update={"training": training.model_copy(update={"node": node})})
    done = finished_stages(config)
    missing = [name for name in STAGES["train"].inputs if name not in done]
    if missing:
        what = f"its input {missing[0]} is not in {config.artifacts}"
        raise RunError("train", what, "start the first node, or wait until it trains, and join again")
    job = job_of(STAGES["train"], config, done)
    for part in job.part_names():
        help_until_there(job, part, tell)


def help_until_there(job: StageJob, part: str, tell: Callable[[str], None]) -> None:
    """Work on a part that the first node makes until it is there, again where the nodes lost one another.

    Args:
        job: its stage, whose config says which node this is.
        part: its name.
        tell: called with what is happening.
    Raises:
        PausedError: this machine was asked to end; the training has saved.
        RunError: the nodes did not meet, or the first node gave up.
    """
    for attempt in range(job.config.training.max_restarts + 1):
        if job.find_part(part) is not None:
            tell(f"{part} is there")
            return
        tell(f"joining the training of {part}")
        try:
            job.help_with(part)
        except PausedError:
            raise
        except RunError as error:
            if attempt == job.config.training.max_restarts and not _appears(job, part, LOOK_SECONDS):
                raise
            log.warning("%s", error)
        else:
            if not _appears(job, part, PATIENCE_SECONDS):
                what = f"ended here, and {part} did not appear in {PATIENCE_SECONDS:.0f} s"
                raise RunError("train", what, "look at the first node, and join again")


def _appears(job: StageJob, part: str, seconds: float) -> bool:
    """Whether a part is there, or comes within a time."""
    until = time.monotonic() + seconds
    while job.find_part(part) is None:
        if time.monotonic() > until:
            return False
        time.sleep(LOOK_SECONDS)
    return True
