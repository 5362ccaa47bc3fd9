"""Launching torchrun: one subprocess whose group dies with us, its progress read from a file, its last words
in the error."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from mashbill.artifacts import Progress
from mashbill.config import TrainingConfig
from mashbill.errors import RunError

STATE = "state.json"
LOG = "torchrun.log"
LAST_LINES = 15
POLL_SECONDS = 0.5


def torchrun(job: Path, training: TrainingConfig, scratch: Path, progress: Progress) -> None:
    """Run the worker on every process of this node until it ends.

    Args:
        job: the job's JSON file.
        training: processes, nodes, rendezvous, restarts.
        scratch: folder of the log and the state file.
        progress: told of every step.
    Raises:
        RunError: a tool is missing, or the workers failed more often than they may restart.
    """
    environment = _environment(training)
    check_tools(environment)
    with (scratch / LOG).open("ab") as log:
        process = subprocess.Popen(
            _command(job, training), stdout=log, stderr=log, env=environment, start_new_session=True
        )
        try:
            while process.poll() is None:
                _tell(scratch / STATE, progress)
                time.sleep(POLL_SECONDS)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
    if process.returncode:
        raise RunError(
            "torchrun",
            f"exited with {process.returncode}: {_last_words(scratch / LOG)}",
            "see the log; rerun to resume from the last checkpoint",
        )


def check_tools(environment: dict[str, str]) -> None:
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


def _command(job: Path, training: TrainingConfig) -> list[str]:
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        f"--nproc-per-node={training.processes_per_node}",
    ]
    command.append(f"--max-restarts={training.max_restarts}")
    if training.nodes == 1:
        command.append("--standalone")
    else:
        if training.rendezvous is None:
            raise RunError(
                "training.rendezvous",
                f"is missing for {training.nodes} nodes",
                "set host:port of the first node",
            )
        command += [
            f"--nnodes={training.nodes}",
            "--rdzv-backend=c10d",
            f"--rdzv-endpoint={training.rendezvous}",
        ]
    return [*command, "-m", "mashbill.training.worker", str(job)]


def _environment(training: TrainingConfig) -> dict[str, str]:
    """One compute thread a process, and what DeepSpeed wants on a CPU."""
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONWARNINGS": "ignore::FutureWarning",
    }
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', os.defpath)}"
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


def _tell(state: Path, progress: Progress) -> None:
    try:
        record = json.loads(state.read_text())
    except (OSError, ValueError):
        return
    progress(
        record["step"] / record["steps"],
        f"step {record['step']} of {record['steps']}, loss {record['loss']:.3f}",
    )


def _last_words(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if "Error" in line][-3:]
    return " | ".join(errors or lines[-LAST_LINES:])
