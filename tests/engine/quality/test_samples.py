"""Texts to learn from are the documents of the least lots, however partitions are cut; and tasks give
no more than what is asked for."""

import itertools
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from builders.corpus import corpus_config, folder_as_artifact
from mashbill.artifacts import StageRun
from mashbill.documents import DOCUMENTS, REFERENCES, DocumentStore, Kind
from mashbill.quality.lots import draw_lots
from mashbill.quality.samples import (
    SAMPLE_TAG,
    drawn_documents,
    first_texts,
    least_lots,
    reference_texts,
    sample_documents,
)

COUNTS = {"a": 500, "b": 300}
SEED = 7


def rows_of(name: str, count: int) -> pa.Table:
    rows = {field: [""] * count for field in DOCUMENTS.schema.names}
    rows |= {"id": [f"d{i}" for i in range(count)], "domain": [name] * count}
    rows["text"] = [f"{name} {i}" for i in range(count)]
    return pa.table(rows, schema=DOCUMENTS.schema)


def write_parts(folder: Path, table: pa.Table, name: str, ends: list[int], kind: Kind = DOCUMENTS) -> None:
    store, places = DocumentStore.into(folder), sorted({0, len(table), *(e for e in ends if e < len(table))})
    for number, (first, last) in enumerate(itertools.pairwise(places)):
        store.write(table.slice(first, last - first), name, number, kind=kind)


def run_on(folder: Path, ends: list[int]) -> StageRun:
    """A run whose domains and references are cut before these documents."""
    for name, count in COUNTS.items():
        write_parts(folder / "deduplicate", rows_of(name, count), name, ends)
    for name in ("r", "s"):
        write_parts(folder / "ingest", rows_of(name, 40), name, [30], REFERENCES)
    sets = ({name: f"{name}.jsonl" for name in names} for names in ("ab", "rs"))
    return StageRun.here(
        corpus_config(folder, *sets).model_copy(update={"seed": SEED}),
        {stage: folder_as_artifact(stage, folder / stage) for stage in ("ingest", "deduplicate")},
        output=folder / "output",
        scratch=folder / "scratch",
        progress=lambda *_: None,
    )


@pytest.mark.parametrize("ends", [[], [1], [100, 250], list(range(0, 500, 7))])
@pytest.mark.parametrize("count", [1, 50, 10_000])
def test_a_sample_is_what_the_least_lots_are_of(tmp_path: Path, ends: list[int], count: int) -> None:
    table = pa.concat_tables([rows_of(name, rows) for name, rows in COUNTS.items()])
    lots = draw_lots(table["domain"], table["id"], seed=SEED, tag=SAMPLE_TAG)
    expected = table.take(pa.array(np.argsort(lots)[:count]))["text"].to_pylist()
    found = sample_documents(run_on(tmp_path, ends), count)
    assert found["text"].to_pylist() == expected
    assert found.column_names == ["id", "domain", "text"]


def test_tasks_give_no_more_than_the_sample(tmp_path: Path) -> None:
    run = run_on(tmp_path, [100, 250])
    partitions = DocumentStore.of(run.inputs["deduplicate"]).partitions("a", "b")
    each = [least_lots(SEED, 20, partition) for partition in partitions]
    assert [len(lots) for lots in each] == [20] * len(partitions)
    last = np.sort(np.concatenate(each))[19]
    assert sum(len(drawn_documents(SEED, last, partition)) for partition in partitions) == 20


def test_texts_of_references_are_the_first_of_each_in_the_order_of_their_names(tmp_path: Path) -> None:
    run = run_on(tmp_path, [])
    assert reference_texts(run, ["s", "r"], 3) == ["r 0", "r 1", "r 2", "s 0", "s 1", "s 2"]
    assert len(reference_texts(run, ["r"], 1_000)) == 30
    [partition, _] = DocumentStore.of(run.inputs["ingest"]).partitions("r", kind=REFERENCES)
    assert first_texts(7, partition) == [f"r {i}" for i in range(7)]
