"""Documents come back as they were written, however they are split, in this process or another."""

import json
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.corpus import corpus_config, removals, run_stages, write_jsonl
from mashbill.documents import (
    DOCUMENTS,
    DUPLICATES,
    REFERENCES,
    REMOVED,
    DocumentStore,
    duplicate_rows,
    removed_rows,
)


def documents(texts: list[str], domain: str = "web") -> pa.Table:
    ids = [f"{domain}-{i}" for i in range(len(texts))]
    rows = [
        {"id": name, "domain": domain, "source": "a.txt", "text": text, "metadata": "{}"}
        for name, text in zip(ids, texts, strict=True)
    ]
    return pa.Table.from_pylist(rows, DOCUMENTS.schema)


READER = """
import json, pickle, sys
parts = pickle.load(sys.stdin.buffer)
print(json.dumps([[p.domain, p.number, p.count(), p.read(["text"])["text"].to_pylist()] for p in parts]))
"""


@settings(deadline=None, max_examples=25)
@given(texts=st.lists(st.text(max_size=30), max_size=40), data=st.data())
def test_any_split_into_partitions_reads_back_the_same_documents_in_order(
    texts: list[str], data: st.DataObject
) -> None:
    whole = documents([text.encode("utf-8", "replace").decode() for text in texts])
    cuts = sorted(data.draw(st.lists(st.integers(0, len(texts)), max_size=6)))
    size = data.draw(st.integers(1, 50))
    bounds = [0, *cuts, len(texts)]
    with tempfile.TemporaryDirectory() as folder:
        store = DocumentStore.into(Path(folder))
        for number in reversed(range(len(bounds) - 1)):  # tasks end in any order
            store.write(whole.slice(bounds[number], bounds[number + 1] - bounds[number]), "web", number)
        partitions = store.partitions("web")
        assert store.read("web").equals(whole)
        assert sum(partition.count() for partition in partitions) == len(texts)
        batches = [batch for part in partitions for batch in part.batches(["text"], size)]
        assert all(len(batch) <= size for batch in batches)
        assert [text for batch in batches for text in batch["text"].to_pylist()] == whole["text"].to_pylist()


def test_the_hundred_thousandth_partition_comes_after_the_one_before_it(tmp_path: Path) -> None:
    store = DocumentStore.into(tmp_path)
    for number in (99_999, 100_000, 7):
        store.write(documents([str(number)]), "web", number)
    assert store.read("web")["text"].to_pylist() == ["7", "99999", "100000"]


def test_sets_and_kinds_are_kept_apart_and_come_in_the_order_asked_for(tmp_path: Path) -> None:
    store = DocumentStore.into(tmp_path)
    for name in ("web", "books"):
        store.write(documents([f"of {name}"], name), name, 0)
    store.write(documents(["target"], "web"), "web", 0, kind=REFERENCES)
    assert store.sets() == ("books", "web")
    assert [part.domain for part in store.partitions("web", "books")] == ["web", "books"]
    assert store.read("web", kind=REFERENCES)["text"].to_pylist() == ["target"]
    assert store.read("absent", columns=["id", "text"]).schema.names == ["id", "text"]
    assert store.partitions("absent") == []


def test_a_partition_is_read_in_another_process(tmp_path: Path) -> None:
    store = DocumentStore.into(tmp_path)
    store.write(documents(["one", "zwei ☕"]), "web", 3)
    command = [sys.executable, "-c", READER]
    sent = pickle.dumps(store.partitions("web"))
    read = subprocess.run(command, input=sent, capture_output=True, check=True).stdout
    assert json.loads(read) == [["web", 3, 2, ["one", "zwei ☕"]]]


def test_rows_are_chosen_by_id_from_every_group(tmp_path: Path) -> None:
    store, count = DocumentStore.into(tmp_path), 10_000
    store.write(documents([f"text {i}" for i in range(count)]), "web", 0)
    wanted = {f"web-{i}" for i in (0, 4_095, 4_096, 9_999)}
    [partition] = store.partitions("web")
    asked: list[int] = []

    def choose(ids: pa.ChunkedArray) -> np.ndarray:
        asked.append(len(ids))
        return np.isin(ids.to_numpy().astype(str), list(wanted))

    found = pa.concat_tables(partition.chosen(choose, ["id", "text"]))
    assert set(found["id"].to_pylist()) == wanted
    assert found["text"].to_pylist() == ["text 0", "text 4095", "text 4096", "text 9999"]
    assert sum(asked) == count
    assert max(asked) < count, "a search of ids holds one group at a time"


def test_a_table_without_a_column_of_its_kind_is_not_written(tmp_path: Path) -> None:
    store = DocumentStore.into(tmp_path)
    with pytest.raises(KeyError, match="metadata"):
        store.write(documents(["a"]).drop_columns(["metadata"]), "web", 0)
    assert store.sets() == ()


def test_a_set_is_taken_over_as_it_is(tmp_path: Path) -> None:
    source, store = DocumentStore.into(tmp_path / "a"), DocumentStore.into(tmp_path / "b")
    for number in (0, 2):
        source.write(documents([f"text {number}"]), "web", number)
    store.adopt("web", source)
    assert store.read("web").equals(source.read("web"))
    assert [part.number for part in store.partitions("web")] == [0, 2]


def test_removed_documents_keep_their_size_in_bytes_and_an_excerpt() -> None:
    removed = removed_rows(documents(["☕" * 400, ""]), np.array(["too_short", "empty"]))
    assert removed["bytes"].to_pylist() == [1_200, 0]
    assert removed["excerpt"].to_pylist() == ["☕" * 300, ""]
    assert removed["reason"].to_pylist() == ["too_short", "empty"]


def test_rows_about_duplicates_begin_as_those_of_other_removed_documents(tmp_path: Path) -> None:
    store, table = DocumentStore.into(tmp_path), documents(["same"])
    kept = {"kept_id": pa.array(["web-9"]), "kept_domain": pa.array(["books"])}
    store.write(duplicate_rows(table, np.array(["exact"]), **kept), "web", 0, kind=DUPLICATES)
    row = store.read("web", kind=REMOVED).to_pylist()[0]
    assert list(row)[: len(REMOVED.schema.names)] == ["id", "domain", "reason", "bytes", "excerpt"]
    assert (row["kept_id"], row["kept_domain"]) == ("web-9", "books")


def test_filter_and_deduplicate_tell_what_they_removed_in_the_same_places(tmp_path: Path) -> None:
    prose = [f"Passage number {i} is about the subject of {i * 7}." * 5 for i in range(60)]
    write_jsonl(tmp_path / "web.jsonl", [*prose, "short", prose[3]])
    write_jsonl(tmp_path / "books.jsonl", ["An unfiltered book.", prose[5]])
    config = corpus_config(
        tmp_path,
        {name: f'{name}.jsonl, id_field = "id"' for name in ("web", "books")},
        extra='[filters]\napply = ["length"]\ndomains = ["web"]\n[filters.length]\nmin_characters = 20\n'
        "[deduplication]\nnear = false\n",
    )
    done = run_stages(config, "deduplicate")
    assert [(row["id"], row["reason"]) for row in removals(done["filter"])] == [("web-60", "too_short")]
    assert {row["id"]: row["kept_id"] for row in removals(done["deduplicate"])} == {
        "web-61": "web-3",
        "books-1": "web-5",
    }
    parts = {
        stage: [
            (part.domain, part.number)
            for part in DocumentStore.of(done[stage]).partitions("web", "books", kind=REMOVED)
        ]
        for stage in ("filter", "deduplicate")
    }
    assert parts["filter"] == parts["deduplicate"] == [("web", 0), ("books", 0)]
