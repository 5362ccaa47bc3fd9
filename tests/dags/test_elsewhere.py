"""Stages that the config sends elsewhere, under a real Airflow: no worker waits, and whatever is killed, and
whenever, one job is submitted and its result found.

MASHBILL_KILL_SEEDS=8 or =3,7: that many seeds of what is killed and when, or those, in place of one.
"""

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_server import AirflowServer
from builders.airflow_home import TRIGGERER, MortalAirflow, impatient_server, kill
from builders.corpus import corpus_config
from builders.waiting import wait_until

PATIENCE_SECONDS = 400
KILLS, LATEST_SECONDS = 4, 8.0
LIMIT_SECONDS = 15
DAG = """
from datetime import timedelta
from airflow.sdk import DAG
from mashbill.operators import IngestDocuments

for seed, name in enumerate(("deferred", "waiting", "timed", "failed", "success", "skipped")):
    with DAG(
        name,
        schedule=None,
        default_args={{"retries": 99, "retry_delay": timedelta(seconds=1)}},
        dagrun_timeout=timedelta(seconds={limit}) if name == "timed" else None,
    ) as dag:
        IngestDocuments(
            task_id="ingest", config={config!r}, overrides={{"seed": seed}}, deferrable=name != "waiting"
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
        (folder / "dags" / "elsewhere.py").write_text(
            DAG.format(config=str(folder / "config.toml"), limit=LIMIT_SECONDS)
        )

    def server(self) -> AirflowServer:
        return impatient_server(self.folder / "airflow", self.folder / "dags")

    def submitted(self) -> list[str]:
        return sorted(path.name for path in self.jobs.glob("[!.]*"))

    def ended(self, job: str) -> Callable[[], bool]:
        return (self.jobs / job / "ended.json").exists

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


def seeds() -> list[int]:
    """Of what is killed, and when."""
    asked = os.environ.get("MASHBILL_KILL_SEEDS", "1")
    return [int(one) for one in asked.split(",")] if "," in asked else list(range(int(asked)))


def state(airflow: MortalAirflow, dag: str, run: str) -> str | None:
    (task,) = airflow.server.tasks(dag, run)
    found: str | None = task["state"]
    return found


@pytest.mark.airflow
@pytest.mark.parametrize("seed", seeds())
def test_whatever_is_killed_and_whenever_one_job_is_submitted_and_its_result_found(
    home: Home, seed: int
) -> None:
    drawn, kills = random.Random(seed), []
    with MortalAirflow(home.server) as airflow:
        runs = {dag: airflow.server.trigger(dag, {}) for dag in ("deferred", "waiting")}
        kills += [airflow.lose_a_part(drawn, LATEST_SECONDS) for _ in range(KILLS - 1)]
        wait_until(lambda: len(home.submitted()) == 2, PATIENCE_SECONDS)
        home.go.touch()
        kills += [airflow.lose_a_part(drawn, LATEST_SECONDS)]
        print(f"seed {seed}: {'; '.join(kills)}")
        for dag, run in runs.items():
            wait_until(lambda dag=dag, run=run: state(airflow, dag, run) == "success", PATIENCE_SECONDS)
    assert len(home.submitted()) == 2, kills
    assert [made["counts"]["documents_out"] for made in home.artifacts()] == [100, 100], kills


@pytest.mark.airflow
def test_a_deferred_task_that_someone_ends_or_clears_ends_its_job_whether_its_trigger_runs_or_not(
    home: Home,
) -> None:
    with MortalAirflow(home.server) as airflow:
        first, run = deferred(home, airflow)
        wait_until(lambda: "ingest-whole" in home.told_by_triggerer(), PATIENCE_SECONDS)
        set_state(airflow, "deferred", run, "failed")
        wait_until(home.ended(first), PATIENCE_SECONDS)

        kill(airflow.server, TRIGGERER)
        late, run = deferred(home, airflow, "timed")
        jobs = [late]
        for new in ("failed", "success", "skipped"):
            job, by_hand = deferred(home, airflow, new)
            set_state(airflow, new, by_hand, new)
            jobs.append(job)
        wait_until(lambda: state(airflow, "timed", run) == "skipped", PATIENCE_SECONDS)
        forget_triggers(airflow)
        assert not any(home.ended(job)() for job in jobs)
        airflow.start(TRIGGERER)
        for job in jobs:
            wait_until(home.ended(job), PATIENCE_SECONDS)

        kill(airflow.server, TRIGGERER)
        third, run = deferred(home, airflow)
        before = home.submitted()
        cleared = {"dry_run": False, "dag_run_id": run, "task_ids": ["ingest"], "only_failed": False}
        airflow.server.call("POST", "dags/deferred/clearTaskInstances", cleared)
        wait_until(lambda: len(home.submitted()) == len(before) + 1, PATIENCE_SECONDS)
        assert home.ended(third)()
    assert home.artifacts() == []


def deferred(home: Home, airflow: MortalAirflow, dag: str = "deferred") -> tuple[str, str]:
    """The job of a new run that waits for it, and the run."""
    before = home.submitted()
    run = airflow.server.trigger(dag, {})
    wait_until(lambda: state(airflow, dag, run) == "deferred", PATIENCE_SECONDS)
    (job,) = {*home.submitted()} - {*before}
    return job, run


def forget_triggers(airflow: MortalAirflow) -> None:
    """What a triggerer does at the end of each round, also with a trigger that came after its beginning."""
    code = "from airflow.models.trigger import Trigger; Trigger.clean_unused()"
    subprocess.run([sys.executable, "-c", code], check=True, env=airflow.server.environment)


def set_state(airflow: MortalAirflow, dag: str, run: str, new: str) -> None:
    """Give the task of a run another state, as a person does."""
    task = f"dags/{dag}/dagRuns/{run}/taskInstances/ingest"
    airflow.server.call("PATCH", task, {"new_state": new})
