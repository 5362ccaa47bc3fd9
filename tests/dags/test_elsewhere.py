"""Stages that the config sends elsewhere, under a real Airflow: no worker waits, and whatever is killed, one
job is submitted and its result found."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_server import AirflowServer
from builders.airflow_home import impatient_server, kill
from builders.corpus import corpus_config
from builders.waiting import wait_until

PATIENCE_SECONDS = 150
DAG = """
from datetime import timedelta
from airflow.sdk import DAG
from mashbill.operators import IngestDocuments

for name, deferrable in (("deferred", True), ("waiting", False)):
    with DAG(name, schedule=None, default_args={{"retries": 9, "retry_delay": timedelta(seconds=1)}}) as dag:
        IngestDocuments(
            task_id="ingest", config={config!r}, overrides={{"seed": 1 + deferrable}}, deferrable=deferrable
        )
    globals()[name] = dag
"""
HOLDS = """
import os, time
from pathlib import Path
while "MASHBILL_NODE" in os.environ and not Path({go!r}).exists():
    time.sleep(0.05)
"""


class Home:
    """A folder with a corpus, a DAG that sends its ingest elsewhere, and what holds the job back."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.go, self.jobs = folder, folder / "go", folder / ".mashbill-jobs"
        (folder / "a.jsonl").write_text("".join(f'{{"text": "text number {i}"}}\n' for i in range(50)))
        (folder / "held").mkdir()
        (folder / "held" / "sitecustomize.py").write_text(HOLDS.format(go=str(self.go)))
        launch = f'[launch.ingest]\nbackend = "local"\nenvironment = {{ PYTHONPATH = "{folder / "held"}" }}'
        corpus_config(folder, {"a": "a.jsonl", "b": "a.jsonl"}, extra=launch)
        (folder / "dags").mkdir()
        (folder / "dags" / "elsewhere.py").write_text(DAG.format(config=str(folder / "config.toml")))

    def server(self) -> AirflowServer:
        return impatient_server(self.folder / "airflow", self.folder / "dags")

    def submitted(self) -> list[str]:
        return sorted(path.name for path in self.jobs.glob("[!.]*"))

    def told_by_triggerer(self) -> str:
        logs = (self.folder / "airflow" / "logs").rglob("*.log.trigger*")
        return "".join(path.read_text() for path in logs)

    def artifacts(self) -> list[dict[str, Any]]:
        manifests = (self.folder / "artifacts" / "ingest").glob("*/manifest.json")
        return [json.loads(path.read_text()) for path in manifests]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.setenv("HOME", str(tmp_path))
    home = Home(tmp_path)
    yield home
    home.go.touch()


def state(server: AirflowServer, dag: str, run: str) -> str | None:
    (task,) = server.tasks(dag, run)
    found: str | None = task["state"]
    return found


@pytest.mark.airflow
@pytest.mark.parametrize("dag, waits_in", [("deferred", "deferred"), ("waiting", "running")])
def test_whatever_of_airflow_is_killed_one_job_is_submitted_and_its_result_found(
    home: Home, dag: str, waits_in: str
) -> None:
    with home.server() as server:
        run = server.trigger(dag, {})
        wait_until(lambda: bool(home.submitted()), PATIENCE_SECONDS)  # nobody else knows yet
        kill(server)
    with home.server() as server:
        wait_until(lambda: state(server, dag, run) == waits_in, PATIENCE_SECONDS)
        kill(server)
    with home.server() as server:
        wait_until(lambda: state(server, dag, run) == waits_in, PATIENCE_SECONDS)
        assert len(home.submitted()) == 1
        home.go.touch()
        wait_until(lambda: state(server, dag, run) == "success", PATIENCE_SECONDS)
    assert len(home.submitted()) == 1
    (made,) = home.artifacts()
    assert made["counts"]["documents_out"] == 100


@pytest.mark.airflow
def test_a_deferred_task_that_is_failed_by_hand_ends_its_job(home: Home) -> None:
    with home.server() as server:
        run = server.trigger("deferred", {})
        wait_until(lambda: state(server, "deferred", run) == "deferred", PATIENCE_SECONDS)
        (job,) = home.submitted()
        wait_until(lambda: "ingest-whole" in home.told_by_triggerer(), PATIENCE_SECONDS)
        server.call("PATCH", f"dags/deferred/dagRuns/{run}/taskInstances/ingest", {"new_state": "failed"})
        wait_until((home.jobs / job / "ended.json").exists, PATIENCE_SECONDS)
    assert home.artifacts() == []
