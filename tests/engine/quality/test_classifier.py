"""The classifier that is trained here has two labels, whatever its text spells."""

from pathlib import Path

import fasttext
import numpy as np
import pytest

from mashbill.classifiers import FastTextScorer
from mashbill.classifiers.normalisation import Normalisation
from mashbill.config import QualityConfig
from mashbill.quality.classifier import NEGATIVE, POSITIVE, train_classifier

GOOD, BAD = ["stars", "rivers", "mountains", "oceans"], ["click", "buy", "subscribe", "offer"]


def sentences(words: list[str], seed: int) -> list[str]:
    """Forty texts of some words and of words that both sides have."""
    random = np.random.default_rng(seed)
    return [" ".join(random.choice([*words, "the", "of", "and"], 12)) for _ in range(40)]


def with_labels(texts: list[str], *, lowercase: bool) -> list[str]:
    """Texts that spell labels, their own and the other side's: first, within, last, alone on a line, after
    odd blanks; in capitals too where case is dropped."""
    spelt = ["__label__x", POSITIVE, NEGATIVE, "__label__", *(["__LABEL__X"] if lowercase else [])]
    result = []
    for i, text in enumerate(texts):
        word = spelt[i % len(spelt)]
        first, rest = text.split(" ", 1)
        forms = (f"{word} {text}", f"{first} {word} {rest}", f"{text} {word}")
        odd = (f"{first}\n{word}\n{rest}", f"{first}\t{word}\v{rest}", f"{first}\0{word}\r{rest}")
        result.append((*forms, *odd)[i % 6])
    return result


@pytest.mark.parametrize("lowercase", [False, True])
def test_text_that_spells_labels_trains_two_labels_and_scores_as_without_them(
    lowercase: bool, tmp_path: Path
) -> None:
    config = QualityConfig(dimension=8, buckets=1_000, epochs=30, lowercase=lowercase)
    sides = sentences(GOOD, 1), sentences(BAD, 2)
    spelt = [with_labels(side, lowercase=lowercase) for side in sides]
    for name, (good, bad) in {"plain": sides, "spelt": spelt}.items():
        train_classifier(good, bad, config, seed=0, path=tmp_path / f"{name}.bin")
    plain, scorer = (FastTextScorer.load(tmp_path / f"{name}.bin") for name in ("plain", "spelt"))
    assert sorted(scorer.labels) == [NEGATIVE, POSITIVE]
    for clean, text in zip(sides[0] + sides[1], spelt[0] + spelt[1], strict=True):
        expected = plain.margins([clean], POSITIVE)
        assert scorer.margins([text], POSITIVE) == pytest.approx(expected), text
    model, rule = fasttext.load_model(str(tmp_path / "spelt.bin")), Normalisation(lowercase)
    for text in spelt[0]:
        line = text.lower() if lowercase else text
        for given in (line.replace("\n", " "), rule.line(text)):
            found = {label: p for p, label in model.f.predict(given + "\n", 2, 0.0, "strict")}
            assert scorer.score([text], POSITIVE)[0] == pytest.approx(found[POSITIVE], abs=2e-6), text


def test_only_words_that_begin_like_a_label_are_left_out() -> None:
    rule = Normalisation()
    kept = "a__label__b x__label__ _label_ __label_ \u00a0__label__after a no-break space, which is no blank"
    assert rule.line(kept) == kept
    assert rule.line("__label__a b\u00a0c __label__d\u00a0e f").split(" ") == ["", "b\u00a0c", "", "f"]
    assert rule.line("two\nlines\r\n") == "two lines  "


def test_lower_case_is_the_same_in_training_as_in_scoring() -> None:
    """Python and Arrow lower some letters differently, as a capital sigma that ends a word."""
    import pyarrow as pa

    rule, text = Normalisation(lowercase=True), "\u039f\u03a3 \u0130 STRASSE \u01c5"
    assert rule.line(text) == rule.column(pa.array([text]))[0].as_py()
