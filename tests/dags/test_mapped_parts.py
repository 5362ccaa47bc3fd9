"""Parts of a stage in Airflow: no more mapped tasks than it maps, the same artifacts in any number of tasks,
and a look at the config before any of it."""

import json
from pathlib import Path
from typing import Any

import pytest

from builders.airflow_code import said
from builders.checkout import ROOT
from builders.corpus import SMALL_SWEEP, corpus_config, easy_and_hard, run_stage

SMALL = SMALL_SWEEP + "[sweep]\ntokens = 2_000\nevaluations = 1\ngroup_size = 1\n"
PARTS = """
import json, sys
from mashbill.operators import ListParts, RunPart
config, inputs = json.loads(sys.argv[1])
asked = {"config": config, "inputs": inputs, "stage": "sweep"}
listed = ListParts(task_id="parts", **asked).execute({})
shown, made = [], []
for part in listed:
    context = {}
    made.append(RunPart(task_id="part", part=part, **asked).execute(context))
    shown.append(context["part"])
print(json.dumps([listed, shown, made]))
"""
LISTED = """
import json, sys
from mashbill.operators import ListParts
from mashbill.stages import part_label
config, inputs = json.loads(sys.argv[1])

def listed(stage, **more):
    return ListParts(task_id="parts", config=config, inputs=inputs, stage=stage, **more).execute({})

found = [listed("sweep"), listed("sweep", most=3), listed("refine")]
print(json.dumps([found, [part_label(names) for names in found[0][:2]]]))
"""
BATCHES = """
import json
from mashbill.launch.needs import shared_among
names = [f"group-{i:04d}" for i in range(1_100)]
print(json.dumps([shared_among(names, most) for most in (1, 7, 1_024, 1_100, 5_000)]))
"""
CHECK = """
import json, sys
sys.path.insert(0, {folder!r})
from airflow.sdk.exceptions import AirflowFailException
from mashbill.operators import CheckConfig, MixtureTaskGroup, CurationTaskGroup
from airflow.sdk import DAG

found = {{}}
for name in ("curation", "mixture_search", "pretraining"):
    dag = getattr(__import__(name), name)()
    first = [task for task in dag.tasks if not task.upstream_task_ids]
    check = dag.get_task("check")
    found[name] = [[task.task_id for task in first], list(check.stages)]
with DAG("two") as two:
    curation = CurationTaskGroup(config="one.toml")
    MixtureTaskGroup(config="other.toml", inputs=curation.outputs)
found["two"] = [t.task_id for t in two.tasks if isinstance(t, CheckConfig)]

def outcome(**asked):
    try:
        return CheckConfig(task_id="check", **asked).execute({{}})
    except AirflowFailException as error:
        return str(error)

config = sys.argv[1]
found["all"] = outcome(config=config)
found["ingest"] = outcome(config=config, stages=["ingest"])
found["mended"] = outcome(config=config, overrides={{"tokens.tokenizer": ""}}, allow=["tokens"])
print(json.dumps(found))
"""


def manifests(parts: Path) -> dict[str, Any]:
    """Manifests by part."""
    return {path.name: json.loads((path / "manifest.json").read_text()) for path in parts.iterdir()}


def weights(manifest: dict[str, Any]) -> dict[str, str]:
    """Checksums of the models of a part."""
    return {f["path"]: f["sha256"] for f in manifest["files"] if f["path"].endswith(".safetensors")}


def test_as_many_tasks_as_airflow_maps_run_the_same_parts(tmp_path: Path) -> None:
    config, done = easy_and_hard(tmp_path, SMALL, then=["plan"])
    asked = json.dumps([str(tmp_path / "config.toml"), {k: done[k].address for k in ("tokenize", "plan")}])
    alone = said(PARTS, asked, home=tmp_path)
    names = [f"group-{i:04d}-{i:04d}" for i in range(6)]
    assert alone[:2] == [names, [f"proxy {i}" for i in range(6)]]
    sweep = tmp_path / "artifacts" / "sweep"
    (parts,) = sweep.glob("*.parts")
    before = manifests(parts)
    parts.rename(tmp_path / "kept")
    listed, shown, made = said(PARTS, asked, home=tmp_path, AIRFLOW__CORE__MAX_MAP_LENGTH="4")
    assert listed == [
        ["group-0000-0000"],
        ["group-0001-0001", "group-0002-0002"],
        ["group-0003-0003"],
        ["group-0004-0004", "group-0005-0005"],
    ]
    assert shown == ["proxy 0", "proxies 1-2", "proxy 3", "proxies 4-5"]
    assert [Path(address).name for address in made] == [batch[-1] for batch in listed]
    after = manifests(parts)
    assert after.keys() == before.keys() == set(names)
    for name in names:
        assert weights(after[name]) == weights(before[name]) != {}
        assert after[name]["fingerprint"] == before[name]["fingerprint"]
    run_stage(config, "sweep", done)
    assert said(PARTS, asked, home=tmp_path)[0] == []  # nothing is left to do


def test_512_proxies_are_32_tasks_and_rounds_are_one(tmp_path: Path) -> None:
    many = SMALL.replace("mixtures = 6", "mixtures = 512") + "[refine]\nrounds = 3\nproxies = 2\n"
    _, done = easy_and_hard(tmp_path, many, then=["plan"])
    made = {"tokenize": done["tokenize"].address, "plan": done["plan"].address, "sweep": done["plan"].address}
    asked = json.dumps([str(tmp_path / "config.toml"), made])
    (sweep, three, rounds), labels = said(LISTED, asked, home=tmp_path)
    assert ([len(names) for names in sweep], len(three)) == ([16] * 32, 3)
    assert labels == ["proxies 0-15", "proxies 16-31"]
    assert rounds == [["round-001", "round-002", "round-003"]]  # each reads those before it
    fewer = said(LISTED, asked, home=tmp_path, AIRFLOW__MASHBILL__MAPPED_TASKS="5")[0][0]
    assert [name for names in fewer for name in names] == [name for names in sweep for name in names]
    assert len(fewer) == 5
    assert len(said(LISTED, asked, home=tmp_path, AIRFLOW__CORE__MAX_MAP_LENGTH="4")[0][0]) == 4


def test_any_number_of_parts_falls_into_neighbours_and_no_task_is_empty(tmp_path: Path) -> None:
    names = [f"group-{i:04d}" for i in range(1_100)]
    for batches, most in zip(said(BATCHES, home=tmp_path), (1, 7, 1_024, 1_100, 5_000), strict=True):
        assert [name for batch in batches for name in batch] == names
        assert len(batches) == min(most, len(names))
        sizes = [len(batch) for batch in batches]
        assert max(sizes) - min(sizes) <= 1


@pytest.fixture
def lacking(tmp_path: Path) -> Path:
    """A config whose tokenizer, and a source, are not there."""
    (tmp_path / "a.jsonl").write_text('{"text": "a text"}\n')
    sources = {"a": "a.jsonl", "b": "b.jsonl"}
    corpus_config(tmp_path, sources, {"r": "a.jsonl"}, '[tokens]\ntokenizer = "none.json"')
    return tmp_path / "config.toml"


def test_the_first_task_of_every_dag_looks_at_what_its_stages_read(lacking: Path) -> None:
    from mashbill.stages import GROUPS

    found = said(CHECK.format(folder=str(ROOT / "dags")), str(lacking), home=lacking.parent)
    groups = [("curation",), ("curation", "mixture"), ("curation", "mixture", "training")]
    for name, parts in zip(("curation", "mixture_search", "pretraining"), groups, strict=True):
        assert found[name] == [["check"], [stage for group in parts for stage in GROUPS[group]]]
    assert found["two"] == ["check", "check_mixture"]
    source = "corpus.domains[1].sources[0].path: no file matches"
    assert found["ingest"].startswith(source)
    first, second = found["all"].splitlines()
    assert first.startswith(source)
    assert second.startswith("tokens.tokenizer: ")
    assert found["mended"].startswith(source)
