"""What OpenLineage is told of a stage, as its provider asks for it."""

from pathlib import Path
from typing import Any

import pytest

from builders.airflow_code import said
from builders.corpus import corpus_config, write_jsonl

PROBE = """
import json, sys
from airflow.providers.openlineage.extractors.base import DefaultExtractor
from airflow.sdk.exceptions import AirflowFailException
from openlineage.client.serde import Serde
from mashbill.operators import FilterDocuments, IngestDocuments, RunPart, ListParts, CheckConfig

config = sys.argv[1]
pushed = {}

class Instance:
    def xcom_push(self, key, value):
        pushed[key] = value

def told(lineage):
    return json.loads(Serde.to_json(lineage))

def lineage(operator, *, fails=False):
    asked = DefaultExtractor(operator)
    start = told(asked.extract())
    try:
        operator.execute({"ti": Instance()})
    except AirflowFailException:
        assert fails
    end = asked.extract_on_failure(Instance()) if fails else asked.extract_on_complete(Instance())
    return [start, told(end)]

ingest = IngestDocuments(task_id="ingest", config=config)
found = {"ingest": lineage(ingest), "link": ingest.operator_extra_links[0].get_link(ingest, ti_key=None)}
made = {"ingest": ingest.made[0].address}
found["filter"] = lineage(FilterDocuments(task_id="filter", config=config, inputs=made))
sources = [{"name": name, "sources": [{"path": sys.argv[2]}]} for name in ("web", "papers")]
bad = {"overrides": {"corpus.domains": sources}, "allow": ["corpus"]}
found["failed"] = lineage(IngestDocuments(task_id="bad", config=config, **bad), fails=True)
found["check"] = lineage(CheckConfig(task_id="check", config=config, stages=["ingest"]))
found["counts"] = pushed["counts"]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lineage")
    for name in ("web", "papers"):
        texts = [f"{name} has a text of its own, number {i}, of some words" for i in range(5)]
        write_jsonl(folder / f"{name}.jsonl", texts)
    corpus_config(
        folder, {name: f"{name}.jsonl" for name in ("web", "papers")}, extra="[filters]\napply = []\n"
    )
    return folder


@pytest.fixture(scope="module")
def told(home: Path) -> dict[str, Any]:
    (home / "bad.jsonl").write_text("no record\n" * 5)
    found: dict[str, Any] = said(
        PROBE, str(home / "config.toml"), str(home / "bad.jsonl"), home=home / "airflow"
    )
    return found


def names(datasets: list[dict[str, Any]]) -> list[str]:
    return [f"{one['namespace']}:{one['name']}" for one in datasets]


def test_ingest_reads_the_sources_and_writes_an_artifact(home: Path, told: dict[str, Any]) -> None:
    start, end = told["ingest"]
    sources = [f"file:{home / name}.jsonl" for name in ("papers", "web")]
    assert names(start["inputs"]) == names(end["inputs"]) == sources
    assert start["outputs"] == []
    (made,) = end["outputs"]
    assert Path(made["name"]).parent == home / "artifacts" / "ingest"
    assert (Path(made["name"]) / "manifest.json").is_file()


def test_rows_bytes_files_and_columns_of_what_is_written_are_told(told: dict[str, Any]) -> None:
    (made,) = told["ingest"][1]["outputs"]
    folder = Path(made["name"])
    lying = [path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json"]
    counted = made["outputFacets"]["outputStatistics"]
    assert counted["rowCount"] == 10
    assert counted["fileCount"] == len(lying)
    assert counted["size"] == sum(path.stat().st_size for path in lying)
    fields = {field["name"]: field["type"] for field in made["facets"]["schema"]["fields"]}
    assert fields["text"] == "large_string"
    assert made["facets"]["version"]["datasetVersion"].startswith(folder.name)


def test_what_one_stage_writes_is_by_the_same_name_what_the_next_reads(told: dict[str, Any]) -> None:
    (made,), (start, end) = told["ingest"][1]["outputs"], told["filter"]
    assert names(start["inputs"]) == names(end["inputs"]) == names([made])
    (read,) = end["inputs"]
    assert read["inputFacets"]["inputStatistics"]["rowCount"] == 10
    assert read["facets"]["version"] == made["facets"]["version"]


def test_the_run_says_with_which_settings_and_which_version(told: dict[str, Any]) -> None:
    start, end = (lineage["run_facets"]["mashbill_stage"] for lineage in told["filter"])
    assert (start["stage"], start["fingerprint"]) == ("filter", "")
    assert end["fingerprint"].startswith(Path(told["filter"][1]["outputs"][0]["name"]).name)
    assert start["settings"] == end["settings"]
    assert end["settings"]["filters"]["apply"] == []
    assert end["stageVersion"] == start["stageVersion"] > 0


def test_a_stage_that_fails_says_what_it_read_and_no_output(home: Path, told: dict[str, Any]) -> None:
    start, end = told["failed"]
    assert end["outputs"] == []
    assert names(end["inputs"]) == names(start["inputs"]) == [f"file:{home / 'bad.jsonl'}"]
    domains = end["run_facets"]["mashbill_stage"]["settings"]["corpus"]["domains"]
    assert {source["path"] for domain in domains for source in domain["sources"]} == {str(home / "bad.jsonl")}


def test_a_task_of_no_stage_reads_and_writes_nothing(told: dict[str, Any]) -> None:
    assert told["check"] == [{"inputs": [], "job_facets": {}, "outputs": [], "run_facets": {}}] * 2


def test_the_link_leads_to_the_artifact(told: dict[str, Any]) -> None:
    assert told["link"] == f"file://{told['ingest'][1]['outputs'][0]['name']}"


def test_nothing_of_openlineage_is_imported_before_it_asks(tmp_path: Path) -> None:
    code = (
        "import json, sys, mashbill.operators; print(json.dumps([m for m in sys.modules if 'lineage' in m]))"
    )
    assert not [name for name in said(code, home=tmp_path) if name.startswith("openlineage")]
