"""Who waits for jobs elsewhere, as Airflow calls it without a server: jobs end with a task that nobody waits
for any more, and go on with one that does."""

import os
import signal
from typing import Any

import pytest

from builders.airflow_code import said
from builders.corpus import corpus_config, write_jsonl
from builders.processes import processes_about

HOLDS = "import os, signal\nif 'MASHBILL_NODE' in os.environ: signal.pause()\n"
TASK = """
import asyncio, importlib, json, sys, threading, time
from pathlib import Path
from types import SimpleNamespace
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import TaskStatesResult
from mashbill.errors import MashbillError
from mashbill.operators import IngestDocuments
from mashbill.operators.by_hand import end_jobs
from mashbill.operators.jobs_trigger import JobsEnded

folder, config = Path.home() / ".mashbill-jobs", sys.argv[1]

class Kept(dict):
    def set(self, key, value):
        self[key] = json.loads(json.dumps(value))

class Supervisor:
    def send(self, msg):
        self.asked = msg
        return TaskStatesResult(task_states={"run": {"ingest": self.state}} if self.state else {})

supervisor = task_runner.SUPERVISOR_COMMS = Supervisor()
kept = Kept()

def task(deferrable=True):
    return IngestDocuments(task_id="ingest", config=config, deferrable=deferrable, kubernetes_conn_id="gpus")

def context(round):
    return {"ti": SimpleNamespace(max_tries=round, stats_tags={}), "task_state_store": kept}

def deferred(round):
    try:
        task().execute(context(round))
    except TaskDeferred as waiting:
        return waiting

def begun(job):
    return json.loads((job / "started.json").read_text())["time"]

def states():
    jobs = sorted(folder.glob("[!.]*"), key=begun)
    return ["ended" if (job / "ended.json").exists() else "runs" for job in jobs]

def anew(trigger):
    path, arguments = trigger.serialize()
    module, _, name = path.rpartition(".")
    arguments = json.loads(json.dumps(arguments))
    return getattr(importlib.import_module(module), name)(**arguments)

async def first(trigger):
    return await asyncio.wait_for(anext(trigger.run()), 120)

def resumed(waiting, event):
    try:
        return task().resume(context(2), event, **waiting.kwargs)
    except (AirflowFailException, MashbillError) as error:
        return [type(error).__name__, str(error)]

found = {}
waiting = deferred(2)
trigger = anew(waiting.trigger)
trigger.kubernetes_conn_id = None  # there is no cluster here
both = {"aws_conn_id": "lake", "kubernetes_conn_id": "gpus"}
carried = vars(anew(JobsEnded(["a"], every_seconds=7.0, **both)))
found["carried"] = [{name: carried[name] for name in ("jobs", "every_seconds", *both)}, waiting.method_name]
found["connections"] = [waiting.trigger.kubernetes_conn_id, waiting.kwargs["connections"]]
found["taken up"] = [deferred(2).kwargs["jobs"] == waiting.kwargs["jobs"], states()]
asyncio.run(trigger.on_kill())
found["killed"] = states()
event = asyncio.run(first(trigger)).payload
found["event"] = [sorted(event), [json.loads(one)["phase"] for one in event["states"]]]
found["resumed"] = resumed(waiting, event)
found["not followed"] = resumed(waiting, {"error": ["here", "is away", "run again"]})

second = deferred(2)
third = deferred(5)
found["cleared"] = [second.kwargs["jobs"] != third.kwargs["jobs"], states()]

jobs, unconnected = third.kwargs["jobs"], {"aws_conn_id": None, "kubernetes_conn_id": None}
who = {"dag_id": "d", "run_id": "run", "task_id": "ingest", "map_index": -1}
found["by hand"] = []
for state in ("running", "deferred", "failed"):
    supervisor.state = state
    told = asyncio.run(end_jobs(jobs, unconnected, who))
    found["by hand"].append([state, told, states()[-1]])

worker, ended = task(deferrable=False), []
def wait():
    try:
        worker.execute(context(5))
    except MashbillError as error:
        ended.append(str(error))
waits = threading.Thread(target=wait, daemon=True)
waits.start()
while not worker._followed:
    time.sleep(0.02)
worker.on_kill()
waits.join(60)
found["waiting worker"] = [states(), ended]
print(json.dumps(found))
"""

KEEPS = """
import json
from airflow.models import Base, DagRun, TaskInstance, import_all_models
from airflow.models.callback import Callback
from airflow.sdk import DAG, BaseOperator
from airflow.sdk.serde import serialize
from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session
from mashbill.operators.by_hand import SetByHand

WAITS = {"jobs": [{"root": "/lake", "key": "a/1", "handle": "h"}], "connections": {"aws_conn_id": "lake"}}
engine, by_hand = create_engine("sqlite://"), SetByHand()
import_all_models()
Base.metadata.create_all(engine)

def kept(ended, waits=WAITS, state="deferred"):
    with Session(engine) as session, DAG("d"):
        task = TaskInstance(BaseOperator(task_id="ingest"), None, run_id="run", state=state, map_index=4)
        task.next_kwargs = serialize(waits)
        session.add(task)
        session.flush()
        ended(task, session)
        session.flush()
        callbacks = [*session.scalars(select(Callback))]
        return [[one.data["path"], one.data["kwargs"], str(one.state)] for one in callbacks]

def failed(task, session, before=None):
    by_hand.on_task_instance_failed(before, task, None)

def run_ended(task, session):
    run = DagRun(dag_id="d", run_id="run", run_type="manual", state="failed")
    session.add(run)
    session.flush()
    by_hand.on_dag_run_failed(run, "timed_out")

print(json.dumps({
    "failed": kept(failed),
    "passed over": kept(lambda task, _: by_hand.on_task_instance_success(None, task)),
    "skipped": kept(lambda task, _: by_hand.on_task_instance_skipped(None, task)),
    "its run took too long": kept(run_ended, state="skipped"),
    "failed by its worker": kept(lambda *given: failed(*given, before="running")),
    "waits for nothing": kept(failed, None),
    "another operator": kept(failed, {"jobs": ["x"]}),
    "no jobs": kept(failed, {**WAITS, "jobs": []}),
    "ended with its run": kept(run_ended, state="success"),
}))
"""


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    found: dict[str, Any] = said(KEEPS, home=tmp_path_factory.mktemp("kept"))
    return found


@pytest.mark.parametrize("case", ["failed", "passed over", "skipped", "its run took too long"])
def test_it_is_kept_that_jobs_of_a_task_end_which_a_person_ended(kept: dict[str, Any], case: str) -> None:
    ((path, values, state),) = kept[case]
    assert (path, state) == ("mashbill.operators.by_hand.end_jobs", "queued")
    assert values["jobs"] == [{"root": "/lake", "key": "a/1", "handle": "h"}]
    assert values["connections"] == {"aws_conn_id": "lake"}
    assert values["task"] == {"dag_id": "d", "run_id": "run", "task_id": "ingest", "map_index": 4}


@pytest.mark.parametrize(
    "case",
    ["failed by its worker", "waits for nothing", "another operator", "no jobs", "ended with its run"],
)
def test_nothing_is_kept_of_what_waits_for_no_jobs_or_was_ended_by_its_worker(
    kept: dict[str, Any], case: str
) -> None:
    assert kept[case] == []


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("waits")
    write_jsonl(folder / "a.jsonl", ["A text."])
    (folder / "held").mkdir()
    (folder / "held" / "sitecustomize.py").write_text(HOLDS)
    launch = f'[launch.ingest]\nbackend = "local"\nenvironment = {{ PYTHONPATH = "{folder / "held"}" }}'
    corpus_config(folder, {"a": "a.jsonl", "b": "a.jsonl"}, extra=launch)
    config = str(folder / "config.toml")
    try:
        found: dict[str, Any] = said(TASK, config, home=folder / "airflow", HOME=str(folder))
    finally:
        left = processes_about(folder)
        for process in left:
            os.kill(process, signal.SIGKILL)
    assert not left
    return found


def test_a_trigger_is_the_same_in_the_triggerer_and_has_its_connections(told: dict[str, Any]) -> None:
    wanted = {"jobs": ["a"], "every_seconds": 7.0, "aws_conn_id": "lake", "kubernetes_conn_id": "gpus"}
    assert told["carried"] == [wanted, "resume"]
    assert told["connections"] == ["gpus", {"aws_conn_id": None, "kubernetes_conn_id": "gpus"}]


def test_another_try_waits_for_the_job_that_is_there(told: dict[str, Any]) -> None:
    assert told["taken up"] == [True, ["runs"]]


def test_a_trigger_that_is_killed_ends_its_jobs_and_tells_how_they_ended(told: dict[str, Any]) -> None:
    assert told["killed"] == ["ended"]
    assert told["event"] == [["states"], ["gone"]]


def test_a_task_whose_job_is_gone_or_cannot_be_followed_may_be_retried(told: dict[str, Any]) -> None:
    kind, words = told["resumed"]
    assert kind == "RunError"
    assert words.endswith("was cancelled; run again for a new attempt")
    assert told["not followed"] == ["MashbillError", "here: is away; run again"]


def test_a_task_that_was_cleared_ends_the_job_of_before_and_begins_anew(told: dict[str, Any]) -> None:
    assert told["cleared"] == [True, ["ended", "ended", "runs"]]


def test_jobs_of_a_task_that_was_set_by_hand_end_unless_it_runs_again(told: dict[str, Any]) -> None:
    assert told["by hand"] == [
        ["running", "the task runs again", "runs"],
        ["deferred", "the task runs again", "runs"],
        ["failed", "1 ended", "ended"],
    ]


def test_a_worker_that_waits_and_is_asked_to_end_ends_its_job(told: dict[str, Any]) -> None:
    states, (error,) = told["waiting worker"]
    assert states == ["ended"] * 4
    assert error.endswith("was cancelled; run again for a new attempt")
