"""The approval before training under a real Airflow: no answer is lost, whenever it comes; a no is a no; who
clears the task is asked again; and what is shown is what is to be decided."""

import random
from collections.abc import Iterator

import pytest

from airflow_server import AirflowServer
from builders.approvals import REASON, Person, doubtful
from builders.corpus import corpus_config, write_jsonl
from builders.processes import processes_about

RUNS = 4
LATEST_SECONDS = 0.6
"""Answers come at some moment up to this long after the question: around the one that Airflow loses."""
DAGS = """
from datetime import timedelta
from airflow.sdk import DAG
from mashbill.operators import ApproveTraining, AskWhereInDoubt, Gate
from airflow.providers.standard.operators.empty import EmptyOperator

settings = {{"config": {config!r}, "inputs": {{"mix": {mix!r}, "gate": {gate!r}}}}}
with DAG("asking", schedule=None, max_active_runs=4):
    ApproveTraining(task_id="approve", subject="Train?", **settings)
for name, default in (("no_answer", None), ("by_default", "approve"), ("not_by_default", "reject")):
    with DAG(name, schedule=None):
        gate = Gate(timeout=timedelta(seconds=1), default=default)
        ApproveTraining(task_id="approve", subject="Train?", gate=gate, **settings)
with DAG("nobody", schedule=None):
    branch = AskWhereInDoubt(task_id="approve", asks="never", approval="never", go_on="train", **settings)
    branch >> [EmptyOperator(task_id="train"), EmptyOperator(task_id="never")]
"""


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    folder = tmp_path_factory.mktemp("gate")
    for name in ("web", "papers"):
        write_jsonl(folder / f"{name}.jsonl", [f"{name} {i}" for i in range(3)])
    config = corpus_config(folder, {name: f"{name}.jsonl" for name in ("web", "papers")})
    made = {stage: artifact.address for stage, artifact in doubtful(config, folder).items()}
    dags = folder / "dags"
    dags.mkdir()
    (dags / "asking.py").write_text(DAGS.format(config=str(folder / "config.toml"), **made))
    with AirflowServer(folder / "airflow", dags, 2) as server:
        yield Person(server)
    assert processes_about(folder) == {}


@pytest.mark.airflow
def test_one_answer_is_enough_whenever_it_comes(person: Person) -> None:
    drawn = random.Random(0)
    runs = [person.run("asking", ["Approve"], drawn.uniform(0, LATEST_SECONDS)) for _ in range(RUNS)]
    assert [one.state for one in runs] == ["success"] * RUNS
    assert [one.answers for one in runs] == [1] * RUNS


@pytest.mark.airflow
def test_a_no_fails_the_task_for_good(person: Person) -> None:
    rejected = person.run("asking", ["Reject"], 3.0)
    assert (rejected.state, rejected.answers, rejected.tries) == ("failed", 1, 1)


@pytest.mark.airflow
def test_whoever_clears_the_task_is_asked_again(person: Person) -> None:
    run = person.server.trigger("asking", {})
    assert person.follow("asking", run, ["Approve"], 3.0).state == "success"
    cleared = {"dry_run": False, "dag_run_id": run, "task_ids": ["approve"], "only_failed": False}
    person.server.call("POST", "dags/asking/clearTaskInstances", cleared)
    again = person.follow("asking", run, ["Reject"], 3.0)
    assert (again.state, again.answers) == ("failed", 1)


@pytest.mark.airflow
def test_the_question_shows_the_decision_the_mixture_and_its_interval(person: Person) -> None:
    body = person.run("asking", ["Approve"], 3.0).body
    assert REASON[1:] in body
    assert "| web | 70.0% | 50.0% |" in body
    assert "| chosen | 3.0000 | 2.9000 to 3.1000 |" in body


@pytest.mark.airflow
@pytest.mark.parametrize(
    "dag, state", [("no_answer", "failed"), ("by_default", "success"), ("not_by_default", "failed")]
)
def test_a_time_out_takes_the_default_or_fails(person: Person, dag: str, state: str) -> None:
    ended = person.run(dag, [])
    assert (ended.state, ended.answers) == (state, 0)


@pytest.mark.airflow
def test_where_nobody_is_to_be_asked_doubt_fails_and_says_what_to_set(person: Person) -> None:
    run = person.server.trigger("nobody", {})
    assert person.follow("nobody", run, []).state == "failed"
    logs = person.server.call(
        "GET", f"dags/nobody/dagRuns/{run}/taskInstances/approve/logs/1?full_content=true"
    )
    assert "set gate.within_noise to train or refuse" in str(logs)
