"""The collapsed scorer equals official fastText, on fuzzed text and on every edge that is known."""

from pathlib import Path
from typing import Any

import fasttext
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mashbill.classifiers.fasttext_scorer import FastTextScorer
from mashbill.errors import ConfigError

WORDS = [
    "the",
    "of",
    "law",
    "import",
    "class",
    "naïve",
    "日本語",
    "café",
    "__label__",
    "sugar",
    "oven",
    "</s>",
    "x",
    "y",
    "z",
]
KINDS: dict[str, dict[str, Any]] = {
    "bigrams": {"wordNgrams": 2, "bucket": 997, "dim": 8},
    "unigrams": {"wordNgrams": 1, "dim": 8},
    "trigrams": {"wordNgrams": 3, "bucket": 512, "dim": 4},
    "subwords": {"wordNgrams": 2, "bucket": 701, "dim": 8, "minn": 2, "maxn": 4},
    "three labels": {"wordNgrams": 2, "bucket": 997, "dim": 8, "labels": 3},
}
EDGES = [
    "", "   \t  ", "foo\0bar the\0\0of", "\0\0", "x" * 3000 + " the of", "zzqq qqzz",
    "naïve café 日本語 😀 e\u0301",
    "a\u00a0b\u2003c the", "the __label__1 of", "__label__0 the", "the __label__zzz of", "the __label__ of",
    "the of </s> import class", "</s> import", "the</s> of", "import x\nthe law\n", "the\r\nof",
    "the\vof\fand",
    "the\x1cof\x85and", "the " * 1100, "the of ", "\ufeffthe of", "<the> <of>", "\U0010ffff the",
]  # fmt: skip


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("models")
    random = np.random.default_rng(0)
    made = {}
    for name, chosen in KINDS.items():
        options = dict(chosen)
        labels = options.pop("labels", 2)
        lines = [
            f"__label__{i % labels} " + " ".join(random.choice(WORDS[(i % labels) * 3 :], 12))
            for i in range(300)
        ]
        (folder / "train.txt").write_text("\n".join(lines) + "\n")
        model = fasttext.train_supervised(
            str(folder / "train.txt"), thread=1, verbose=0, epoch=5, lr=0.5, minCount=1, **options
        )
        model.save_model(str(folder / f"{name}.bin"))
        made[name] = (model, FastTextScorer.load(folder / f"{name}.bin"))
    return made


def official(model: Any, texts: list[str], label: str) -> np.ndarray:
    result = np.full(len(texts), np.nan)
    for i, text in enumerate(texts):
        for probability, found in model.f.predict(text.replace("\n", " ") + "\n", 10, 0.0, "strict"):
            if found == label:
                result[i] = probability
    return result


@pytest.mark.parametrize("kind", KINDS)
def test_scorer_equals_fasttext_on_every_edge(models: dict[str, Any], kind: str) -> None:
    model, scorer = models[kind]
    assert scorer.collapsed is not None
    for label in scorer.labels:
        np.testing.assert_allclose(scorer.score(EDGES, label=label), official(model, EDGES, label), atol=2e-5)


@pytest.mark.parametrize("kind", ["bigrams", "trigrams", "subwords"])
@pytest.mark.parametrize("prefix", ["__label__", "#", "<b>"])
def test_words_that_spell_labels_score_as_fasttext_scores_them_whatever_the_prefix(
    kind: str, prefix: str, tmp_path: Path
) -> None:
    """A loaded model has forgotten its prefix: what is a label, only its dictionary knows."""
    random = np.random.default_rng(0)
    words = ["the", "of", "law", "import", "class", "sugar", "x", "#y", "<b>z", "__label__z"]
    words = [word for word in words if not word.startswith(prefix)]
    lines = [
        f"{prefix}{'good' if i % 2 else 'bad'} {' '.join(random.choice(words[i % 2 * 4 :], 9))}"
        for i in range(300)
    ]
    (tmp_path / "train.txt").write_text("\n".join(lines) + "\n")
    options = {**KINDS[kind], "label": prefix, "lr": 0.5, "thread": 1, "verbose": 0}
    fasttext.train_supervised(str(tmp_path / "train.txt"), **options).save_model(str(tmp_path / "it.bin"))
    loaded, scorer = fasttext.load_model(str(tmp_path / "it.bin")), FastTextScorer.load(tmp_path / "it.bin")
    assert sorted(scorer.labels) == [f"{prefix}bad", f"{prefix}good"]
    spelt = [f"{p}{name}" for p in ("__label__", "#", "<b>") for name in ("good", "bad", "z", "new", "")]
    texts = [text for word in spelt for text in (word, f"{word} the of", f"sugar {word} x", f"law {word}")]
    expected = official(loaded, texts, f"{prefix}good")
    np.testing.assert_allclose(scorer.score(texts, label=f"{prefix}good"), expected, atol=2e-6)
    assert len(scorer.word_weights(f"{prefix}good")[0]) == len(loaded.words)


TEXTS = st.lists(
    st.lists(
        st.sampled_from([*WORDS, *" \t\n\v\f\r\0", "</s", "_label_", "__label__1", "\u0085", "\u00a0"])
        | st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
        max_size=25,
    ).map(" ".join),
    min_size=1,
    max_size=20,
)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60)
@given(texts=TEXTS)
def test_scorer_equals_fasttext_on_fuzzed_text(models: dict[str, Any], kind: str, texts: list[str]) -> None:
    model, scorer = models[kind]
    np.testing.assert_allclose(
        scorer.score(texts, label="__label__1"), official(model, texts, "__label__1"), atol=2e-6
    )


def test_arrow_columns_slices_and_chunks_score_alike(models: dict[str, Any]) -> None:
    _, scorer = models["bigrams"]
    expected = scorer.margins(EDGES)
    column = pa.array(EDGES)
    for texts in (column, column.cast(pa.large_string()), pa.chunked_array([column[:5], column[5:]])):
        np.testing.assert_array_equal(scorer.margins(texts), expected)
    np.testing.assert_array_equal(scorer.margins(column[7:12]), expected[7:12])
    assert len(scorer.margins([])) == 0


def test_margin_is_the_logit_of_the_probability(models: dict[str, Any]) -> None:
    for name in ("bigrams", "three labels"):
        _, scorer = models[name]
        probability = scorer.score(EDGES, label="__label__1").astype(np.float64) - 1e-5
        np.testing.assert_allclose(
            1 / (1 + np.exp(-scorer.margins(EDGES, label="__label__1"))), probability, atol=1e-6
        )


def test_models_that_do_not_collapse_take_the_official_path(models: dict[str, Any], tmp_path: Path) -> None:
    lines = [f"__label__{i % 2} {'good law' if i % 2 else 'bad oven'} word{i % 7}" for i in range(200)]
    (tmp_path / "train.txt").write_text("\n".join(lines))
    model = fasttext.train_supervised(str(tmp_path / "train.txt"), loss="hs", thread=1, verbose=0, dim=4)
    model.save_model(str(tmp_path / "hs.bin"))
    scorer = FastTextScorer.load(tmp_path / "hs.bin")
    assert scorer.collapsed is None
    np.testing.assert_allclose(
        scorer.score(["good law", "bad"], label="__label__1"),
        official(model, ["good law", "bad"], "__label__1"),
    )


def test_a_file_that_is_no_model_and_a_wrong_label_are_named(models: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "no.bin").write_bytes(b"nothing")
    with pytest.raises(ConfigError, match="is not a fastText model"):
        FastTextScorer.load(tmp_path / "no.bin")
    with pytest.raises(ConfigError, match="is none of the classifier's"):
        models["bigrams"][1].score(["a"], label="good")
