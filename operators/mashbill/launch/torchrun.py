"""Launching torchrun: a module on every process of a node, its progress read from a file, its last words in
the error."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from mashbill.artifacts import Progress
from mashbill.artifacts.progress import read_progress_file
from mashbill.config import TrainingConfig
from mashbill.errors import ConfigError, RunError
from mashbill.launch.network import address_towards, interface_of
from mashbill.launch.processes import start_module, wait_for

PROGRESS = "progress.json"
LOG = "torchrun.log"
KEEP_ALIVE_SECONDS, KEEP_ALIVE_ATTEMPTS = 2, 3
"""Between the signs of life of a node, and how many may be missed before the others go on without it."""
ASKED_TO_END, PAUSED = "asked-to-end", "paused"
"""Files beside the log: by the first the processes are asked to end, by the second they say that they have
saved, and are to go on later."""


class PausedError(RunError):
    """The work was asked to end and has saved what it did: it is to go on later."""

    exit_code = 75


def torchrun(
    module: str, job: Path, training: TrainingConfig, *, name: str, scratch: Path, progress: Progress
) -> None:
    """Run a module on every process of this node until it ends.

    Args:
        module: name of the module; its first argument is the job, and it writes how far it is to the file
            ``PROGRESS`` beside the log.
        job: the job's JSON file.
        training: processes, nodes, rendezvous, restarts.
        name: by which processes of several nodes know that they belong together.
        scratch: this node's folder of the log and the progress file.
        progress: called with what the progress file says, twice a second.
    Raises:
        ConfigError: several nodes have no place to meet.
        PausedError: this process got a SIGTERM, and the workers have saved.
        RunError: the workers failed more often than they may restart.
    """
    for mark in (ASKED_TO_END, PAUSED):
        (scratch / mark).unlink(missing_ok=True)
    meeting = None if training.nodes == 1 else Meeting.of(training, name)
    arguments = [*_arguments(training, meeting), "-m", module, str(job)]
    environment = _environment(training, meeting)
    child = start_module("torch.distributed.run", arguments, scratch / LOG, environment=environment)

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


@dataclass(frozen=True)
class Meeting:
    """Where the nodes of a job meet, as seen from this one.

    Attributes:
        host, port: of the first node, which keeps the store.
        address: of this node, by which the others reach it.
        name: of the job: processes of another do not meet those of this one.
    """

    host: str
    port: int
    address: str
    name: str

    @classmethod
    def of(cls, training: TrainingConfig, name: str) -> "Meeting":
        """The meeting that a recipe names.

        Raises:
            ConfigError: the recipe names none for several nodes, or one that is no host and port.
            RunError: there is no way to it.
        """
        field, mend = "training.rendezvous", "set host:port of the first node"
        if training.rendezvous is None:
            raise ConfigError(field, f"is missing for {training.nodes} nodes", mend)
        host, _, port = training.rendezvous.rpartition(":")
        if not host or not port.isdigit():
            raise ConfigError(field, f"{training.rendezvous} is no host and port", mend)
        try:
            patience = training.meeting_seconds
            address = training.address or address_towards(host, int(port), patience=patience)
        except OSError as error:
            what = f"there is no way to {host} ({error})"
            raise RunError(field, what, "mend the name or the network, or set training.address") from error
        return cls(host, int(port), address, name)

    @property
    def environment(self) -> dict[str, str]:
        """By which interface gloo and NCCL reach the other nodes, unless it was said."""
        interface = interface_of(self.address)
        names = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME") if interface else ()
        return {name: os.environ.get(name) or str(interface) for name in names}

    def arguments(self, training: TrainingConfig) -> list[str]:
        """Of torchrun."""
        settings = {
            "is_host": int(training.node == 0),
            "timeout": training.meeting_seconds,
            "join_timeout": training.meeting_seconds,
            "last_call_timeout": 1,
            "keep_alive_interval": KEEP_ALIVE_SECONDS,
            "keep_alive_max_attempt": KEEP_ALIVE_ATTEMPTS,
        }
        return [
            f"--nnodes={training.nodes}",
            f"--rdzv-id={self.name}",
            "--rdzv-backend=c10d",
            f"--rdzv-endpoint={self.host}:{self.port}",
            f"--rdzv-conf={','.join(f'{key}={value}' for key, value in settings.items())}",
            f"--local-addr={self.address}",
        ]


def _arguments(training: TrainingConfig, meeting: Meeting | None) -> list[str]:
    return [
        f"--nproc-per-node={training.processes_per_node}",
        f"--max-restarts={training.max_restarts}",
        *(["--standalone"] if meeting is None else meeting.arguments(training)),
    ]


def _environment(training: TrainingConfig, meeting: Meeting | None) -> dict[str, str]:
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
        if meeting is None:
            environment["GLOO_SOCKET_IFNAME"] = "lo"
    return environment | (meeting.environment if meeting else {})


def accelerator(training: TrainingConfig) -> str:
    """What the processes compute on: cpu or cuda."""
    if training.accelerator != "auto":
        return training.accelerator
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
