"""Parts of deduplication whose answers are known beforehand: pieces of a text, stars over a long chain, and
what held-out text alone removes."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from builders.corpus import corpus_config, documents, removals, run_stages, write_jsonl
from mashbill.config import EngineConfig
from mashbill.dedup.components import Stars
from mashbill.dedup.lines import Pieces
from mashbill.partitions import Exchange, scattered
from mashbill.storage import open_storage


@pytest.mark.parametrize(
    "newlines, expected",
    [
        (1, [["a\n\n\n", "b\n", "c"], [], ["\n\n"], ["d\n\n"]]),
        (2, [["a\n\n\n", "b\nc"], [], ["\n\n"], ["d\n\n"]]),
    ],
)
def test_newlines_belong_to_the_piece_they_end_and_make_no_empty_ones(
    newlines: int, expected: list[list[str]]
) -> None:
    texts = ["".join(pieces) for pieces in expected]
    pieces = Pieces(pa.array(texts, pa.large_string()), newlines, 1)
    whole = "".join(texts)
    found = [whole[start:end] for start, end in zip(pieces.starts, pieces.ends, strict=True)]
    assert found == [piece for of_text in expected for piece in of_text]
    assert pieces.counts.tolist() == [len(of_text) for of_text in expected]


def test_a_long_chain_settles_on_its_first_though_its_links_stay_as_many(tmp_path: Path) -> None:
    """A chain of n links and the star that it becomes have as many; which they are changes."""
    order = np.random.default_rng(0).permutation(200)
    one, other = order[1:], order[:-1]
    document, earlier = np.maximum(one, other), np.minimum(one, other)
    shared = open_storage(str(tmp_path), tmp_path)
    given = Exchange(shared, "given", 2)
    given.put("all", scattered(document, 2), document=document, earlier=earlier)
    settled = Stars(EngineConfig(), shared, "stars").settle(given)
    rows = [settled.arrays(bucket) for bucket in range(2)]
    assert sorted(np.concatenate([row["document"] for row in rows]).tolist()) == list(range(1, 200))
    assert not np.concatenate([row["earlier"] for row in rows]).any()


def test_with_exact_off_equal_texts_stay_and_what_a_held_out_set_has_goes(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", ["Said twice.", "Said twice.", "A question."])
    write_jsonl(tmp_path / "b.jsonl", ["Something else."])
    write_jsonl(tmp_path / "r.jsonl", ["A question."])
    extra = "[deduplication]\nexact = false\nnear = false"
    domains = {"a": 'a.jsonl, id_field = "id"', "b": "b.jsonl"}
    config = corpus_config(tmp_path, domains, {"r": "r.jsonl"}, extra)
    artifact = run_stages(config, "deduplicate")["deduplicate"]
    assert [row["text"] for row in documents(artifact, "a")] == ["Said twice."] * 2
    assert [row["id"] for row in removals(artifact)] == ["a-2"]
