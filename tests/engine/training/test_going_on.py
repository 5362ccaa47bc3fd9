"""A final training that was killed goes on from its checkpoint when a setting of how it runs has changed, and
says what it leaves behind when a setting of what is computed has."""

import csv
import logging
import shutil
from pathlib import Path

import pytest

from builders.corpus import run_stage, stage_job
from builders.final_training import checkpoints_in, losses, prepare, with_training
from mashbill.artifacts import Artifact

pytestmark = pytest.mark.slow

STEPS = 240
SETTINGS = {"tokens": STEPS * 8 * 32, "checkpoint_steps": 20, "zero_stage": 1, "max_epochs": 1_000}


class Killed(Exception):
    """Stands for the end of whoever started the training."""


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Artifact], list[float], int]:
    """A training of two processes killed at a checkpoint; its inputs, its whole curve, and that step."""
    folder = tmp_path_factory.mktemp("killed")
    inputs = prepare(folder)
    whole = losses(run_stage(with_training(folder, folder / "whole", **SETTINGS), "train", inputs))
    job = stage_job(with_training(folder, folder / "killed", **SETTINGS), "train", inputs)
    checkpoints = checkpoints_in(job.store.scratch_folder("train", job.fingerprint, "chosen"))

    def kill(share: float, words: str) -> None:
        if (checkpoints.last() or 0) >= 60:
            raise Killed

    job.progress = kill
    with pytest.raises(Killed):
        job.run()
    step = checkpoints.last()
    assert step is not None
    assert 60 <= step < STEPS
    return folder, inputs, whole, step


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def copied(folder: Path, to: Path) -> Path:
    """What the killed training left, for another to go on from."""
    shutil.copytree(folder / "killed", to / "artifacts")
    return to / "artifacts"


@pytest.mark.parametrize(
    "change",
    [
        {"processes_per_node": 1},
        {"micro_batch_sequences": 1},
        {"checkpoint_steps": 7},
        {"max_restarts": 1},
        {"zero_stage": 3},
        {"zero_stage": 0, "processes_per_node": 1, "micro_batch_sequences": 2},
    ],
    ids="-".join,
)
def test_it_goes_on_when_how_it_runs_has_changed(
    change: dict[str, int],
    killed: tuple[Path, dict[str, Artifact], list[float], int],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder, inputs, whole, step = killed
    artifacts = copied(folder, tmp_path)
    (left,) = artifacts.rglob("curve.csv")
    before = rows(left)[:step]
    artifact = run_stage(with_training(folder, artifacts, **{**SETTINGS, **change}), "train", inputs)
    assert rows(artifact.path / "curves.csv")[:step] == [{"mixture": "chosen", **row} for row in before]
    assert losses(artifact) == pytest.approx(whole, abs=2e-4)
    assert f"train, chosen: goes on from step {step}" in caplog.text
    for name, value in change.items():
        assert f"training.{name} was" in caplog.text
        assert f"and is {value}" in caplog.text


@pytest.mark.parametrize(
    "change, words",
    [
        ({"learning_rate": 1e-3}, "training.learning_rate was 0.003 and is 0.001"),
        ({"batch_sequences": 16}, "training.batch_sequences was 8 and is 16"),
    ],
)
def test_it_says_which_checkpoint_it_leaves_behind_and_why(
    change: dict[str, float],
    words: str,
    killed: tuple[Path, dict[str, Artifact], list[float], int],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder, inputs, whole, step = killed
    artifacts = copied(folder, tmp_path)
    artifact = run_stage(with_training(folder, artifacts, **{**SETTINGS, **change}), "train", inputs)
    assert losses(artifact)[:step] != pytest.approx(whole[:step], abs=2e-3)
    (line,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert f"a checkpoint at step {step} is left behind, as {words}" in line
    assert str(artifacts) in line
