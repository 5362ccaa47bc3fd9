"""Jobs on this machine: processes that outlive whoever submitted them, each job in a folder of its own.

The folder appears whole, with the order's token in it, so that of two that submit the same order one makes
the job; a lock in it says whether it runs (``supervisor.py``).
"""

import asyncio
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

from mashbill.config.launch import LaunchConfig
from mashbill.errors import ConfigError, MashbillError, RunError, line_of, one_line
from mashbill.launch.backend import PAUSED_EXIT, Failure, Handle, JobState, Order
from mashbill.launch.supervisor import (
    CANCELLED,
    ENDED,
    GRACE_SECONDS,
    LOCK,
    ORDER,
    RESTARTS,
    STARTED,
    log_of,
    read_ended,
)
from mashbill.storage import refuse_unwritable

LOOK_SECONDS = 0.5
KEPT_SECONDS = 7 * 86_400
"""How long the folder of a job that has ended is kept."""
LAST_LINES, MARGIN_SECONDS = 15, 5.0
NOT_ITS_BUSINESS = "AIRFLOW"
"""How names of variables begin that a job does not get from whoever submits it: Airflow's hold its database
and its secrets."""


class LocalBackend:
    """Processes of this machine."""

    name = "local"

    def check(self, takes: LaunchConfig) -> list[MashbillError]:
        """Whether the folder of jobs can be written."""
        try:
            refuse_unwritable("local.folder", _jobs(takes))
        except ConfigError as error:
            return [error]
        return []

    def submit(self, order: Order) -> Handle:
        """Start the processes of an order, unless they were started before."""
        jobs = _jobs(order.takes)
        folder = jobs / order.name
        _forget_old(jobs)
        there = _made(folder, order)
        if there != order.token:
            what = f"runs on this machine for another order ({folder})"
            raise ConfigError(f"job {order.name}", what, "wait for it, or end it")
        if not (folder / STARTED).exists():
            _start(folder)
        started = json.loads((folder / STARTED).read_text())
        uid = f"{started['pid']}-{started['time']}"
        place = {"host": socket.gethostname(), "folder": str(folder)}
        return Handle(self.name, order.name, order.token, uid, place)

    def state(self, handle: Handle) -> JobState:
        """How its processes are."""
        folder = _folder_of(handle)
        if _token(folder) != handle.token:
            return JobState("gone", "its folder was removed")
        runs = _runs(folder)
        ended = read_ended(folder)
        if (folder / CANCELLED).exists() and not runs:
            return JobState("gone", "was cancelled")
        if ended is not None and not runs and ended.code == 0:
            return JobState("succeeded")
        if ended is not None and not runs:
            message = "was asked to end and has saved" if ended.code == PAUSED_EXIT else ""
            return self._failed(handle, ended.why, node=ended.node, code=ended.code, message=message)
        if runs:
            restart = _restarts(folder)
            return JobState("running", f"restart {restart} of at most {_most(folder)}" if restart else "")
        return self._failed(handle, "its processes were killed, or the machine was restarted")

    async def watch(self, handle: Handle) -> AsyncIterator[JobState]:
        """States as they change; it looks twice a second."""
        before = None
        while before is None or not before.ended:
            now = self.state(handle)
            if now != before:
                yield now
            before = now
            if not now.ended:
                await asyncio.sleep(LOOK_SECONDS)

    def cancel(self, handle: Handle) -> None:
        """End its processes and what they started: asked first, then killed."""
        folder = _folder_of(handle)
        if _token(folder) != handle.token or not _runs(folder):
            return
        (folder / CANCELLED).touch()
        supervisor = json.loads((folder / STARTED).read_text())["pid"]
        sessions = _sessions(folder)
        led = supervisor in sessions or not sessions
        _signal([supervisor] if led else sessions, signal.SIGTERM)
        if not (_ends(folder, GRACE_SECONDS + MARGIN_SECONDS) and led):
            _signal(sessions, signal.SIGKILL)
            _ends(folder, MARGIN_SECONDS)

    def logs(self, handle: Handle, rank: int = 0, lines: int = 100) -> str:
        """The last lines of a node."""
        return _tail(log_of(_folder_of(handle), rank), lines)

    def _failed(
        self, handle: Handle, why: str, *, node: int | None = None, code: int | None = None, message: str = ""
    ) -> JobState:
        host = handle.place["host"]
        words = self.logs(handle, node or 0, LAST_LINES)
        where = host if node is None else f"node {node}"
        return JobState("failed", message, Failure(where, host, node, why, code, words))


def _jobs(takes: LaunchConfig) -> Path:
    return Path.home() / Path(takes.local.folder).expanduser()


def _made(folder: Path, order: Order) -> str:
    """Make a job's folder, unless it is there; the token of the job that is."""
    new = folder.parent / f".{uuid.uuid4().hex}"
    new.mkdir(parents=True)
    (new / ORDER).write_text(order.text(), encoding="utf-8")
    while True:
        try:
            new.rename(folder)
            return order.token
        except OSError as error:
            there = _token(folder)
            if there != order.token and there and not _runs(folder) and (folder / STARTED).exists():
                _remove(folder)  # a job that has ended, of an order that nobody knows any more
                continue
            shutil.rmtree(new)
            if not there:
                what = f"cannot be made ({one_line(error)})"
                raise RunError(str(folder), what, "free the disk, or its permissions") from error
            return there


def _start(folder: Path) -> None:
    """Start what runs the job; it is there when this comes back."""
    command = [sys.executable, "-m", "mashbill.launch.supervisor", str(folder)]
    ended = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env={name: value for name, value in os.environ.items() if not name.startswith(NOT_ITS_BUSINESS)},
    )
    if ended.returncode or not (folder / STARTED).exists():
        what = f"cannot be started ({line_of(ended.stderr) or f'exit code {ended.returncode}'})"
        raise RunError(f"job {folder.name}", what, "run again")


def _folder_of(handle: Handle) -> Path:
    host, here = handle.place["host"], socket.gethostname()
    if host != here:
        what = f"runs on {host}, and this is {here}"
        raise RunError(
            f"job {handle.name}", what, f"look at it from {host}; or, where that is no more, forget it"
        )
    return Path(handle.place["folder"])


def _token(folder: Path) -> str:
    """The token of the job that a folder is of; empty where there is none."""
    try:
        return str(json.loads((folder / ORDER).read_text(encoding="utf-8"))["token"])
    except FileNotFoundError:
        return ""


def _runs(folder: Path) -> bool:
    """Whether a process of the job lives."""
    try:
        lock = os.open(folder / LOCK, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def _sessions(folder: Path) -> list[int]:
    """The sessions of the processes that hold a job's lock, which are those of the job."""
    lock, found = (folder / LOCK).stat(), set()
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            status = descriptor.stat()
            if (status.st_dev, status.st_ino) == (lock.st_dev, lock.st_ino):
                found.add(os.getsid(int(descriptor.parts[2])))
    return sorted(found - {os.getsid(0)})


def _ends(folder: Path, seconds: float) -> bool:
    """Whether a job ends within a time."""
    until = time.monotonic() + seconds
    while _runs(folder):
        if time.monotonic() > until:
            return False
        time.sleep(LOOK_SECONDS / 5)
    return True


def _signal(groups: list[int], number: signal.Signals) -> None:
    for group in groups:
        with suppress(ProcessLookupError):
            os.killpg(group, number)


def _restarts(folder: Path) -> int:
    try:
        return int((folder / RESTARTS).read_text() or 0)
    except FileNotFoundError:
        return 0


def _most(folder: Path) -> int:
    return Order.of((folder / ORDER).read_text(encoding="utf-8")).takes.max_restarts


def _tail(path: Path, lines: int) -> str:
    try:
        return "\n".join(path.read_text("utf-8", "replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""


def _forget_old(jobs: Path) -> None:
    """Remove folders of jobs that ended long ago."""
    for mark in jobs.glob(f"*/{ENDED}"):
        with suppress(OSError):
            if time.time() - mark.stat().st_mtime > KEPT_SECONDS:
                _remove(mark.parent)


def _remove(folder: Path) -> None:
    gone = folder.with_name(f".{uuid.uuid4().hex}")
    with suppress(FileNotFoundError):
        folder.rename(gone)
        shutil.rmtree(gone)
