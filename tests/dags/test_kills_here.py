"""An operator that is asked to end: what it submitted ends, and where that is nothing nothing happens."""

from pathlib import Path

from builders.airflow_code import said
from builders.corpus import corpus_config, write_jsonl

KILLED = """
import json, sys
from mashbill.operators import IngestDocuments, RunPart

for made in (
    IngestDocuments(task_id="here", config=sys.argv[1]),
    IngestDocuments(task_id="there", config=sys.argv[1], launch={"backend": "local"}),
    RunPart(task_id="part", stage="sweep", part="group-0", config=sys.argv[1]),
):
    made.on_kill()
print(json.dumps("quiet"))
"""


def test_who_is_asked_to_end_before_anything_was_submitted_says_nothing(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", ["A text."])
    corpus_config(tmp_path, {"a": "a.jsonl", "b": "a.jsonl"})
    assert said(KILLED, str(tmp_path / "config.toml"), home=tmp_path) == "quiet"
