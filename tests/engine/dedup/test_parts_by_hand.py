"""Parts of deduplication whose answers are known beforehand: pieces of a text, stars over a long chain, what
held-out text alone removes, and signatures of a few texts."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.corpus import corpus_config, documents, removals, run_stages, write_jsonl
from mashbill.config import DeduplicationConfig, EngineConfig
from mashbill.dedup.components import Stars
from mashbill.dedup.index import SIGNATURES
from mashbill.dedup.lines import Pieces
from mashbill.dedup.minhash import band_hashes
from mashbill.dedup.shingles import least_values
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


def test_each_permutation_is_a_product_and_a_sum_modulo_two_to_the_32() -> None:
    """And of several words the least value is that of one of them."""
    words = np.random.default_rng(7).integers(0, 2**64, 9, dtype=np.uint64)
    factors, summands = [1, 3, 0xDEADBEEF, 1], [0, 5, 17, 2**31]

    def least(*of: int) -> list[int]:
        found = np.empty(4, np.uint32)
        least_values(words[list(of)], 1, np.array([factors, summands], np.uint32), found)
        return [int(value) for value in found]

    alone = [least(i) for i in range(9)]
    for values in alone:
        expected = [(a * values[0] + b) % 2**32 for a, b in zip(factors, summands, strict=True)]
        assert values == expected
    assert least(*range(9)) == [min(column) for column in zip(*alone, strict=True)]


def test_shingles_are_a_set_whatever_their_order_and_place() -> None:
    config = DeduplicationConfig(bands=32, rows=2, ngram=3)
    words = ["the", "mill", "beside", "the", "river"]
    turning = [" ".join((words * 4)[start : start + size]) for start in range(5) for size in (7, 15)]
    bands = band_hashes(pa.chunked_array([pa.array(turning, pa.large_string())]), config)
    assert (bands == bands[0]).all()


def test_signatures_of_an_index_that_lies_with_people_are_made_today_as_then() -> None:
    """A corpus is compared with one that was finished long ago; who changes these raises ``SIGNATURES``."""
    written = {
        "The mill beside the river.": [0xCB48C7EFC80A70A8, 0xE287F2755B23D0AD],
        "Über\u00a0naïve\u3000cafés": [0xE5E80551689C82E6, 0x6CBC3EAD25E4F93F],
        "река и лес": [0x8092E4775205A456, 0x61FD65EE18F3C13C],
        "人人生而自由": [0xDF65FEBE6F17BB2D, 0x3B05E5D037FA558B],
    }
    config = DeduplicationConfig(bands=2, rows=3, ngram=2)
    bands = band_hashes(pa.chunked_array([pa.array([*written], pa.large_string())]), config)
    assert SIGNATURES == 2
    assert bands.tolist() == [*written.values()]


@settings(max_examples=300, deadline=None)
@given(
    st.text(
        st.one_of(
            st.sampled_from(
                "aB e\u0301\u0323\u0307\u201c\u2026\u00c9\u0130\u1e9e\u03a3\u4e2d\uac00\uf900\u212b"
            ),
            st.characters(exclude_categories=("Cs",)),
        ),
        min_size=1,
    )
)
def test_a_text_is_hashed_as_the_same_text_decomposed_and_in_lower_case(text: str) -> None:
    normal = pc.utf8_lower(pc.utf8_normalize(pa.array([text], pa.large_string()), "NFD"))
    one, other = pa.chunked_array([pa.array([text], pa.large_string())]), pa.chunked_array([normal])
    config = DeduplicationConfig()
    assert np.array_equal(band_hashes(one, config), band_hashes(other, config))
