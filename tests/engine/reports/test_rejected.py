"""What the report tells of rejected records is what a reading of all of them tells, and few are read."""

import itertools
import json
import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.corpus import corpus_config, folder_as_artifact, rejections, run_stage
from builders.watched import opened, watched_inputs
from mashbill.artifacts import Artifact
from mashbill.config import PipelineConfig
from mashbill.documents import REJECTED, DocumentStore
from mashbill.reports.rejected import Refused, rejected_records

SETS = ("a", "b", "r", "quiz")
QUIZ = """max_rejected_share = 0.9
evaluations = [{ name = "quiz", sources = [{ path = "quiz.jsonl", id_field = "id" }] }]
"""
partitions = st.lists(st.lists(st.sampled_from("xyz"), max_size=9), max_size=6)


def configured(folder: Path) -> PipelineConfig:
    sources = {name: f'{name}.jsonl, id_field = "id"' for name in SETS}
    return corpus_config(folder, {n: sources[n] for n in "ab"}, {"r": sources["r"]}, QUIZ)


def ingested(folder: Path, given_sets: Sequence[list[list[str]]]) -> tuple[Artifact, list[dict[str, object]]]:
    """An artifact of ingest with these reasons in the partitions of its sets, and all its rows in order."""
    store, everything, place = DocumentStore.into(folder), [], itertools.count()
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    folder.mkdir(exist_ok=True)
    for name, parts in zip(SETS, given_sets, strict=True):
        for number, reasons in enumerate(parts):
            rows = [
                {"domain": name, "source": f"/deep/er/raw/{name}/x.jsonl", "row": next(place)}
                | {"reason": reason, "excerpt": "?", "bytes": 3}
                for reason in reasons
            ]
            store.write(pa.Table.from_pylist(rows, REJECTED.schema), name, number, kind=REJECTED)
            counts[name].update(reasons)
            everything += rows
    artifact = folder_as_artifact("ingest", folder)
    manifest = artifact.manifest.model_copy(update={"counts": {"rejected_by_set": counts}})
    return replace(artifact, manifest=manifest), everything


def by_hand(rows: list[dict[str, object]]) -> dict[str, Refused]:
    """All rows read one by one."""
    found: dict[str, Refused] = {}
    for row in rows:
        one = found.setdefault(str(row["reason"]), Refused(0))
        one.count += 1
        if one.count <= 3:
            one.samples.append({**row, "source": "/".join(str(row["source"]).split("/")[-3:])})
    return found


@settings(max_examples=100, deadline=None)
@given(st.tuples(partitions, partitions, partitions, partitions))
def test_reasons_counts_and_examples_are_those_of_all_rows(given_sets: Sequence[list[list[str]]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ingest, rows = ingested(Path(folder) / "ingest", given_sets)
        found = rejected_records(configured(Path(folder)), ingest)
    expected = by_hand(rows)
    assert found == expected
    assert list(found) == list(expected), "in the order in which they came"


def test_of_many_rejected_records_no_more_partitions_are_read_than_tell_them(tmp_path: Path) -> None:
    usual = [["x"] * 50] * 40
    ingest, rows = ingested(tmp_path / "ingest", (usual, [*usual[:20], ["y"], *usual[:19]], usual, []))
    notes = tmp_path / "notes.jsonl"
    notes.touch()
    watched = watched_inputs({"ingest": ingest}, notes)["ingest"]
    assert rejected_records(configured(tmp_path), watched) == by_hand(rows)
    driver, tasks = opened(notes)
    assert driver == set()
    assert {key for key in tasks if "/a/" in key or "/r/" in key} == {"ingest/rejected/a/part-00000.parquet"}
    assert 21 <= len(tasks) - 1 < 32, "the second set is read up to what it alone has"


def test_what_is_rare_is_found_deep_in_a_partition(tmp_path: Path) -> None:
    reasons = ["x"] * 20_000
    reasons[9_000] = reasons[15_000] = "y"
    ingest, rows = ingested(tmp_path / "ingest", ([reasons], [], [], []))
    assert rejected_records(configured(tmp_path), ingest) == by_hand(rows)


def test_ingest_counts_what_it_rejects_of_every_set(tmp_path: Path) -> None:
    for name in SETS:
        rows = [{"id": f"{name}{i % 8}", "text": f"text {i}" if i else ""} for i in range(10)]
        lines = [json.dumps(row) for row in rows] + ["{broken"] * 2
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    config = configured(tmp_path)
    ingest = run_stage(config, "ingest", {})
    rows = rejections(ingest)
    counts = {name: Counter(row["reason"] for row in rows if row["domain"] == name) for name in SETS}
    assert ingest.manifest.counts["rejected_by_set"] == counts
    assert all(count.total() >= 3 for count in counts.values())
    in_order = [row for name in SETS for row in rows if row["domain"] == name]
    assert rejected_records(config, ingest) == by_hand(in_order)
