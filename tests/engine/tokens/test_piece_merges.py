"""Pieces that are merged by our kernel have the library's ids, in whatever order the merges overlap."""

import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from mashbill.tokens.encoder import Encoder
from mashbill.tokens.piece_merges import LONGEST, Merges
from mashbill.tokens.split_patterns import byte_characters

CHARACTERS = byte_characters()


def tokenizer_of(
    merges: list[tuple[str, str]], *, others: tuple[str, ...] = (), **settings: Any
) -> Tokenizer:
    """A tokenizer of all bytes with some merges, in that order, and tokens that no merges lead to."""
    tokens = [*sorted(CHARACTERS.values()), *others, *(one + other for one, other in merges)]
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, **settings))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return tokenizer


def random_merges(seed: int, count: int) -> list[tuple[str, str]]:
    """Merges that overlap in many ways, of three letters and what they become."""
    draw, known, found = random.Random(seed), ["a", "b", "c"], []
    while len(found) < count:
        pair = draw.choice(known), draw.choice(known)
        if pair not in found:
            found.append(pair)
            known.append("".join(pair))
    draw.shuffle(found)
    return found


def by_library(tokenizer: Tokenizer, piece: bytes) -> list[int]:
    return [token.id for token in tokenizer.model.tokenize("".join(CHARACTERS[byte] for byte in piece))]


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 30), st.integers(0, 40), st.text("abc", min_size=1, max_size=60))
def test_merges_that_overlap_are_made_in_the_librarys_order(seed: int, count: int, text: str) -> None:
    tokenizer = tokenizer_of(random_merges(seed, count))
    merges = Merges.of(tokenizer)
    assert merges is not None
    assert merges.ids_of(text.encode()) == by_library(tokenizer, text.encode())


@settings(max_examples=100, deadline=None)
@given(st.binary(min_size=1, max_size=40))
def test_any_bytes_are_merged_as_the_library_does(piece: bytes) -> None:
    pairs = [
        (CHARACTERS[a], CHARACTERS[b]) for a, b in ((0xC3, 0xA9), (0x20, 0x61), (0x61, 0x61), (0xFF, 0x00))
    ]
    tokenizer = tokenizer_of([*pairs, (CHARACTERS[0x20] + "a", "aa")])
    made = Merges.of(tokenizer)
    assert made is not None
    assert made.ids_of(piece) == by_library(tokenizer, piece)


@pytest.mark.parametrize("ignored", [False, True])
def test_a_token_without_merges_is_one_id_only_where_the_tokenizer_says_so(ignored: bool) -> None:
    tokenizer = tokenizer_of([("a", "b")], others=("abc", "Ġabc"), ignore_merges=ignored)
    encoder = Encoder(tokenizer)
    texts = ["abc abc abcabc ab x"]
    for _ in range(2):
        found = encoder.encode(pa.array(texts, pa.large_string())).row(0)
        assert found.tolist() == tokenizer.encode(texts[0]).ids
    assert (tokenizer.token_to_id("abc") in found.tolist()) == ignored


def test_a_piece_too_long_for_the_kernel_and_one_just_short_enough_have_the_librarys_ids() -> None:
    tokenizer = tokenizer_of(random_merges(3, 30))
    draw = random.Random(1)
    texts = ["".join(draw.choice("abc") for _ in range(size)) for size in (LONGEST, LONGEST + 1, 3 * LONGEST)]
    encoded = Encoder(tokenizer).encode(pa.array(texts, pa.large_string()))
    for i, text in enumerate(texts):
        assert np.array_equal(encoded.row(i), tokenizer.encode(text).ids)


def test_what_marks_the_beginnings_or_ends_of_words_is_left_to_the_library() -> None:
    assert Merges.of(tokenizer_of([("a", "b")], end_of_word_suffix="</w>")) is None


def test_a_piece_with_a_byte_that_has_no_id_is_left_to_the_library() -> None:
    few = Tokenizer(models.BPE(vocab={"a": 0, "b": 1, "ab": 2, "Ġ": 3}, merges=[("a", "b")]))
    few.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    texts = ["ab abc cab", "c", "ba"]
    encoded = Encoder(few).encode(pa.array(texts, pa.large_string()))
    assert [encoded.row(i).tolist() for i in range(3)] == [few.encode(text).ids for text in texts]
