"""A checkpoint of a training as a Hugging Face folder, while the training goes on."""

import logging
import math
import shutil
from pathlib import Path

from mashbill.errors import DamagedError
from mashbill.models.huggingface import save_weights
from mashbill.storage import open_storage
from mashbill.training.checkpoint import FOLDER, NAME, Checkpoints
from mashbill.training.fragments import WEIGHT
from mashbill.training.job import Job

log = logging.getLogger(__name__)


def training_of(folder: Path) -> Path | None:
    """The scratch folder of a training with a checkpoint, of which a folder is that, or its checkpoints; None
    where it is neither."""
    for training in (folder, folder.parent):
        if (training / Job.FILE).exists() and folder in {training, training / FOLDER}:
            return training if _checkpoints(training).last() is not None else None
    return None


def export_checkpoint(training: Path, output: Path, step: int | None = None) -> int:
    """Write a checkpoint of a training as a Hugging Face folder; the steps it was taken after.

    Args:
        training: its scratch folder.
        output: folder to write, made where it is missing.
        step: of the checkpoint; without it the last.
    Raises:
        DataError: what it was told cannot be read, or the checkpoint is damaged.
    """
    job, step = Job.read(training), last_step(training) if step is None else step
    store, checkpoint = job.token_store(), _checkpoints(training).at(step)
    checkpoint.check(checkpoint.record.files)
    weights = {
        name: checkpoint.values(name, 0, math.prod(shape))[WEIGHT].view(shape)
        for name, shape in checkpoint.record.shapes.items()
    }
    save_weights(
        weights,
        job.training.model,
        store.vocabulary,
        folder=output,
        tokenizer_path=store.tokenizer_path,
        end_of_text=store.end_of_text,
    )
    return step


def export_milestones(training: Path, output: Path) -> list[int]:
    """Write the milestones of a training, each as a Hugging Face folder named by its step; what is damaged is
    told and left out.

    Args:
        training: its scratch folder.
        output: folder of the folders.
    Returns:
        Their steps.
    """
    every, exported = Job.read(training).training.checkpoints.milestone_steps, []
    for step in sorted(_checkpoints(training).steps()):
        if not every or step % every:
            continue
        try:
            export_checkpoint(training, output / NAME.format(step), step)
            exported.append(step)
        except DamagedError as error:
            shutil.rmtree(output / NAME.format(step), ignore_errors=True)
            log.warning("the milestone of step %d is left out: %s", step, error)
    return exported


def last_step(training: Path) -> int:
    """Steps that the last checkpoint of a training was taken after."""
    return _checkpoints(training).last() or 0


def _checkpoints(training: Path) -> Checkpoints:
    job = Job.read(training)
    return Checkpoints(open_storage(job.checkpoints, Path(job.copies)))
