"""Another team's DAGs under a real Airflow: they start on new documents of a domain and on a new mixture,
once, and not on what was there before."""

import json
import shutil
import urllib.error
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airflow_server import AirflowServer
from builders.approvals import MIXTURE, committed
from builders.checkout import ROOT
from builders.choices import write_choice
from builders.corpus import corpus_config, run_stages, write_jsonl
from builders.processes import processes_about
from builders.waiting import wait_until
from mashbill.artifacts import Artifact
from mashbill.config import PipelineConfig

PATIENCE_SECONDS = 500
EXAMPLES = ROOT / "examples" / "another_team"
PRODUCER = """
from airflow.sdk import DAG
from mashbill.artifacts import open_store
from mashbill.operators import ChooseMixture, PipelineAssets, SelectDocuments

class FoundMixture(ChooseMixture):
    def execute(self, context):
        artifact = open_store(self.pipeline_config()).open(self.inputs["mix"])
        self.tell(context, artifact)
        return artifact.address

def given(*names):
    return {{name: "{{{{ dag_run.conf['" + name + "'] }}}}" for name in names}}

settings = {{"config": {config!r}, "assets": PipelineAssets()}}
with DAG("curation", schedule=None):
    SelectDocuments(task_id="select", inputs=given("deduplicate", "score"), **settings)
with DAG("mixtures", schedule=None):
    FoundMixture(task_id="mix", inputs=given("mix"), **settings)
"""
CONFIG = """[filters]
apply = []
[deduplication]
near = false
[quality]
positives = ["target"]
[bootstrap]
models = 0
[selection]
keep_share = 1.0
"""


def texts(word: str, count: int) -> list[str]:
    return [f"{word} number {i} of many is no other's text at all" for i in range(count)]


def curated(folder: Path, papers: int) -> tuple[PipelineConfig, dict[str, str]]:
    """Documents that are kept of two domains, and what select reads."""
    for name, count in (("web", 12), ("papers", papers), ("target", 12)):
        write_jsonl(folder / f"{name}.jsonl", texts(name, count))
    domains = {name: f"{name}.jsonl" for name in ("web", "papers")}
    config = corpus_config(folder, domains, {"target": "target.jsonl"}, CONFIG)
    done = run_stages(config, "select")
    return config, {name: done[name].address for name in ("deduplicate", "score")}


def a_mixture(config: PipelineConfig, folder: Path) -> Artifact:
    folder.mkdir()
    write_choice(folder, MIXTURE, {"web": 1.0})
    return committed(config, "mix", folder, {}, counts={"gain": 0.1})


@dataclass(frozen=True)
class Started:
    """What each step of the producers started.

    Attributes:
        steps: runs of the consumers' DAGs after each step, by DAG: partition and result.
        events: of the assets after each step.
        longest: what the DAG of plain tasks found.
        mix: address of the mixture.
    """

    steps: list[dict[str, list[tuple[str | None, Any]]]]
    events: list[list[dict[str, Any]]]
    longest: dict[str, int]
    mix: str


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    folder = tmp_path_factory.mktemp("team")
    config, first = curated(folder, papers=12)
    _, second = curated(folder, papers=13)
    mix = a_mixture(config, folder / "mix").address
    dags = folder / "dags"
    shutil.copytree(EXAMPLES, dags)
    (dags / "producers.py").write_text(PRODUCER.format(config=str(folder / "config.toml")))
    steps, events = [], []
    with AirflowServer(folder / "airflow", dags, 2) as server:
        for dag in ("new_documents", "new_mixture", "any_mixture"):
            wait_until(lambda dag=dag: is_there(server, dag), PATIENCE_SECONDS)  # type: ignore[misc]
        expected = {"new_documents": 0, "new_mixture": 0, "any_mixture": 0}
        for dag, inputs, more in (
            ("curation", first, {"new_documents": 2}),
            ("curation", first, {}),
            ("curation", second, {"new_documents": 1}),
            ("mixtures", {"mix": mix}, {"new_mixture": 1, "any_mixture": 1}),
            ("mixtures", {"mix": mix}, {}),
        ):
            run = server.trigger(dag, inputs)
            wait_until(lambda dag=dag, run=run: ended(server, dag, run), PATIENCE_SECONDS)  # type: ignore[misc]
            assert server.call("GET", f"dags/{dag}/dagRuns/{run}")["state"] == "success"
            expected = {name: count + more.get(name, 0) for name, count in expected.items()}
            wait_until(lambda wanted=dict(expected): all_ended(server, wanted), PATIENCE_SECONDS)  # type: ignore[misc]
            steps.append({name: results(server, name) for name in expected})
            events.append(server.call("GET", "assets/events?limit=100&order_by=timestamp")["asset_events"])
        run = server.trigger("engine_in_tasks", {"config": str(folder / "config.toml")})
        wait_until(lambda: ended(server, "engine_in_tasks", run), PATIENCE_SECONDS)
        place = f"dags/engine_in_tasks/dagRuns/{run}/taskInstances/longest/xcomEntries/return_value"
        longest = as_json(server.call("GET", place)["value"])
    yield Started(steps, events, longest, mix)
    assert processes_about(folder) == {}


def is_there(server: AirflowServer, dag: str) -> bool:
    try:
        return bool(server.call("GET", f"dags/{dag}"))
    except urllib.error.HTTPError as error:
        error.close()
        return False


def ended(server: AirflowServer, dag: str, run: str) -> bool:
    return server.call("GET", f"dags/{dag}/dagRuns/{run}")["state"] in {"success", "failed"}


def all_ended(server: AirflowServer, wanted: Mapping[str, int]) -> bool:
    runs = {dag: server.call("GET", f"dags/{dag}/dagRuns")["dag_runs"] for dag in wanted}
    done = {dag: [run for run in of if run["state"] in {"success", "failed"}] for dag, of in runs.items()}
    return all(len(done[dag]) >= count for dag, count in wanted.items())


def results(server: AirflowServer, dag: str) -> list[tuple[str | None, Any]]:
    """Partition and result of each run of a DAG with one task."""
    found = []
    for run in server.call("GET", f"dags/{dag}/dagRuns?order_by=run_after")["dag_runs"]:
        (task,) = server.tasks(dag, run["dag_run_id"])
        assert task["state"] == "success"
        place = f"dags/{dag}/dagRuns/{run['dag_run_id']}/taskInstances/{task['task_id']}"
        value = server.call("GET", f"{place}/xcomEntries/return_value")["value"]
        found.append((run["partition_key"], as_json(value)))
    return sorted(found, key=str)


def as_json(value: Any) -> Any:
    """A result, as Airflow tells it: in words, or as it was."""
    return json.loads(value) if isinstance(value, str) else value


@pytest.mark.airflow
def test_a_run_starts_for_each_domain_whose_documents_are_new(started: Started) -> None:
    first = started.steps[0]["new_documents"]
    assert [(key, value["domain"], value["documents"]) for key, value in first] == [
        ("papers", "papers", 24),
        ("web", "web", 24),
    ]
    assert Path(first[0][1]["address"], "manifest.json").is_file()


@pytest.mark.airflow
def test_what_was_there_before_starts_nothing(started: Started) -> None:
    assert started.steps[1] == started.steps[0]
    assert started.events[1] == started.events[0]
    assert started.steps[4] == started.steps[3]


@pytest.mark.airflow
def test_documents_of_one_domain_start_no_run_of_another(started: Started) -> None:
    assert [key for key, _ in started.steps[2]["new_documents"]] == ["papers", "papers", "web"]
    assert {value["documents"] for key, value in started.steps[2]["new_documents"] if key == "papers"} == {
        24,
        25,
    }


@pytest.mark.airflow
def test_a_new_mixture_starts_a_run_of_its_own_and_dags_that_wait_for_any(started: Started) -> None:
    assert started.steps[3]["new_mixture"] == [(Path(started.mix).name, MIXTURE)]
    assert started.steps[3]["any_mixture"] == [(None, 0.1)]


@pytest.mark.airflow
def test_events_say_counts_fingerprint_and_address(started: Started) -> None:
    for event in started.events[-1]:
        extra = event["extra"]
        assert extra["counts"]
        assert Path(extra["address"]).name == extra["fingerprint"][: len(Path(extra["address"]).name)]
        assert event["partition_key"] in {None, *extra["partitions"]}


@pytest.mark.airflow
def test_tasks_of_ones_own_call_the_engine_between_stages(started: Started) -> None:
    counted = {"web": 12, "papers": 13}
    assert started.longest == {name: max(map(len, texts(name, count))) for name, count in counted.items()}
