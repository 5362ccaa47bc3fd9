"""Processes that examples start, ended with them: also where a signal ends the example in the middle."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from types import FrameType

import psutil

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
TERM_SECONDS, KILL_SECONDS = 8, 8


def exit_on_signals() -> None:
    """Make INT, TERM and HUP an orderly exit, so that ``with`` and ``finally`` end what was started.

    Python does that for INT alone. A signal that the caller has us ignore, as ``nohup`` does with HUP, stays
    ignored, but for INT: shells have every command in the background ignore it, and who sends it means it.
    """
    for which in ENDING:
        if which == signal.SIGINT or signal.getsignal(which) != signal.SIG_IGN:
            signal.signal(which, _exit)


def _exit(which: int, frame: FrameType | None) -> None:
    for other in ENDING:
        signal.signal(other, signal.SIG_IGN)  # a second Ctrl-C would leave half of it running
    os.write(2, f"\n{signal.Signals(which).name}: ending what was started\n".encode())
    sys.exit(128 + which)


def run_to_the_end(command: Sequence[str]) -> int:
    """Run a command; where we are ended before it is, end it with all that it started. Its exit status."""
    with subprocess.Popen(command, start_new_session=True) as process:
        try:
            return process.wait()
        except BaseException:
            with contextlib.suppress(psutil.NoSuchProcess):
                started = psutil.Process(process.pid)
                end([started, *started.children(recursive=True)])
            raise


def end(processes: Sequence[psutil.Process]) -> None:
    """Ask processes to end, and kill those that have not ended after some seconds."""
    for process in processes:
        _send(process, signal.SIGTERM)
    _, alive = psutil.wait_procs(processes, timeout=TERM_SECONDS)
    for process in alive:
        _send(process, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=KILL_SECONDS)


def _send(process: psutil.Process, which: signal.Signals) -> None:
    with contextlib.suppress(psutil.Error):
        process.send_signal(which)
