"""A tokenizer trained on counts is the one that the library trains on the texts, byte for byte."""

import json
import pickle
import random
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from builders.checkout import TESTS
from mashbill.config import TokensConfig
from mashbill.tokens import piece_counts
from mashbill.tokens.piece_counts import PieceCounts
from mashbill.tokens.tokenizer import train_tokenizer
from mashbill.tokens.training_sample import SAMPLE_BATCH, count_beginning

ARTICLE = json.loads((TESTS / "data" / "scripts" / "article_1.json").read_text(encoding="utf-8"))
UNKNOWN = "\U0001fae9 \u0378 new"
"""Characters that some Unicode knows of, or none."""


class Texts:
    """A partition of some texts."""

    def __init__(self, texts: list[str], large: bool = True) -> None:
        self.texts = pa.array(texts, pa.large_string() if large else pa.string())

    def batches(self, columns: list[str], rows: int) -> Any:
        return pa.table({"text": self.texts}).to_batches(rows)


def by_library(texts: list[str], vocabulary: int, end_of_text: str = "<|endoftext|>") -> str:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[end_of_text],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return str(tokenizer.to_str(pretty=True))


def by_counts(texts: list[str], vocabulary: int, end_of_text: str | None = None) -> str:
    config = TokensConfig(vocabulary=vocabulary, training_bytes=1_000_000_000, end_of_text=end_of_text)
    documents: Any = {"texts": [Texts(texts)]}
    return str(train_tokenizer(documents, config).to_str(pretty=True))


def test_each_domain_gives_its_first_texts_until_its_share_is_there() -> None:
    letters = {"first": "ab ", "second": "cd "}
    texts = {
        name: ["".join(random.Random(i).choices(few, k=40)) for i in range(3 * SAMPLE_BATCH)]
        for name, few in letters.items()
    }
    share = next(iter(Texts(texts["first"]).batches(["text"], SAMPLE_BATCH))).column(0).nbytes
    for batches, more in ((1, 0), (2, 2)):
        config = TokensConfig(vocabulary=400, training_bytes=2 * share + more)
        documents: Any = {
            name: [Texts(some[:SAMPLE_BATCH]), Texts(some[SAMPLE_BATCH:])] for name, some in texts.items()
        }
        expected = [text for some in texts.values() for text in some[: batches * SAMPLE_BATCH]]
        found = train_tokenizer(documents, config).to_str(pretty=True)
        assert found == by_library(expected, 400)


def random_texts(seed: int, letters: str) -> list[str]:
    rng = random.Random(seed)
    longest = rng.choice([20, 300])
    return ["".join(rng.choices(letters, k=rng.randrange(1, longest))) for _ in range(rng.randrange(1, 60))]


@pytest.mark.parametrize("vocabulary", [300, 1_000, 4_096, 100_000])
def test_it_is_the_librarys_on_ten_scripts(vocabulary: int) -> None:
    texts = [*ARTICLE.values(), *(" ".join(ARTICLE.values())[at:] for at in range(0, 900, 7))]
    assert by_counts(texts, vocabulary) == by_library(texts, vocabulary)


@pytest.mark.parametrize("vocabulary", [400, 2_000, 20_000])
def test_it_is_the_librarys_on_the_source_of_python(vocabulary: int) -> None:
    sources = sorted(Path(json.__file__).parent.parent.glob("[a-d]*.py"))[:40]
    texts = [path.read_text(encoding="utf-8") for path in sources]
    assert by_counts(texts, vocabulary) == by_library(texts, vocabulary)


@pytest.mark.parametrize("letters", ["a", "ab", "ab ", "abc", "abcdefgh ", "aé的 ", "0a'.\n s"])
@pytest.mark.parametrize("vocabulary", [300, 320, 700, 5_000])
def test_it_is_the_librarys_where_most_pairs_are_equally_frequent(letters: str, vocabulary: int) -> None:
    for seed in range(6):
        texts = random_texts(seed, letters)
        assert by_counts(texts, vocabulary) == by_library(texts, vocabulary), seed


@settings(max_examples=150, deadline=None)
@given(st.lists(st.text(st.sampled_from("ab c") | st.characters(codec="utf-8"), max_size=40), max_size=8))
def test_it_is_the_librarys_whatever_the_text(texts: list[str]) -> None:
    assert by_counts(texts, 400) == by_library(texts, 400)


@pytest.mark.parametrize(
    "texts", [[], [""], ["", "a", ""], ["ab"], [" "], [UNKNOWN], [UNKNOWN, "plain", UNKNOWN]]
)
def test_it_is_the_librarys_where_there_is_next_to_no_text(texts: list[str]) -> None:
    assert by_counts(texts, 300) == by_library(texts, 300)


@pytest.mark.parametrize("end_of_text", ["a", "ab", "abab", "é", "的", "<eos>", "Ġa", " a", "<|é|>"])
def test_it_is_the_librarys_whatever_ends_a_text(end_of_text: str) -> None:
    texts = [*random_texts(3, "ab é的"), "<eos> <|é|> <eos>", *ARTICLE.values()]
    assert by_counts(texts, 700, end_of_text) == by_library(texts, 700, end_of_text)


def test_a_long_piece_is_trained_on_as_the_library_does() -> None:
    texts = ["".join(random.Random(1).choices("acgt", k=3_000)), "a" * 2_000, "的" * 500, " " * 777]
    assert by_counts(texts, 800) == by_library(texts, 800)


def split(texts: list[str]) -> Counter[str]:
    pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return Counter(piece for text in texts for piece, _ in pre_tokenizer.pre_tokenize_str(text))


def counted(batches: list[pa.Array]) -> Counter[str]:
    counts = PieceCounts(pre_tokenizers.ByteLevel(add_prefix_space=False))
    for batch in batches:
        counts.add(batch)
    character_of = {byte: character for character, byte in counts.byte_of.items()}
    content = counts.content.tobytes()
    pieces = [
        content[at:end].decode("latin-1").translate(character_of) for at, end in pairwise(counts.bounds)
    ]
    assert len(set(pieces)) == len(pieces)
    return Counter(dict(zip(pieces, counts.counts.tolist(), strict=True)))


def test_pieces_are_counted_as_the_library_splits_however_little_room_there_is_at_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts = [
        *ARTICLE.values(),
        UNKNOWN,
        "x" * 5_000,
        *(f"{i} it's {i * i}" for i in range(3_000)),
        UNKNOWN + "y" * 9_000,
    ]
    expected = split(texts)
    assert counted([pa.array(texts, pa.large_string())]) == expected
    monkeypatch.setattr(piece_counts, "ROOM", 1)
    monkeypatch.setattr(piece_counts, "ROOM_BYTES", 1)
    assert counted([pa.array(texts, pa.large_string())]) == expected
    assert counted([pa.array(texts[at : at + 7], pa.string()) for at in range(0, len(texts), 7)]) == expected


def test_a_slice_of_a_column_is_counted_alone() -> None:
    column = pa.array(["no", "such thing", "once upon", "a time", "never"], pa.large_string())
    assert counted([column.slice(2, 2)]) == split(["once upon", "a time"])


def test_what_counts_take_grows_with_the_pieces_and_not_with_the_text() -> None:
    counts = PieceCounts(pre_tokenizers.ByteLevel(add_prefix_space=False))
    batch = pa.array(list(ARTICLE.values()) * 100, pa.large_string())
    counts.add(batch)
    once = len(counts.content), counts.counts.copy()
    for _ in range(9):
        counts.add(batch)
    assert len(counts.content) == once[0]
    assert np.array_equal(counts.counts, once[1] * 10)


def rare_words(seed: int, documents: int) -> list[str]:
    """Texts of 64 bytes, whose words no other has."""
    rng, letters = random.Random(seed), "abcdefghijklmnop"
    return [" ".join("".join(rng.choices(letters, k=12)) for _ in range(5)) for _ in range(documents)]


def test_domains_that_are_counted_apart_give_the_tokenizer_of_their_beginnings_together() -> None:
    domains = {name: ["same words"] * 80 + rare_words(seed, 700) for seed, name in enumerate("abc")}
    parts: Any = {name: [Texts(texts[:300]), Texts(texts[300:])] for name, texts in domains.items()}
    batch = Texts(domains["a"][:256]).texts.nbytes
    config = TokensConfig(vocabulary=900, training_bytes=3 * (batch + 1))
    found = str(train_tokenizer(parts, config).to_str(pretty=True))
    taken = [text for texts in domains.values() for text in texts[:300]]  # the batch that passes the share
    assert found == by_library(taken, 900)


class NotRead:
    """A partition that may not be read."""

    def batches(self, columns: list[str], rows: int) -> Any:
        raise AssertionError("it is read")


def test_what_comes_back_of_a_domain_is_bounded_by_its_share_of_the_sample() -> None:
    share, batch = 50_000, 256 * 64
    texts: Any = [Texts(rare_words(0, 256)), Texts(rare_words(1, 20_000)), NotRead()]
    counted = count_beginning(share, texts)
    assert 0.7 * share < counted.content.nbytes <= share + batch
    assert len(pickle.dumps(counted)) <= share + batch + 16 * len(counted.counts) + 1_000
    whole = count_beginning(Texts(rare_words(0, 256)).texts.nbytes, [texts[0], texts[2]])
    assert whole.counts.sum() == 5 * 256
