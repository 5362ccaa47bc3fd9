"""A process of a training that hangs is named, and training goes on from its checkpoint; a SIGTERM to whoever
runs it ends it with a checkpoint and a code of its own."""

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from builders.checkout import TESTS
from builders.corpus import run_stage
from builders.final_training import losses, prepare, with_training
from mashbill.artifacts import Artifact
from mashbill.config import PipelineConfig
from mashbill.config.final_run import WatchConfig
from mashbill.training.watch import COMPUTING, READING, WAITING, Sign, hung

pytestmark = pytest.mark.slow
LONG = {"tokens": 200 * 8 * 32, "checkpoint_steps": 20, "max_epochs": 1_000}
SCRIPT = """
import pickle, sys
sys.path.insert(0, sys.argv[1])
from builders.corpus import run_stage
from mashbill.errors import MashbillError
try:
    run_stage(*pickle.loads(bytes.fromhex(sys.argv[2])))
except MashbillError as error:
    print(error)
    sys.exit(error.exit_code)
"""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Artifact], list[float]]:
    """Where its text is, its inputs, and the losses of a training that nothing disturbed."""
    folder = tmp_path_factory.mktemp("hanging")
    inputs = prepare(folder)
    return folder, inputs, losses(run_stage(with_training(folder, folder / "whole", **LONG), "train", inputs))


def started(config: PipelineConfig, inputs: dict[str, Artifact]) -> "subprocess.Popen[str]":
    job = pickle.dumps((config, "train", inputs)).hex()
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(TESTS), job], stdout=subprocess.PIPE, text=True
    )


def at_step(process: "subprocess.Popen[str]", folder: Path, step: int) -> Path:
    """The scratch folder of a training, once it has taken so many steps."""
    until = time.monotonic() + 180
    while process.poll() is None and time.monotonic() < until:
        for curve in folder.rglob("curve.csv"):
            if len(curve.read_text().splitlines()) > step:
                return curve.parent
        time.sleep(0.02)
    raise AssertionError(f"step {step} was not reached")


def process_of_rank(parent: int, rank: int) -> psutil.Process:
    return next(
        child
        for child in psutil.Process(parent).children(recursive=True)
        if child.environ().get("RANK") == str(rank)
    )


def test_a_rank_that_hangs_is_named_and_training_goes_on(
    prepared: tuple[Path, dict[str, Artifact], list[float]], tmp_path: Path
) -> None:
    folder, inputs, whole = prepared
    config = with_training(
        folder, tmp_path / "hangs", **LONG, watch=WatchConfig(hang_seconds=6), max_restarts=1
    )
    process = started(config, inputs)
    at_step(process, tmp_path, 30)
    os.kill(process_of_rank(process.pid, 1).pid, signal.SIGSTOP)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    (kept,) = (tmp_path / "hangs").rglob("events.jsonl")
    (told,) = (json.loads(line) for line in kept.read_text().splitlines())
    assert told["kind"] == "hung"
    assert "no step for 6 seconds: the others wait for rank 1 (frozen at step" in told["words"]
    (curve,) = (tmp_path / "hangs" / "train").glob("*/curves.csv")
    again = [float(row.split(",")[3]) for row in curve.read_text().splitlines()[1:]]
    assert again == pytest.approx(whole, abs=1e-6)


def test_a_sigterm_saves_and_ends_with_a_code_that_means_go_on_later(
    prepared: tuple[Path, dict[str, Artifact], list[float]], tmp_path: Path
) -> None:
    folder, inputs, whole = prepared
    config = with_training(folder, tmp_path / "paused", **{**LONG, "checkpoint_steps": 1_000})
    process = started(config, inputs)
    at_step(process, tmp_path, 20)
    process.terminate()
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 75, said
    assert "training: was asked to end and saved at step" in said
    assert losses(run_stage(config, "train", inputs)) == pytest.approx(whole, abs=1e-6)


@pytest.mark.parametrize(
    "signs, who",
    [
        ({0: (WAITING, 9), 1: (READING, 9)}, "rank 1 (reading text at step 9)"),
        ({0: (WAITING, 9), 1: (WAITING, 8)}, "rank 1 (waiting for the others at step 8)"),
        ({0: (COMPUTING, 9), 1: (WAITING, 9), 2: (WAITING, 9)}, "rank 0 (computing at step 9)"),
    ],
)
def test_who_does_not_wait_with_the_others_is_who_hangs(signs: dict[int, tuple[str, int]], who: str) -> None:
    before, now = ({rank: Sign(*sign, beats) for rank, sign in signs.items()} for beats in (1, 3))
    assert hung(before, now, 5).endswith(f"the others wait for {who}")
    one_is_frozen = now | {0: before[0]}
    assert hung(before, one_is_frozen, 5).endswith(f"rank 0 (frozen at step {signs[0][1]})")
