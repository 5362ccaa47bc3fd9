"""Task groups: subsets of stages, a team's own resources, and what training waits for."""

import json
from pathlib import Path
from typing import Any

import pytest

from builders.airflow_code import said

PROBE = """
import json
from datetime import timedelta
from airflow.sdk import DAG
from mashbill.config.launch import LaunchConfig
from mashbill.errors import ConfigError
from mashbill.operators import *
from mashbill.operators import CurationTaskGroup, MixtureTaskGroup, PretrainingPipeline, TrainingTaskGroup
from mashbill.operators import CheckConfig, Gate, PipelineAssets, StageOperator, TaskResources, TellMissing
from mashbill.stages import STAGES

EVERY = {name: f"/lake/{name}/0" for name in STAGES}

def tasks(group, **asked):
    with DAG("one") as dag:
        group(config="x.toml", **asked)
    return {t.task_id: {
        "before": sorted(t.upstream_task_ids), "pool": t.pool, "queue": t.queue,
        "rule": getattr(t.trigger_rule, "value", t.trigger_rule),
        "retries": t.retries, "made": sorted(a.name for a in t.outlets),
    } for t in dag.tasks}

def refused(group, **asked):
    try:
        tasks(group, **asked)
    except (ConfigError, ValueError) as error:
        return str(error)
    return ""

def checks(**asked):
    with DAG("checks") as dag:
        first = CurationTaskGroup(config="x.toml", kubernetes_conn_id="one")
        MixtureTaskGroup(config="x.toml", inputs=first.outputs, **asked)
    return {t.task_id: [t.kubernetes_conn_id, len(t.stages)] for t in dag.tasks if isinstance(t, CheckConfig)}

given = {"aws_conn_id": "lake", "kubernetes_conn_id": "gpus", "deferrable": True}
with DAG("connected") as connected:
    PretrainingPipeline(config="x.toml", **given)
said = {t.task_id: getattr(t, "partial_kwargs", None) or vars(t) for t in connected.tasks}
sent = {name: {key: has[key] for key in given if key in has} for name, has in said.items()}
templated, rendered = ("config", "overrides", "aws_conn_id", "kubernetes_conn_id"), []
for task in connected.tasks:
    if isinstance(task, StageOperator):
        for name in templated:
            setattr(task, name, "{{ a }}")
        task.inputs = {}
        task.render_template_fields({"a": task.task_id})
        rendered.append([getattr(task, name) for name in (*templated, "task_id")])

class Answers:
    def xcom_pull(self, task_ids):
        return {"made": "/lake/forecast/0"}.get(task_ids)

launch = {"train": LaunchConfig(backend="job", image="registry/a:1", gpus=8)}
with DAG("launched") as launched:
    PretrainingPipeline(config="x.toml", overrides={"seed": 1}, launch=launch)
train = launched.get_task("train")
found = {
    "all": tasks(PretrainingPipeline),
    "required": tasks(PretrainingPipeline, forecast_required=True),
    "without": tasks(CurationTaskGroup, skip=("bootstrap", "score"), inputs={"score": "/lake/score/0"}),
    "training": tasks(TrainingTaskGroup, inputs=EVERY, skip=["forecast"]),
    "bare": tasks(
        PretrainingPipeline,
        skip=("bootstrap", "score", "ladder", "validate", "forecast", "evaluate"),
        inputs={"score": "/lake/score/0"},
    ),
    "resources": tasks(
        PretrainingPipeline,
        resources={"*": TaskResources(pool="cpu"), "sweep": TaskResources(queue="gpu", retries=7)},
    ),
    "whole": tasks(CurationTaskGroup, resources=TaskResources(queue="own"), assets=PipelineAssets("team")),
    "quiet": tasks(CurationTaskGroup, assets=None),
    "checks": [checks(kubernetes_conn_id="one"), checks(kubernetes_conn_id="two")],
    "connected": sent,
    "at once": {
        t.task_id: t.max_active_tis_per_dagrun for t in connected.tasks if t.task_id.endswith("_part")
    },
    "rendered": rendered,
    "missing": TellMissing(task_id="told", optional=["made", "failed"], goes_on="training").execute(
        {"ti": Answers()}
    ),
    "launched": [train.overrides, list(train.allow)],
    "refusals": [
        refused(CurationTaskGroup, skip=("bootstrap", "score")),
        refused(CurationTaskGroup, skip=("scores",)),
        refused(MixtureTaskGroup),
        refused(MixtureTaskGroup, inputs={"tokenize": "/a"}, launch={"train": launch["train"]}),
        refused(PretrainingPipeline, resources={"sweeps": TaskResources(pool="a")}),
        refused(PretrainingPipeline, skip=("fit",)),
        refused(lambda **_: Gate(default="approve")),
        refused(lambda **_: Gate(timeout=timedelta(0))),
    ],
}
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    found: dict[str, Any] = said(PROBE, home=tmp_path_factory.mktemp("groups"))
    return found


def before(tasks: dict[str, Any], last: str) -> set[str]:
    """All that a task waits for, whatever lies between."""
    found: set[str] = set()
    todo = [last]
    while todo:
        for task in tasks[todo.pop()]["before"]:
            if task not in found:
                found.add(task)
                todo.append(task)
    return found


def test_all_three_groups_in_one_are_the_groups_one_after_the_other(made: dict[str, Any]) -> None:
    from mashbill.stages import STAGES

    assert set(STAGES) <= made["all"].keys()
    assert made["all"]["check"]["before"] == []
    assert all("check" in before(made["all"], task) for task in made["all"] if task != "check")
    optional = set(STAGES["report"].optional)
    assert made["all"]["report"]["before"] == sorted({*STAGES, "report_told"} - {"report"} - optional)


def test_the_report_waits_until_what_it_does_without_has_ended_and_the_run_ends_with_all(
    made: dict[str, Any],
) -> None:
    tasks = made["all"]
    optional = ["baselines", "bootstrap", "evaluate", "forecast", "ladder", "train", "validate"]
    assert (tasks["report_told"]["before"], tasks["report_told"]["rule"]) == (optional, "all_done")
    assert tasks["all_succeeded"]["before"] == sorted([*optional, "report"])
    assert tasks["all_succeeded"]["rule"] == "none_failed"


def test_what_the_report_does_without_is_left_out_and_needs_no_address(made: dict[str, Any]) -> None:
    assert not {"bootstrap", "ladder", "validate", "forecast", "evaluate"} & made["bare"].keys()
    assert made["bare"]["report_told"]["before"] == ["baselines", "train"]


def test_training_waits_until_a_forecast_has_ended_however_it_ended(made: dict[str, Any]) -> None:
    tasks = made["all"]
    assert "forecast" in before(tasks, "train_parts")
    assert (tasks["forecast_told"]["before"], tasks["forecast_told"]["rule"]) == (["forecast"], "all_done")
    straight = [name for name in before(tasks, "train_parts") if "forecast" in tasks[name]["before"]]
    assert straight == ["forecast_told"]


def test_training_waits_for_a_forecast_that_succeeds_where_that_is_asked_for(made: dict[str, Any]) -> None:
    tasks = made["required"]
    assert "forecast_told" not in tasks
    assert tasks["needs_approval"]["before"] == ["forecast", "gate"]
    assert tasks["needs_approval"]["rule"] == "all_success"


def test_a_stage_that_is_left_out_is_replaced_by_an_address(made: dict[str, Any]) -> None:
    assert not {"bootstrap", "bootstrap_part", "bootstrap_parts", "score"} & made["without"].keys()
    assert made["without"]["select"]["before"] == ["deduplicate"]


def test_training_alone_takes_addresses_and_asks_all_the_same(made: dict[str, Any]) -> None:
    assert made["training"]["needs_approval"]["before"] == ["check"]
    assert made["training"]["approve"]["before"] == ["needs_approval"]
    assert made["training"]["train_parts"]["before"] == ["approve", "needs_approval"]


def test_what_is_missing_or_unknown_is_refused_as_the_dag_is_parsed(made: dict[str, Any]) -> None:
    wanted = [
        "CurationTaskGroup: select: reads score, which is left out; give its address",
        "CurationTaskGroup: skip: scores: is no stage of it; choose among ingest",
        "MixtureTaskGroup: plan: reads tokenize, which is of another group",
        "MixtureTaskGroup: launch: train: is no stage of it",
        "PretrainingPipeline: resources: sweeps: is no stage of it",
        "MixtureTaskGroup: mix: reads fit, which is left out; give its address",
        "Gate(default='approve'): nothing times out; give a timeout",
        "Gate(timeout=",
    ]
    for line, words in zip(made["refusals"], wanted, strict=True):
        assert line.startswith(words)


def test_resources_of_a_stage_win_over_those_of_all(made: dict[str, Any]) -> None:
    tasks = made["resources"]
    for name in ("sweep", "sweep_part", "sweep_parts"):
        assert (tasks[name]["pool"], tasks[name]["queue"], tasks[name]["retries"]) == ("cpu", "gpu", 7)
    assert (tasks["fit"]["pool"], tasks["fit"]["queue"]) == ("cpu", tasks["check"]["queue"])
    assert made["whole"]["ingest"]["queue"] == "own"


def test_the_four_assets_are_made_by_their_stages_alone_and_can_be_left_out(made: dict[str, Any]) -> None:
    makers = {name: task["made"][0] for name, task in made["all"].items() if task["made"]}
    assert makers == {
        "select": "mashbill/documents",
        "tokenize": "mashbill/tokens",
        "mix": "mashbill/mixture",
        "train": "mashbill/model",
    }
    assert made["whole"]["select"]["made"][0] == "team/documents"
    assert not any(task["made"] for task in made["quiet"].values())


def test_every_task_has_the_connections_of_its_group(made: dict[str, Any]) -> None:
    given = {"aws_conn_id": "lake", "kubernetes_conn_id": "gpus", "deferrable": True}
    plain = {name: has for name, has in made["connected"].items() if has != given}
    assert plain.pop("approve") == plain.pop("needs_approval") == {"aws_conn_id": "lake"}
    assert {name: has for name, has in plain.items() if has} == {}
    assert set(plain) == {"forecast_told", "report_told", "all_succeeded"}


def test_what_may_be_a_template_is_rendered_in_every_task_of_a_stage(made: dict[str, Any]) -> None:
    assert len(made["rendered"]) > 20
    assert [row for row in made["rendered"] if set(row) != {row[-1]}] == []


def test_parts_that_want_a_machine_or_those_before_them_run_one_at_a_time(made: dict[str, Any]) -> None:
    alone = {name for name, most in made["at once"].items() if most == 1}
    assert alone == {"train_part", "refine_part"}
    assert made["at once"]["sweep_part"] is None


def test_two_clusters_are_each_looked_at_and_one_once(made: dict[str, Any]) -> None:
    from mashbill.stages import GROUPS

    first, second = len(GROUPS["curation"]), len(GROUPS["mixture"])
    one, two = made["checks"]
    assert one == {"check": ["one", first + second]}
    assert two == {"check": ["one", first], "check_mixture": ["two", second]}


def test_what_made_nothing_is_told(made: dict[str, Any]) -> None:
    assert made["missing"] == ["failed"]


def test_a_launch_is_the_authors_word_and_beats_the_config(made: dict[str, Any]) -> None:
    overrides, allow = made["launched"]
    assert overrides == [
        {"seed": 1},
        {"launch.train": {"backend": "job", "image": "registry/a:1", "gpus": 8}},
    ]
    assert allow == ["launch.train"]
    assert json.dumps(overrides)


def test_a_launch_reaches_the_config_whatever_the_file_says_of_it(tmp_path: Path) -> None:
    from mashbill.config import load_config

    (tmp_path / "a.jsonl").write_text('{"text": "a text"}\n')
    corpus = '[corpus]\ndomains = [{ name = "a", sources = [{ path = "a.jsonl" }] }, '
    text = f'{corpus}{{ name = "b", sources = [{{ path = "a.jsonl" }}] }}]\n[launch.train]\nbackend = "ssh"\n'
    (tmp_path / "c.toml").write_text(f'{text}[launch.train.ssh]\nhosts = ["h"]\n')
    takes = {"backend": "job", "image": "registry/a:1", "gpus": 8}
    config = load_config(tmp_path / "c.toml", {"launch.train": takes}, allow=["launch.train"])
    assert (config.launch["train"].backend, config.launch["train"].gpus) == ("job", 8)
