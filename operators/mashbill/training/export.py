"""A checkpoint of a training as a Hugging Face folder, while the training goes on."""

import json
from pathlib import Path
from typing import Any

from mashbill.config import TrainingConfig
from mashbill.errors import DataError, one_line
from mashbill.models.huggingface import save_weights
from mashbill.tokens import TokenStore
from mashbill.training.attempts import JOB
from mashbill.training.layouts import CHECKPOINTS, LATEST, WEIGHT, Checkpoint, step_of


def training_of(folder: Path) -> Path | None:
    """The scratch folder of a training, of which a folder is that, or its checkpoints; None where it is
    neither."""
    for training in (folder, folder.parent):
        if (training / CHECKPOINTS / LATEST).exists() and (training / JOB).exists():
            return training if folder in (training, training / CHECKPOINTS) else None
    return None


def export_checkpoint(training: Path, output: Path) -> int:
    """Write the last checkpoint of a training as a Hugging Face folder; the steps it was taken after.

    Args:
        training: its scratch folder.
        output: folder to write, made where it is missing.
    Raises:
        DataError: what it was told cannot be read.
    """
    job = _job(training / JOB)
    shape = TrainingConfig.model_validate(job["training"]).model
    store, checkpoint = TokenStore(Path(job["tokens"])), Checkpoint.last(training / CHECKPOINTS)
    save_weights(
        {name: values[WEIGHT] for name, values in checkpoint.parameters()},
        shape,
        store.vocabulary,
        folder=output,
        tokenizer_path=store.tokenizer_path,
        end_of_text=store.end_of_text,
    )
    return checkpoint.step


def last_step(training: Path) -> int:
    """Steps that the last checkpoint of a training was taken after."""
    return step_of(training / CHECKPOINTS) or 0


def _job(path: Path) -> dict[str, Any]:
    try:
        job: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        TrainingConfig.model_validate(job["training"])
        Path(job["tokens"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        what = f"is no job of a training ({one_line(error)})"
        raise DataError(str(path), what, "give the scratch folder of one") from error
    return job
