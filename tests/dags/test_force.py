"""Making a result anew: as a template says it, and once, whatever a task is retried."""

from pathlib import Path

from builders.airflow_code import said
from builders.corpus import corpus_config, write_jsonl

FORCED = """
import json, sys
from pathlib import Path
from types import SimpleNamespace
from airflow.sdk.exceptions import AirflowFailException
from mashbill.operators import IngestDocuments

def made(force, number=1, most=2):
    task = IngestDocuments(task_id="one", config=sys.argv[1], force=force, retries=2)
    ti = SimpleNamespace(try_number=number, max_tries=most, xcom_push=lambda **_: None)
    address = task.execute({"ti": ti})
    return Path(address, "manifest.json").stat().st_mtime_ns

first = made(False)
kept = [made(word) == first for word in ("False", "false", "0", None)]
anew = [made("True") != first]
second = made(False)
retried = [made(True, 2) == second, made(True, 3) == second]
cleared = made(True, 4, 5) != second
try:
    made("perhaps")
except AirflowFailException as error:
    told = str(error)
print(json.dumps([kept, anew, retried, cleared, told]))
"""
ALONE = """
import json, sys
from pathlib import Path
from types import SimpleNamespace
from mashbill.operators import FilterDocuments

def task():
    given = {"documents": sys.argv[1], "apply": [], "output": sys.argv[2]}
    return FilterDocuments(task_id="one", force=True, retries=2, **given)

def made(number):
    ti = SimpleNamespace(try_number=number, max_tries=2, xcom_push=lambda **_: None)
    return written(task().execute({"ti": ti}))

def written(folder):
    (documents,) = Path(folder, "documents").rglob("*.parquet")
    return documents.stat().st_mtime_ns

first = made(1)
there = written(task().alone().job.run().address)  # and is killed before it publishes
print(json.dumps([first, there, made(2), made(1)]))
"""


def test_a_result_is_made_anew_as_words_say_and_not_by_a_retry(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [f"Text number {i}." for i in range(20)])
    corpus_config(tmp_path, {"a": "a.jsonl", "b": "a.jsonl"})
    kept, anew, retried, cleared, told = said(FORCED, str(tmp_path / "config.toml"), home=tmp_path)
    assert kept == [True] * 4
    assert anew == [True]
    assert retried == [True] * 2
    assert cleared
    assert told == "IngestDocuments one: force: is 'perhaps'; give true or false"


def test_a_retry_goes_on_with_what_a_forced_try_made_also_of_a_stage_alone(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [f"Text number {i}." for i in range(20)])
    first, there, retried, forced = said(
        ALONE, str(tmp_path / "a.jsonl"), str(tmp_path / "out"), home=tmp_path / "airflow"
    )
    assert first != there
    assert retried == there
    assert forced not in (first, there)
