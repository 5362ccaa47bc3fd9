"""The one way to start processes: on one compute thread each, ended with whoever started them, their last
words kept for the error.

Several processes on shared cores that each start a thread a core run at a tenth of the speed. Plain processes
run a module by name, as a pool of ``multiprocessing`` would import the main module of whoever calls, which in
an Airflow task is Airflow's, and that refuses to be imported there.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from mashbill.launch.child import LOOK_SECONDS, PATIENCE_SECONDS

SINGLE_THREAD = MappingProxyType(
    dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
)
"""Environment of a process that computes on one thread."""
LAST_LINES = 15
LAST_ERRORS = 3


@dataclass(frozen=True)
class Child:
    """A module that runs as a process of its own.

    Attributes:
        process: leader of a session, to which whatever it starts belongs.
        log: file of what it says.
        log_start: bytes of the log that earlier processes wrote.
    """

    process: "subprocess.Popen[bytes]"
    log: Path
    log_start: int

    def runs(self) -> bool:
        """Whether it has not ended yet."""
        return self.process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """0 where it ended well, below 0 where a signal ended it, None while it runs."""
        return self.process.returncode

    def last_words(self) -> str:
        """The last errors in its log; where there is none the last lines, or how it ended."""
        with self.log.open("rb") as file:
            file.seek(self.log_start)
            said = file.read().decode("utf-8", "replace").splitlines()
        lines = [line.strip() for line in said if line.strip()]
        errors = [line for line in lines if "Error" in line][-LAST_ERRORS:]
        return " | ".join(errors or lines[-LAST_LINES:]) or f"it ended with {self.exit_code}"


def start_module(
    module: str, arguments: Sequence[str], log: Path, *, environment: Mapping[str, str] | None = None
) -> Child:
    """Start ``python -m MODULE ARGUMENT...`` in a session of its own.

    Args:
        module: name of the module.
        arguments: of the module.
        log: file that what it says is added to.
        environment: variables beside those of this process and of a single thread.
    """
    command = [sys.executable, "-m", "mashbill.launch.child", str(os.getpid()), module, *arguments]
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=output,
            env={**os.environ, **SINGLE_THREAD, **(environment or {})},
            start_new_session=True,
        )
        return Child(process, log, output.tell())


def wait_for(children: Sequence[Child], look: Callable[[], None]) -> None:
    """Wait until all have ended; whatever breaks the waiting off ends them.

    Args:
        children: what was started.
        look: called twice a second while any runs, and once when all have ended.
    """
    try:
        while any(child.runs() for child in children):
            time.sleep(LOOK_SECONDS)
            look()
    finally:
        end(children)


def end(children: Sequence[Child]) -> None:
    """End those that still run, with whatever they started: asked first, then killed."""
    running = [child for child in children if child.runs()]
    for child in running:
        os.killpg(child.process.pid, signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE_SECONDS
    for child in running:
        try:
            child.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            os.killpg(child.process.pid, signal.SIGKILL)
            child.process.wait()


@contextmanager
def single_threaded() -> Iterator[None]:
    """Worker processes of a pool that starts within compute on one thread each: they inherit it from here."""
    before = {name: os.environ.get(name) for name in SINGLE_THREAD}
    os.environ.update(SINGLE_THREAD)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
