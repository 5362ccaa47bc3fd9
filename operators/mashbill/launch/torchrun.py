"""Launching torchrun: a module on every process of a node, its progress read from a file, its last words in
the error."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from mashbill.artifacts import Progress
from mashbill.artifacts.progress import read_progress_file
from mashbill.config import TrainingConfig
from mashbill.errors import RunError
from mashbill.launch.processes import start_module, wait_for

PROGRESS = "progress.json"
LOG = "torchrun.log"
ASKED_TO_END, PAUSED = "asked-to-end", "paused"
"""Files beside the log: by the first the processes are asked to end, by the second they say that they have
saved, and are to go on later."""


class PausedError(RunError):
    """The work was asked to end and has saved what it did: it is to go on later."""

    exit_code = 75


def torchrun(module: str, job: Path, training: TrainingConfig, *, scratch: Path, progress: Progress) -> None:
    """Run a module on every process of this node until it ends.

    Args:
        module: name of the module; its first argument is the job, and it writes how far it is to the file
            ``PROGRESS`` beside the log.
        job: the job's JSON file.
        training: processes, nodes, rendezvous, restarts.
        scratch: folder of the log and the progress file.
        progress: called with what the progress file says, twice a second.
    Raises:
        PausedError: this process got a SIGTERM, and the workers have saved.
        RunError: the workers failed more often than they may restart.
    """
    for name in (ASKED_TO_END, PAUSED):
        (scratch / name).unlink(missing_ok=True)
    arguments = [*_arguments(training), "-m", module, str(job)]
    child = start_module(
        "torch.distributed.run", arguments, scratch / LOG, environment=_environment(training)
    )

    def look() -> None:
        reached = read_progress_file(scratch / PROGRESS)
        if reached is not None:
            progress(reached.done, reached.message)

    with _passed_on(scratch / ASKED_TO_END):
        wait_for([child], look)
    if (scratch / PAUSED).exists():
        step = (scratch / PAUSED).read_text()
        raise PausedError("training", f"was asked to end and saved at step {step}", "run again to go on")
    if child.exit_code:
        raise RunError(
            "torchrun",
            f"exited with {child.exit_code}: {child.last_words()}",
            "see the log; rerun to resume from the last checkpoint",
        )


@contextmanager
def _passed_on(ask: Path) -> Iterator[None]:
    """Within, a SIGTERM to this process asks the workers to save and end; elsewhere than in a main thread it
    is whoever runs this that handles signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def asked(number: int, frame: FrameType | None) -> None:
        del number, frame
        ask.touch()

    before = signal.signal(signal.SIGTERM, asked)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _arguments(training: TrainingConfig) -> list[str]:
    arguments = [
        f"--nproc-per-node={training.processes_per_node}",
        f"--max-restarts={training.max_restarts}",
    ]
    if training.nodes == 1:
        return [*arguments, "--standalone"]
    if training.rendezvous is None:
        raise RunError(
            "training.rendezvous",
            f"is missing for {training.nodes} nodes",
            "set host:port of the first node",
        )
    return [
        *arguments,
        f"--nnodes={training.nodes}",
        "--rdzv-backend=c10d",
        f"--rdzv-endpoint={training.rendezvous}",
    ]


def _environment(training: TrainingConfig) -> dict[str, str]:
    """The tools beside this Python, what DeepSpeed wants on a CPU, and that no checkpoint runs code."""
    environment = {
        "TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1",  # DeepSpeed asks torch for pickles
        "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",  # it keeps the addresses of workers that are dead
        "PYTHONUNBUFFERED": "1",
        "PYTHONWARNINGS": "ignore::FutureWarning",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
    }
    if accelerator(training) == "cpu":
        environment["DS_ACCELERATOR"] = "cpu"
        if training.nodes == 1:
            environment["GLOO_SOCKET_IFNAME"] = "lo"
    return environment


def accelerator(training: TrainingConfig) -> str:
    """What the processes compute on: cpu or cuda."""
    if training.accelerator != "auto":
        return training.accelerator
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
