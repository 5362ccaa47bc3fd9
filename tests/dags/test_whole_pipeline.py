"""The whole DAG under a real Airflow on a few megabytes of real text; its scheduler is killed in the middle
of the sweep."""

import contextlib
import json
import shutil
import subprocess
import sys
import time
import urllib.error
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from airflow_server import AirflowServer
from builders.checkout import ROOT
from builders.processes import processes_about
from builders.smoke import finished_parts, smoke_config, smoke_home
from builders.waiting import wait_until

PATIENCE_SECONDS = 400


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the smoke config and its text; smaller groups, so that there is a middle to kill in."""
    return smoke_home(tmp_path_factory.mktemp("dag"), group_size=2)


def start(smoke: Path) -> subprocess.Popen[str]:
    """What ``make demo`` runs, on the smoke config."""
    command = [
        sys.executable,
        str(ROOT / "examples" / "demo.py"),
        "run",
        "--no-text",
        "--home",
        str(smoke / "airflow"),
    ]
    command += ["--config", str(smoke_config(smoke))]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def scheduler_processes(demo: int) -> list[psutil.Process]:
    """The schedulers that a demo started; processes end while we look."""
    found = []
    for process in psutil.Process(demo).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "scheduler" in " ".join(process.cmdline()):
                found.append(process)
    return found


@dataclass(frozen=True)
class Finished:
    """A pipeline whose scheduler was killed in the middle of the sweep, run again to its end.

    Attributes:
        folder: with its config, text and artifacts.
        before: the sweep's finished groups at the kill, and when each was committed.
        after: the same at the end.
        killed: what the demo printed when its scheduler was killed.
        output: what the demo printed in the end.
    """

    folder: Path
    before: dict[str, float]
    after: dict[str, float]
    killed: str
    output: str


@pytest.fixture(scope="module")
def finished(smoke: Path) -> Finished:
    demo = start(smoke)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not finished_parts(smoke, "sweep") and demo.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    assert demo.poll() is None, demo.communicate()[0]
    schedulers = scheduler_processes(demo.pid)
    assert schedulers, "no scheduler among the demo's processes"
    for process in schedulers:
        process.kill()
    killed = demo.communicate(timeout=120)[0]
    assert demo.returncode != 0
    before = finished_parts(smoke, "sweep")

    demo = start(smoke)
    output = demo.communicate(timeout=PATIENCE_SECONDS)[0]
    assert demo.returncode == 0, output
    return Finished(smoke, before, finished_parts(smoke, "sweep"), killed, output)


@pytest.mark.airflow
def test_killed_scheduler_costs_no_finished_group_and_the_next_run_completes(finished: Finished) -> None:
    assert "run again" in finished.killed
    assert finished.before
    assert {name: finished.after[name] for name in finished.before} == finished.before
    assert len(finished.after) == 4
    lines = finished.output.splitlines()
    report = Path(next(line for line in lines if line.startswith("report: ")).removeprefix("report: "))
    assert "<svg" in report.read_text()
    assert set(json.loads((report.parent / "summary.json").read_text())["measured"]) == {"chosen", "natural"}


@pytest.mark.airflow
def test_finished_pipeline_is_reused_without_airflow(finished: Finished) -> None:
    shutil.rmtree(finished.folder / "airflow", ignore_errors=True)
    demo = start(finished.folder)
    output = demo.communicate(timeout=120)[0]
    assert demo.returncode == 0, output
    assert "report: " in output
    assert not (finished.folder / "airflow").exists()


@pytest.mark.airflow
def test_gate_asks_a_person_in_airflow_and_goes_on_when_approved(finished: Finished) -> None:
    configs = smoke_config(finished.folder).parent
    with AirflowServer(finished.folder / "asked", ROOT / "dags", 2, configs) as server:
        conf = {
            "config": str(smoke_config(finished.folder)),
            "gate.within_noise": "ask",
            "overrides": {"gate.min_gain": 9.0},
        }
        run = server.trigger("pretraining", conf)

        def states() -> dict[str, str]:
            return {
                task["task_id"]: task["state"]
                for task in server.tasks("pretraining", run)
                if task["map_index"] < 0
            }

        wait_until(lambda: states().get("approve") == "awaiting_input", PATIENCE_SECONDS)
        assert states()["train_parts"] in {None, "none", "scheduled"}
        wait_until(lambda: approved(server, run, states()["approve"]), PATIENCE_SECONDS)
        assert {"approve": "success", "train": "success", "report": "success"}.items() <= states().items()
    assert processes_about(finished.folder) == {}


def approved(server: Any, run: str, state: str) -> bool:
    """Answer where a person is asked; whether the run has ended. Airflow 3.3 now and then loses an answer and
    asks again."""
    if state == "awaiting_input":
        time.sleep(5)
        answer = {"chosen_options": ["Approve"], "params_input": {}}
        try:
            server.call(
                "PATCH", f"dags/pretraining/dagRuns/{run}/taskInstances/approve/-1/hitlDetails", answer
            )
        except urllib.error.HTTPError as error:
            error.close()
    return server.call("GET", f"dags/pretraining/dagRuns/{run}")["state"] in {"success", "failed"}


@pytest.mark.airflow
def test_no_process_of_airflow_is_left_behind(finished: Finished) -> None:
    assert processes_about(finished.folder) == {}
