"""Deduplication removes what was planted, keeps the earliest, and accounts for every document."""

from pathlib import Path

import numpy as np
import pytest
from corpus_writer import corpus_config, documents, run_stages, table, write_jsonl
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mashbill.dedup.components import first_of_component
from mashbill.errors import DataError

WORDS = (Path(np.__file__).parent / "__init__.py").read_text().split()


def passage(seed: int, words: int = 300) -> str:
    """Words of a real text in a random order: passages share the vocabulary, not the shingles."""
    return " ".join(np.random.default_rng(seed).choice(WORDS, words))


def edited(text: str, changes: int, seed: int) -> str:
    words = text.split()
    for place in np.random.default_rng(seed).choice(len(words), changes, replace=False):
        words[place] = "changed"
    return " ".join(words)


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    originals = [passage(i) for i in range(40)]
    write_jsonl(tmp_path / "first.jsonl", originals)
    copies = [originals[i] for i in range(10)]
    near = [edited(originals[10 + i], 3, i) for i in range(10)]
    fresh = [passage(1_000 + i) for i in range(20)]
    write_jsonl(tmp_path / "second.jsonl", [*copies, *near, *fresh, fresh[0].upper() + "!"])
    return tmp_path


def test_planted_duplicates_go_and_everything_else_stays(planted: Path) -> None:
    config = corpus_config(planted, {"first": 'first.jsonl, id_field = "id"', "second": 'second.jsonl, id_field = "id"'})
    artifact = run_stages(config, "deduplicate")["deduplicate"]
    assert len(documents(artifact, "first")) == 40
    assert [d["id"] for d in documents(artifact, "second")] == [f"second-{i}" for i in range(20, 40)]
    removed = {row["id"]: row for row in table(artifact, "removed.parquet")}
    assert {removed[f"second-{i}"]["reason"] for i in range(10)} == {"exact"}
    assert {removed[f"second-{i}"]["reason"] for i in range(10, 20)} == {"near"}
    assert [removed[f"second-{i}"]["kept_id"] for i in range(20)] == [f"first-{i}" for i in range(20)]
    assert {row["kept_domain"] for row in removed.values()} == {"first", "second"}
    counts = artifact.manifest.counts
    assert counts["documents_in"] == counts["documents_out"] + sum(counts["removed"].values()) == 81
    assert counts["bytes_in"] == counts["bytes_out"] + sum(row["bytes"] for row in removed.values())


def test_priority_is_the_order_of_the_config(planted: Path) -> None:
    config = corpus_config(planted, {"second": 'second.jsonl, id_field = "id"', "first": 'first.jsonl, id_field = "id"'})
    artifact = run_stages(config, "deduplicate")["deduplicate"]
    assert len(documents(artifact, "second")) == 40
    assert len(documents(artifact, "first")) == 20


def test_deduplicated_text_has_no_duplicates_left(planted: Path, tmp_path: Path) -> None:
    first = corpus_config(planted, {"first": 'first.jsonl, id_field = "id"', "second": 'second.jsonl, id_field = "id"'})
    kept = run_stages(first, "deduplicate")["deduplicate"]
    again = corpus_config(planted, {d: f'{kept.path}/documents/{d}/*.parquet, id_field = "id"' for d in ("first", "second")})
    counts = run_stages(again, "deduplicate")["deduplicate"].manifest.counts
    assert counts["removed"] == {}


def test_near_duplicates_can_be_left_in(planted: Path) -> None:
    sources = {"first": 'first.jsonl, id_field = "id"', "second": 'second.jsonl, id_field = "id"'}
    artifact = run_stages(corpus_config(planted, sources, extra="[deduplication]\nnear = false"), "deduplicate")["deduplicate"]
    assert artifact.manifest.counts["removed"] == {"exact": 10}


def test_domain_that_only_repeats_others_is_an_error(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_jsonl(tmp_path / f"{name}.jsonl", [passage(1), passage(2)])
    with pytest.raises(DataError, match="domain two: repeats other domains entirely"):
        run_stages(corpus_config(tmp_path, {"one": "one.jsonl", "two": "two.jsonl"}), "deduplicate")


@settings(max_examples=50, deadline=None)
@given(arrays(np.uint64, st.tuples(st.integers(1, 30), st.integers(1, 4)), elements=st.integers(0, 12)))
def test_components_are_what_a_plain_search_finds(bands: np.ndarray) -> None:
    expected = np.arange(len(bands))
    changed = True
    while changed:
        shares = [[np.any((a == b) & (a != 0)) for b in bands] for a in bands]
        lowest = np.array([min([expected[i], *(expected[j] for j in np.flatnonzero(row))]) for i, row in enumerate(shares)])
        changed = bool((lowest != expected).any())
        expected = lowest
    assert first_of_component(bands).tolist() == expected.tolist()
