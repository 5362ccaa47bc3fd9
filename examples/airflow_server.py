"""A real Airflow on this machine: scheduler, DAG processor, triggerer and API server, on SQLite, for demos
and tests."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from processes import end

START_SECONDS = 400
ROUNDS_OF_ENDING = 3
REQUEST_SECONDS = 120  # a machine that is busy with proxies answers late


class AirflowServer:
    """``airflow standalone`` in a process group of its own, ended with us.

    Args:
        home: AIRFLOW_HOME.
        dags: folder of DAG files.
        parallelism: tasks at once.
        configs: folder of config files that runs may be started with, beside those of the DAGs.
    """

    def __init__(self, home: Path, dags: Path, parallelism: int, configs: Path | None = None) -> None:
        self.home, self.port = home.absolute(), _free_port()
        self.home.mkdir(parents=True, exist_ok=True)
        self.url = f"http://localhost:{self.port}"
        self.environment = {**os.environ, **self._settings(dags.absolute(), parallelism)}
        if configs is not None:
            self.environment["AIRFLOW__MASHBILL__CONFIGS"] = str(configs.absolute())
        self.sessions = self.home / "sessions"
        self.process: subprocess.Popen[bytes] | None = None
        self.token = ""

    def __enter__(self) -> Self:
        """Start, and wait until the scheduler and the API answer."""
        self.stop()
        try:
            self._start()
        except BaseException:  # ended while it starts: __exit__ would not be called
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop everything."""
        self.stop()

    def stop(self) -> None:
        """End every process of this home: also tasks whose scheduler was killed, which are no children of
        ours any more."""
        for _ in range(ROUNDS_OF_ENDING):  # what was about to start a process may have started it meanwhile
            if not (found := self.processes()):
                break
            end(found)
        if self.process is not None:
            self.process.wait()

    def scheduler_lives(self) -> bool:
        """Whether the scheduler's process is there."""
        return any("scheduler" in line for line in map(_command_line, self.processes()))

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """One call of the REST API, with its answer as JSON values."""
        if not self.token:
            self.token = _request("GET", f"{self.url}/auth/token")["access_token"]
        return _request(method, f"{self.url}/api/v2/{path}", body, {"Authorization": f"Bearer {self.token}"})

    def trigger(self, dag: str, conf: dict[str, Any]) -> str:
        """Start a run of a DAG, once it has been parsed; runs that an earlier Airflow left behind are failed
        first."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self.call("PATCH", f"dags/{dag}", {"is_paused": False})
                break
            except urllib.error.HTTPError as error:
                if error.code != 404 or time.monotonic() > deadline:
                    raise
                time.sleep(1)
        for run in self.call("GET", f"dags/{dag}/dagRuns?state=running&state=queued")["dag_runs"]:
            self.call("PATCH", f"dags/{dag}/dagRuns/{run['dag_run_id']}", {"state": "failed"})
        started: str = self.call("POST", f"dags/{dag}/dagRuns", {"logical_date": None, "conf": conf})[
            "dag_run_id"
        ]
        return started

    def tasks(self, dag: str, run: str) -> list[dict[str, Any]]:
        """Task instances of a run."""
        found: list[dict[str, Any]] = self.call("GET", f"dags/{dag}/dagRuns/{run}/taskInstances?limit=500")[
            "task_instances"
        ]
        return found

    def _start(self) -> None:
        command = [str(Path(sys.executable).parent / "airflow"), "standalone"]
        with (self.home / "standalone.log").open("wb") as log:
            self.process = subprocess.Popen(
                command, env=self.environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        self.sessions.write_text(f"{self.process.pid}\n")
        deadline = time.monotonic() + START_SECONDS
        while not self._healthy():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"Airflow did not start; see {self.home / 'standalone.log'}")
            time.sleep(0.5)

    def _healthy(self) -> bool:
        try:
            health = _request("GET", f"{self.url}/api/v2/monitor/health")
        except (OSError, ValueError):
            return False
        return all(health[part]["status"] == "healthy" for part in ("scheduler", "dag_processor"))

    def processes(self) -> list[psutil.Process]:
        """Every process of the sessions that were started in this home, or with this AIRFLOW_HOME, but us and
        those that started us.

        Airflow's servers write their titles over their environment, tasks may leave the session: it takes
        both signs.
        """
        ours = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
        sessions = (
            {int(line) for line in self.sessions.read_text().split()} if self.sessions.exists() else set()
        )
        others = [p for p in psutil.process_iter() if p.pid not in ours]
        return [
            p
            for p in others
            if _home_of(p) == str(self.home) or (_session_of(p) in sessions and "airflow" in _command_line(p))
        ]

    def _settings(self, dags: Path, parallelism: int) -> dict[str, str]:
        log_port, trigger_port = _free_port(), _free_port()
        return {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": str(parallelism),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(log_port),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(trigger_port),
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
            "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": str(REQUEST_SECONDS),
            "OMP_NUM_THREADS": "1",
        }


def _command_line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _session_of(process: psutil.Process) -> int:
    try:
        return os.getsid(process.pid)
    except OSError:
        return -1


def _home_of(process: psutil.Process) -> str:
    try:
        return process.environ().get("AIRFLOW_HOME", "")
    except (psutil.Error, OSError):
        return ""


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _request(method: str, url: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        url, data, {"Content-Type": "application/json", **(headers or {})}, method=method
    )
    with urllib.request.urlopen(request, timeout=REQUEST_SECONDS) as answer:
        return json.loads(answer.read() or b"null")
