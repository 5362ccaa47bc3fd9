"""An Airflow that is killed and started again in tests, whole or part by part, and takes soon for dead what
is."""

import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

import psutil

from airflow_server import AirflowServer

SOON = {
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "45",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "10",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "10",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
}
SCHEDULER, TRIGGERER, WORKER, ALL = "scheduler", "triggerer", "worker", "all"
TITLES = {
    SCHEDULER: ("airflow scheduler",),
    TRIGGERER: ("airflow triggerer",),
    WORKER: ("airflow worker -- ", "airflow supervisor"),
    ALL: ("",),
}
"""How command lines of a part's processes read."""
IDLE = "<idle>"
"""A worker of the local executor that waits for a task: one that dies with its queue's lock stops all others,
which is Airflow's affair."""
SHARES = {SCHEDULER: 3, TRIGGERER: 3, WORKER: 3, ALL: 1}
"""How often each is killed: all of it takes long to start."""


def impatient_server(home: Path, dags: Path) -> AirflowServer:
    """An Airflow that looks often for what died."""
    server = AirflowServer(home, dags, 2)
    server.environment |= SOON
    return server


def kill(server: AirflowServer, part: str = ALL) -> int:
    """Kill all of an Airflow, or a part, with -9; how many processes that were."""
    killed = 0
    for process in server.processes():
        with suppress(psutil.Error):
            line = " ".join(process.cmdline())
            if any(title in line for title in TITLES[part]) and (part == ALL or IDLE not in line):
                process.send_signal(signal.SIGKILL)
                killed += 1
    return killed


class MortalAirflow:
    """An Airflow that is killed with -9 while it works, whole or a part of it, and started again.

    Args:
        made: makes a server; always of the same home.
    """

    def __init__(self, made: Callable[[], AirflowServer]) -> None:
        self.made, self.server = made, made()
        self.started: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        """Start all of it."""
        self.server.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        """Stop all of it."""
        self.server.stop()
        for process in self.started:
            process.wait()

    def start(self, part: str) -> None:
        """Start what was killed."""
        if part == ALL:
            self.server.stop()
            self.server = self.made()
            self.server.__enter__()
        elif part in {SCHEDULER, TRIGGERER}:  # workers are started by the scheduler
            self._start(part)

    def lose_a_part(self, drawn: random.Random, latest_seconds: float) -> str:
        """Lose something at some moment until then, and get it back; what it was, and when."""
        (part,) = drawn.choices(list(SHARES), list(SHARES.values()))
        moment = drawn.uniform(0.0, latest_seconds)
        threading.Event().wait(moment)
        killed = kill(self.server, part)
        self.start(part)
        return f"{part} after {moment:.2f} s, {killed} processes"

    def _start(self, part: str) -> None:
        command = [str(Path(sys.executable).parent / "airflow"), part]
        with (self.server.home / f"{part}.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                env=self.server.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.started.append(process)
        with self.server.sessions.open("a") as sessions:
            sessions.write(f"{process.pid}\n")
