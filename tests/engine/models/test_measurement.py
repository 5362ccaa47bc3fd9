"""Bits are counted right: of models whose probabilities are known, whatever the windows and the batches.

Products may be rounded to bf16, where the processor has it: tolerances leave room for that, and the tables
are so uneven that a token counted twice, or against its neighbour, shows.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from builders.known_models import (
    WORDS,
    bigram_bits,
    bigram_model,
    bigram_table,
    save_bigram_model,
    words_tokenizer,
)
from mashbill.models.measurement import (
    TOKENS_A_BATCH,
    FamilyModel,
    bits_per_byte,
    family_bits_per_byte,
    family_bits_per_character,
    stacked_bits_per_byte,
)
from mashbill.models.stack import Stack

COUNT = len(WORDS)
ROUNDING = 4e-3


def stream(length: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, COUNT, length)


def test_an_even_model_needs_the_logarithm_of_the_vocabulary_for_each_token_over_the_bytes() -> None:
    even = bigram_model(np.full((COUNT, COUNT), 1 / COUNT), 16)
    assert bits_per_byte(even, stream(101), 250) == pytest.approx(100 * 3 / 250, rel=1e-3)
    assert bits_per_byte(even, stream(101), 50) == pytest.approx(100 * 3 / 50, rel=1e-3)


@pytest.mark.parametrize("length", [2, 16, 17, 18, 33, 40, 4_096 + 17, 9_000])
def test_every_token_but_the_first_is_predicted_once_from_the_one_before(length: int) -> None:
    table = bigram_table(1)
    expected = bigram_bits(table, stream(length)) / (3 * length)
    measured = bits_per_byte(bigram_model(table, 16), stream(length), 3 * length)
    assert measured == pytest.approx(expected, rel=ROUNDING)


def test_batches_of_windows_do_not_overlap() -> None:
    table, tokens = bigram_table(2), stream(7 * 1_024 + 300)  # two batches of three windows, and the rest
    measured = bits_per_byte(bigram_model(table, 1_024), tokens, len(tokens))
    assert measured == pytest.approx(bigram_bits(table, tokens) / len(tokens), rel=ROUNDING)


@pytest.mark.parametrize("length", [40, 3 * 1_024 + 300])
def test_each_model_of_a_stack_is_measured_by_its_own_table(length: int) -> None:
    tables = [bigram_table(seed) for seed in range(3)]
    stack = Stack([bigram_model(table, 1_024) for table in tables])
    measured = stacked_bits_per_byte(stack, stream(length), 3 * length, device=torch.device("cpu"))
    expected = [bigram_bits(table, stream(length)) / (3 * length) for table in tables]
    assert measured == pytest.approx(expected, rel=ROUNDING)


def test_a_model_in_training_is_left_in_training() -> None:
    model = bigram_model(bigram_table(1), 16)
    for training in (True, False):
        model.train(training)
        bits_per_byte(model, stream(40), 40)
        assert model.training is training


TEXTS = ["abc", "", "éab☕d", "d" * 50, "ccab" * 40, "a", "☕é" * 9]
"""Of different lengths, some past the context, one empty."""


def encoded(text: str) -> tuple[list[int], list[str]]:
    """Tokens of a text and what each stands for: ``ab`` is one, other characters are one each."""
    pieces = text.replace("ab", "|").replace("|", " ab ").split()
    pieces = [part for piece in pieces for part in ([piece] if piece == "ab" else list(piece))]
    return [WORDS[piece] for piece in pieces], pieces


def bits_and_text(table: np.ndarray, text: str, context: int) -> tuple[float, str]:
    """Bits of the tokens that fit, the first after end-of-text, and the text that they cover."""
    ids, pieces = encoded(text)
    return bigram_bits(table, [0, *ids[:context]]), "".join(pieces[:context])


@pytest.fixture
def family(tmp_path: Path) -> tuple[list[Path], list[np.ndarray]]:
    """Two models of different tables and contexts."""
    tokenizer, tables = words_tokenizer(tmp_path), [bigram_table(seed) for seed in (3, 4)]
    folders = [
        save_bigram_model(tmp_path / str(context), table, context, tokenizer)
        for table, context in zip(tables, (32, 512), strict=True)
    ]
    return folders, tables


def told(folders: Sequence[Path], texts: Sequence[str], characters: int) -> np.ndarray:
    return family_bits_per_character(folders, texts, characters, progress=lambda *_: None)


def test_bits_per_character_are_those_of_the_tokens_that_fit_over_the_characters_they_cover(
    family: tuple[list[Path], list[np.ndarray]],
) -> None:
    folders, tables = family
    found = told(folders, TEXTS, 1_000)
    assert found.shape == (len(TEXTS), 2)
    for i, text in enumerate(TEXTS):
        for k, (table, context) in enumerate(zip(tables, (32, 512), strict=True)):
            if not text:
                assert math.isnan(found[i, k])
                continue
            bits, covered = bits_and_text(table, text, context)
            assert found[i, k] == pytest.approx(bits / len(covered), rel=ROUNDING)


def test_only_the_beginning_that_is_asked_for_is_compressed(
    family: tuple[list[Path], list[np.ndarray]],
) -> None:
    folders, tables = family
    bits, covered = bits_and_text(tables[1], "ccab" * 5, 512)
    assert told(folders, ["ccab" * 5 + "☕" * 100], 20)[0, 1] == pytest.approx(
        bits / len(covered), rel=ROUNDING
    )


def test_a_document_has_the_same_bits_in_any_company(family: tuple[list[Path], list[np.ndarray]]) -> None:
    folders, _ = family
    many = ["abcd"[i % 4] * (1 + i % 45) + "é" for i in range(700)]  # more than a batch, of all lengths
    found = told(folders, many, 1_000)
    order = np.random.default_rng(0).permutation(len(many))
    again = told(folders, [many[i] for i in order], 1_000)
    assert again == pytest.approx(found[order], rel=ROUNDING)
    some = [3, 333, 699]
    assert told(folders, [many[i] for i in some], 1_000) == pytest.approx(found[some], rel=ROUNDING)


def test_no_batch_holds_more_than_its_tokens_with_what_short_texts_are_filled_up_by(
    family: tuple[list[Path], list[np.ndarray]],
) -> None:
    """Long texts and short ones in turn: batches are of texts about as long as one another."""
    model, sizes = FamilyModel(family[0][1]), []

    def note(module: torch.nn.Module, arguments: tuple[object, ...], named: dict[str, torch.Tensor]) -> None:
        sizes.append(named["input_ids"].numel())

    model.model.register_forward_pre_hook(note, with_kwargs=True)
    texts = ["c" * 400, "d", "é"] * 40
    model.document_bits(texts)
    tokens = 40 * 402
    assert max(sizes) <= TOKENS_A_BATCH
    assert tokens <= sum(sizes) < 1.5 * tokens


def test_a_text_without_a_token_takes_no_bits(family: tuple[list[Path], list[np.ndarray]]) -> None:
    assert family_bits_per_byte(family[0][0], ["", ""]) == 0


def test_ability_is_bits_over_the_bytes_that_the_context_covers(
    family: tuple[list[Path], list[np.ndarray]],
) -> None:
    folders, tables = family
    for folder, table, context in zip(folders, tables, (32, 512), strict=True):
        read = [bits_and_text(table, text, context) for text in TEXTS if text]
        expected = sum(bits for bits, _ in read) / sum(len(text.encode()) for _, text in read)
        assert family_bits_per_byte(folder, TEXTS) == pytest.approx(expected, rel=ROUNDING)


@pytest.mark.parametrize("start, end, first", [(4, 6, 4), (None, 6, 6), (None, None, 0)])
def test_a_text_begins_after_the_models_first_token_or_else_its_last(
    tmp_path: Path, start: int | None, end: int | None, first: int
) -> None:
    table = bigram_table(3)
    folder = save_bigram_model(tmp_path / "model", table, 32, words_tokenizer(tmp_path))
    config = json.loads((folder / "config.json").read_text())
    told_of = {"bos_token_id": start, "eos_token_id": end, "pad_token_id": None}
    (folder / "config.json").write_text(json.dumps({**config, **told_of}))
    ids, pieces = encoded("dab")
    expected = bigram_bits(table, [first, *ids]) / len("".join(pieces))
    assert told([folder], ["dab"], 100)[0, 0] == pytest.approx(expected, rel=ROUNDING)
