"""Launching torchrun: a module on every process of a node, its progress read from a file, its last words in
the error."""

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from mashbill.artifacts import Progress
from mashbill.artifacts.progress import read_progress_file
from mashbill.config import TrainingConfig
from mashbill.errors import RunError
from mashbill.launch.processes import start_module, wait_for

PROGRESS = "progress.json"
LOG = "torchrun.log"


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
        RunError: a tool is missing, or the workers failed more often than they may restart.
    """
    environment = _environment(training)
    check_tools(environment)
    arguments = [*_arguments(training), "-m", module, str(job)]
    child = start_module("torch.distributed.run", arguments, scratch / LOG, environment=environment)

    def look() -> None:
        reached = read_progress_file(scratch / PROGRESS)
        if reached is not None:
            progress(reached.done, reached.message)

    wait_for([child], look)
    if child.exit_code:
        raise RunError(
            "torchrun",
            f"exited with {child.exit_code}: {child.last_words()}",
            "see the log; rerun to resume from the last checkpoint",
        )


def check_tools(environment: Mapping[str, str]) -> None:
    """DeepSpeed builds one small op on first use on a CPU.

    Raises:
        RunError: the compiler or ninja is missing.
    """
    for tool, mend in (("g++", "install it (Debian: apt-get install g++)"), ("ninja", "pip install ninja")):
        if (
            environment.get("DS_ACCELERATOR") == "cpu"
            and shutil.which(tool, path=environment["PATH"]) is None
        ):
            raise RunError("training", f"needs {tool}, which is not on PATH", mend)


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
