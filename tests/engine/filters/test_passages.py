"""An index that tasks make of sets in partitions finds what a count by hand finds, however they are cut."""

import itertools
import pickle
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.corpus import corpus_config, folder_as_artifact
from mashbill.artifacts import StageRun
from mashbill.documents import EVALUATIONS, REFERENCES, DocumentStore, Kind
from mashbill.filters.passages import SharedIndex, index_sets
from mashbill.storage import open_storage

NGRAM = 6
WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
QUIZ = 'evaluations = [{ name = "quiz", sources = [{ path = "quiz.jsonl" }] }]'
texts = st.lists(st.lists(st.sampled_from(WORDS), max_size=14), max_size=6)
cuts = st.lists(st.integers(1, 5), max_size=3)


def runs_of(words: Sequence[str], lengths: set[int]) -> list[tuple[str, ...]]:
    return [tuple(words[i : i + n]) for n in sorted(lengths) for i in range(len(words) - n + 1)]


def runs_that_count(sets: Sequence[Sequence[Sequence[str]]]) -> tuple[list[set[tuple[str, ...]]], set[int]]:
    """Runs of six words of each set, of a text of five its five; and their lengths."""
    found = [
        {run for words in one if len(words) >= 5 for run in runs_of(words, {min(NGRAM, len(words))})}
        for one in sets
    ]
    return found, {len(run) for one in found for run in one}


def write_set(folder: Path, name: str, kind: Kind, given_texts: list[list[str]], places: list[int]) -> None:
    store = DocumentStore.into(folder)
    ends = sorted({0, len(given_texts), *(place for place in places if place < len(given_texts))})
    for number, (first, last) in enumerate(itertools.pairwise(ends)):
        rows = {field: [""] * (last - first) for field in kind.schema.names}
        rows["text"] = [" ".join(words) for words in given_texts[first:last]]
        store.write(pa.table(rows, schema=kind.schema), name, number, kind=kind)


def indexed(
    folder: Path, sets: Sequence[list[list[str]]], places: list[int], *, root: str = ""
) -> SharedIndex:
    """The index of a quiz and a reference."""
    ingest = folder / "ingest"
    ingest.mkdir()
    write_set(ingest, "quiz", EVALUATIONS, sets[0], places)
    write_set(ingest, "r", REFERENCES, sets[1], places)
    config = corpus_config(folder, {"web": "web.jsonl", "books": "books.jsonl"}, {"r": "r.jsonl"}, QUIZ)
    run = StageRun.here(
        config,
        {"ingest": folder_as_artifact("ingest", ingest)},
        output=folder / "output",
        scratch=folder / "scratch",
        progress=lambda *_: None,
    )
    if root:
        run = replace(run, shared=open_storage(root, folder / "copies"))
    return index_sets(run, ["quiz", "r", "quiz"], NGRAM, folder="passages")


@settings(max_examples=40, deadline=None)
@given(texts, texts, st.lists(st.sampled_from(WORDS), max_size=30), cuts)
def test_runs_are_found_as_often_as_counted_by_hand(
    quiz: list[list[str]], reference: list[list[str]], document: list[str], places: list[int]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        index = indexed(Path(folder), (quiz, reference), places)
        found = pickle.loads(pickle.dumps(index)).hits(pa.array([" ".join(document), ""], pa.large_string()))
    expected, lengths = runs_that_count((quiz, reference))
    mine = runs_of(document, lengths)
    assert index.names == ("quiz", "r")
    assert found.tolist() == [[sum(run in one for run in mine) for one in expected], [0, 0]]


def test_what_tasks_are_sent_is_small_however_large_the_sets_are(tmp_path: Path) -> None:
    many = [[str(i), *WORDS * 4] for i in range(10_000)]
    index = indexed(tmp_path, (many, many), [])
    assert index.files[0].bytes > 100_000
    assert len(pickle.dumps(index)) < 2_000


def test_an_index_in_an_object_store_finds_what_one_on_a_disk_finds(tmp_path: Path, root: str) -> None:
    sets = ([["yes"] * 8, ["no"] * 5], [["no", *WORDS * 4]])
    document = pa.array(["yes yes yes yes yes yes yes no no no no no no yes no"], pa.large_string())
    (tmp_path / "disk").mkdir()
    on_disk = indexed(tmp_path / "disk", sets, [1]).hits(document)
    (tmp_path / "store").mkdir()
    sent = pickle.loads(pickle.dumps(indexed(tmp_path / "store", sets, [1], root=root)))
    assert sent.hits(document).tolist() == on_disk.tolist() == [[4, 0]]
