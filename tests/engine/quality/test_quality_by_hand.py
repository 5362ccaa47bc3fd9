"""Families, classifiers and thresholds whose right answer is known: which model is better, which text is
good, what a tenth of the bytes is."""

import json
from pathlib import Path
from typing import Any

import fasttext
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builders.corpus import SMALL_FAMILY, corpus_config, documents, run_stage, run_stages, write_jsonl
from mashbill.artifacts import Artifact, StageRun
from mashbill.classifiers import FastTextScorer
from mashbill.config import PipelineConfig, QualityConfig, SelectionConfig
from mashbill.errors import ConfigError, DataError
from mashbill.models.measurement import family_bits_per_byte
from mashbill.quality.check import check_quality
from mashbill.quality.classifier import calibration, telling_words, train_classifier
from mashbill.quality.cutoffs import Cutoff, choose
from mashbill.quality.predictive_strength import predictive_strength
from mashbill.quality.score import contrast_examples
from mashbill.quality.scores import Scores
from mashbill.quality.sketch import RELATIVE_WIDTH, QuantileSketch, buckets

GOOD = ["the river ran quietly past the old stone mill", "she read the letter twice and folded it again"]
BAD = ["buy cheap watches now click here", "win free prizes call this number today"]


def texts(kind: list[str], count: int) -> list[str]:
    return [f"{kind[i % 2]} {kind[(i // 2) % 2]} {i % 7}" for i in range(count)]


def settings(**given: Any) -> QualityConfig:
    return QualityConfig.model_validate(
        {"dimension": 8, "buckets": 1_000, "held_out_share": 0.25, "epochs": 20, **given}
    )


def trained(folder: Path, seed: int = 0, **given: Any) -> tuple[Any, FastTextScorer]:
    path = folder / "classifier.bin"
    found = train_classifier(texts(GOOD, 60), texts(BAD, 40), settings(**given), seed=seed, path=path)
    return found, FastTextScorer.load(path)


def test_a_classifier_of_texts_that_differ_tells_them_apart_and_says_by_which_words(tmp_path: Path) -> None:
    found, scorer = trained(tmp_path)
    assert found.held_out_accuracy == 1.0
    assert (found.positives, found.negatives) == (60, 40)
    good, bad = scorer.margins(["the river and the mill"])[0], scorer.margins(["buy cheap prizes now"])[0]
    assert good > 1 > -1 > bad
    assert "river" in found.telling_words["good"]
    assert "cheap" in found.telling_words["bad"]
    assert not set(found.telling_words["good"]) & set(BAD[0].split())
    words, weights = scorer.word_weights("__label__1")
    by_word = dict(zip(words, weights.tolist(), strict=True))
    strongest = [by_word[word] for word in telling_words(scorer)["good"]]
    assert strongest == sorted(strongest, reverse=True)
    assert "</s>" not in found.telling_words["good"] + found.telling_words["bad"]


def test_swapped_examples_swap_the_classifier(tmp_path: Path) -> None:
    _, scorer = trained(tmp_path)
    path = tmp_path / "swapped.bin"
    train_classifier(texts(BAD, 60), texts(GOOD, 40), settings(), seed=0, path=path)
    line = ["the river and the mill", "buy cheap prizes now"]
    assert (np.sign(FastTextScorer.load(path).margins(line)) == -np.sign(scorer.margins(line))).all()


def test_settings_and_the_seed_reach_the_classifier(tmp_path: Path) -> None:
    line = ["the river ran here now", "cheap letter"]
    base = trained(tmp_path)[1].margins(line)
    assert trained(tmp_path)[1].margins(line).tolist() == base.tolist()
    slow = trained(tmp_path, learning_rate=0.001)[1].margins(line)
    assert np.abs(slow).max() < np.abs(base).max() / 4
    assert np.abs(trained(tmp_path, epochs=1)[1].margins(line)).max() < np.abs(base).max() / 2
    for change in ({"dimension": 4}, {"word_ngrams": 1}, {"buckets": 1_001}, {"held_out_share": 0.3}):
        assert trained(tmp_path, **change)[1].margins(line).tolist() != base.tolist(), change
    assert trained(tmp_path, seed=1)[1].margins(line).tolist() != base.tolist()
    shouted = trained(tmp_path, lowercase=True)[1].margins(["THE RIVER", "the river"])
    assert shouted[0] == shouted[1]


def test_held_out_examples_are_as_many_as_the_share_says_and_two_at_least(tmp_path: Path) -> None:
    def accuracy(share: float) -> float:
        """Of labels that say nothing: what is not learnt is right by chance."""
        same = texts(GOOD, 20)
        path = tmp_path / "chance.bin"
        return train_classifier(
            same, same, settings(held_out_share=share), seed=2, path=path
        ).held_out_accuracy

    assert (accuracy(0.2) * 8) % 1 == pytest.approx(0)
    assert (accuracy(0.01) * 2) % 1 == pytest.approx(0)
    with pytest.raises(DataError, match="leaves 3 examples"):
        train_classifier(["a"], ["b", "c"], settings(), seed=0, path=tmp_path / "few.bin")


def test_calibration_finds_the_slope_and_shift_that_made_the_labels() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, 20_000)
    good = random.random(20_000) < 1 / (1 + np.exp(-logits))
    found = calibration(2 * (logits + 0.5), good)
    assert found["slope"] == pytest.approx(0.5, abs=0.03)
    assert found["intercept"] == pytest.approx(-0.5, abs=0.05)
    assert calibration(logits, good)["expected_error"] < 0.02
    assert calibration(logits, np.ones(20_000, bool)) == calibration(logits, np.zeros(20_000, bool)) == {}


def test_the_expected_error_is_the_bins_weighted_gap() -> None:
    """Three margins: 0.5 is in the sixth bin, 0.88 in the ninth, and all but 1 in the last."""
    margins = np.array([0.0] * 4 + [2.0] * 4 + [40.0] * 2)
    good = np.array([1, 1, 1, 0, 1, 1, 1, 0, 1, 0], bool)
    gaps = [0.75 - 0.5, 1 / (1 + np.exp(-2)) - 0.75, 1 - 0.5]
    assert calibration(margins, good)["expected_error"] == pytest.approx(np.dot(gaps, [0.4, 0.4, 0.2]))
    both = np.array([1.5, 1.9, -40.0]), np.array([True, False, False])  # 0.82 and 0.87 share a bin
    mean = (1 / (1 + np.exp(-1.5)) + 1 / (1 + np.exp(-1.9))) / 2
    assert calibration(*both)["expected_error"] == pytest.approx((mean - 0.5) * 2 / 3)


def binned(given: Scores, keep: np.ndarray, bins: int) -> np.ndarray:
    """[documents] the bin of each."""
    cutoff = Cutoff("it", 0, SelectionConfig(bins=bins))
    kept = QuantileSketch().add(given.margin[keep], given.bytes[keep])
    return cutoff.in_bins(kept).binned(given, keep)


def scores(**domains: list[float]) -> dict[str, Scores]:
    return {
        name: Scores(
            pa.chunked_array([[f"{name}{i:03}" for i in range(len(m))]]),
            np.array(m, float),
            np.full(len(m), 10),
        )
        for name, m in domains.items()
    }


def test_a_domain_keeps_its_least_number_of_documents_the_best_of_them() -> None:
    given = scores(low=[0.1, 0.4, 0.3, 0.2], high=[5.0, 6.0, 7.0, 8.0])
    config = SelectionConfig(method="threshold", threshold=0.35, min_documents=3)
    kept, error = choose(given, config, 0)
    assert kept["low"].tolist() == [False, True, True, True]
    assert kept["high"].all()
    assert error == 0
    exact = choose(given, SelectionConfig(method="threshold", threshold=0.2, min_documents=3), 0)[0]
    assert exact["low"].tolist() == [False, True, True, True]
    two = choose(given, SelectionConfig(method="threshold", threshold=0.3, min_documents=1), 0)[0]
    assert two["low"].tolist() == [False, True, True, False]  # at the threshold is kept


def test_the_share_is_of_bytes_and_not_of_documents() -> None:
    margins, sizes = np.arange(10.0), np.array([1] * 5 + [1, 1, 1, 1, 91])
    given = {"it": Scores(pa.chunked_array([list("abcdefghij")]), margins, sizes)}
    kept, error = choose(given, SelectionConfig(keep_share=0.5, min_documents=1), 0)
    assert kept["it"].tolist() == [False] * 9 + [True]
    assert error == pytest.approx(0.91)
    most, _ = choose(given, SelectionConfig(keep_share=0.93, min_documents=1), 0)
    assert most["it"].tolist() == [False] * 7 + [True] * 3


def test_temperature_draws_by_its_seed_and_by_each_documents_id() -> None:
    margins = np.zeros(4_000).tolist()
    config = SelectionConfig(method="temperature", temperature=1.0, keep_share=0.5, min_documents=1)
    one, other = (choose(scores(it=margins), config, seed)[0]["it"] for seed in (0, 1))
    assert (one == other).mean() == pytest.approx(0.5, abs=0.05)
    backwards = scores(it=margins)["it"]
    turned = Scores(pa.chunked_array([backwards.id.to_pylist()[::-1]]), backwards.margin, backwards.bytes)
    assert (choose({"it": turned}, config, 0)[0]["it"][::-1] == one).all()
    two_levels = scores(it=[0.0] * 5_000 + [1.0] * 5_000)
    kept = choose(two_levels, SelectionConfig(**{**config.model_dump(), "keep_share": 0.05}), 0)[0]["it"]
    odds = kept[5_000:].sum() / kept[:5_000].sum()
    assert odds == pytest.approx(np.e, rel=0.25)  # a logit of one is e to one, while few are drawn
    colder = SelectionConfig(**{**config.model_dump(), "keep_share": 0.05, "temperature": 0.5})
    kept = choose(two_levels, colder, 0)[0]["it"]
    assert kept[5_000:].sum() / kept[:5_000].sum() == pytest.approx(np.e**2, rel=0.3)


def test_temperature_keeps_what_it_drew_where_that_is_enough() -> None:
    margins = np.random.default_rng(0).normal(size=2_000).tolist()
    config = {"method": "temperature", "temperature": 50.0, "keep_share": 0.2}
    few, none = (
        choose(scores(it=margins), SelectionConfig.model_validate({**config, "min_documents": least}), 0)[0][
            "it"
        ]
        for least in (50, 1)
    )
    assert (few == none).all()


def test_bins_of_unequal_documents_hold_equal_bytes() -> None:
    margins, sizes = np.array([5.0, 4.0, 3.0, 2.0, 1.0, 0.0]), np.array([30, 10, 20, 10, 20, 900])
    given = Scores(pa.chunked_array([list("abcdef")]), margins, sizes)
    keep = np.array([True] * 5 + [False])
    assert binned(given, keep, 3).tolist() == [0, 1, 1, 2, 2, -1]
    assert binned(given, keep, 1).tolist() == [0, 0, 0, 0, 0, -1]


def test_a_sketch_orders_all_numbers_and_weighs_exactly() -> None:
    values = np.array([-np.inf, -1e9, -2.0, -1e-3, 0.0, 1e-3, 2.0, 2.01, 1e9, np.inf])
    numbers = buckets(values)
    assert (np.diff(numbers) > 0).all()
    assert buckets(-values[::-1]).tolist() == (-numbers[::-1]).tolist()
    close = buckets(np.array([3.0, 3.0 * 1.0004, 3.0 * 1.003]))
    assert close[2] > close[0]
    assert close[1] - close[0] <= 1
    assert buckets(np.array([3.0 * 1.001**100])) - close[0] in (99, 100, 101)
    sketch = QuantileSketch().add(np.array([1.0, 2.0, 3.0, 2.0]), np.array([4.0, 1.0, 2.0, 3.0]))
    assert sketch.total == 10
    assert sketch.top(0.2) == (int(buckets(np.array([3.0]))[0]), pytest.approx(0.2))
    assert sketch.top(0.21) == (int(buckets(np.array([2.0]))[0]), pytest.approx(0.4))
    assert sketch.top(1.0)[0] == int(buckets(np.array([1.0]))[0])
    merged = QuantileSketch().merge(sketch).merge(sketch)
    assert merged.total == 20
    assert merged.top(0.2)[0] == sketch.top(0.2)[0]


FAMILY = f"""
[deduplication]
near = false
[bootstrap]
models = 3
tokens = 20_000
group_size = 3
sample_bytes = 60_000
[quality]
sample_documents = 120
dimension = 8
buckets = 1_000
extreme_share = 0.2
{SMALL_FAMILY}[selection]
keep_share = 0.4
min_documents = 1
samples = 3
"""

Scored = tuple[PipelineConfig, dict[str, Artifact]]


def words(rows: int, vocabulary: list[str], seed: int) -> list[str]:
    random = np.random.default_rng(seed)
    return [" ".join(random.choice(vocabulary, 60)) for _ in range(rows)]


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Scored:
    """One domain like the reference, one of digits; a document that no classifier knows a word of."""
    folder = tmp_path_factory.mktemp("family")
    prose = [
        "the",
        "of",
        "and",
        "river",
        "stone",
        "letter",
        "house",
        "morning",
        "quiet",
        "road",
        "winter",
        "hand",
        "light",
        "water",
        "door",
    ]
    digits = [str(n) for n in range(100, 160)]
    write_jsonl(folder / "prose.jsonl", words(60, prose, 0))
    write_jsonl(folder / "digits.jsonl", [*words(59, digits, 1), "zyzzyva"])
    write_jsonl(folder / "reference.jsonl", words(12, prose, 2))
    sources = {name: f'{name}.jsonl, id_field = "id"' for name in ("prose", "digits")}
    config = corpus_config(folder, sources, {"reference": "reference.jsonl"}, FAMILY)
    config = config.model_copy(update={"seed": 7})
    return config, run_stages(config, "select")


def facts(done: dict[str, Artifact]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((done["score"].path / "quality.json").read_text())
    return found


def test_the_model_that_compresses_the_reference_better_is_abler(scored: Scored) -> None:
    _, done = scored
    folders = sorted((done["bootstrap"].path / "proxies").glob("*"))
    reference = [row["text"] for row in documents(done["ingest"], "reference", "references")]
    bits = {folder.name: family_bits_per_byte(folder, reference) for folder in folders}
    abilities = facts(done)["abilities"]
    assert abilities == pytest.approx({name: -value for name, value in bits.items()})
    assert min(bits, key=lambda name: bits[name]) == max(abilities, key=lambda name: abilities[name])


def test_positives_are_what_abler_models_compress_better(scored: Scored) -> None:
    _, done = scored
    abilities = np.array(list(facts(done)["abilities"].values()))
    rows = pq.read_table(done["score"].path / "strength.parquet").to_pylist()
    assert len(rows) == 120
    best, worst = int(abilities.argmax()), int(abilities.argmin())
    gaps = {
        side: np.mean(
            [
                r["bits_per_character"][worst] - r["bits_per_character"][best]
                for r in rows
                if r["side"] == side
            ]
        )
        for side in ("positive", "negative")
    }
    assert gaps["positive"] > 0
    assert gaps["positive"] > gaps["negative"]
    bits = np.array([row["bits_per_character"] for row in rows])
    strength = np.array([row["strength"] for row in rows])
    known = np.isfinite(strength)
    assert strength[known] == pytest.approx(predictive_strength(bits[known], abilities))
    sides = {side: [r["strength"] for r in rows if r["side"] == side] for side in ("positive", "negative")}
    assert min(sides["positive"]) >= max(sides["negative"])
    assert len(sides["positive"]) == len(sides["negative"]) == int(0.2 * known.sum())
    assert facts(done)["positives"] == len(sides["positive"])
    assert facts(done)["strength_quantiles"] == pytest.approx(
        np.quantile(strength[known], [0, 0.25, 0.5, 0.75, 1])
    )
    by_domain = facts(done)["strength_by_domain"]
    for name in ("prose", "digits"):
        own = [r["strength"] for r in rows if r["domain"] == name and np.isfinite(r["strength"])]
        assert by_domain[name] == pytest.approx(np.mean(own))


def test_the_classifier_likes_what_is_like_the_positives(scored: Scored) -> None:
    _, done = scored
    sides = {
        row["id"]: row["side"] for row in pq.read_table(done["score"].path / "strength.parquet").to_pylist()
    }
    margins = {}
    for name in ("prose", "digits"):
        table = pq.read_table(next((done["score"].path / "scores" / name).glob("*"))).to_pydict()
        margins |= dict(zip(table["id"], table["margin"], strict=True))
        sizes = [len(row["text"].encode()) for row in documents(done["deduplicate"], name)]
        assert table["bytes"] == sizes
    means = {
        side: np.mean([margins[i] for i, s in sides.items() if s == side and np.isfinite(margins[i])])
        for side in ("positive", "negative")
    }
    assert means["positive"] > means["negative"]


def test_the_stage_holds_examples_out_by_the_configs_seed(scored: Scored, tmp_path: Path) -> None:
    """Sixty documents of either domain, and as many asked for: only what is held out is the seed's."""
    config, done = scored
    quality = config.quality.model_copy(update={"positives": ("prose",), "sample_documents": 120})
    found = []
    for seed in (7, 8):
        alone = config.model_copy(update={"quality": quality, "seed": seed})
        found.append(json.loads((run_stage(alone, "score", done).path / "quality.json").read_text()))
    assert found[0]["calibration"] != found[1]["calibration"]
    assert (found[0]["positives"], found[0]["negatives"]) == (60, 60)
    examples = contrast_examples(
        StageRun.here(
            alone,
            done,
            output=tmp_path,
            scratch=tmp_path,
            progress=lambda *_: None,
        )
    )
    again = train_classifier(*examples[:2], quality, seed=8, path=tmp_path / "again.bin")
    assert again.calibration == found[1]["calibration"]


def test_what_is_kept_is_counted_shown_and_drawn(scored: Scored) -> None:
    _, done = scored
    said = json.loads((done["select"].path / "quality.json").read_text())
    shown = json.loads((done["select"].path / "samples.json").read_text())
    for name in ("prose", "digits"):
        table = pq.read_table(next((done["score"].path / "scores" / name).glob("*"))).to_pydict()
        margins = np.array(table["margin"])
        kept = {row["id"] for row in documents(done["select"], name)}
        keep = np.array([i in kept for i in table["id"]])
        assert np.array(table["bytes"])[keep].sum() / sum(table["bytes"]) >= 0.4
        assert margins[keep].min() >= margins[~keep].max()
        drawn = said["domains"][name]
        finite = np.isfinite(margins)
        assert len(drawn["edges"]) == 41
        low, high = np.quantile(margins[finite], [0.001, 0.999], method="inverted_cdf")
        sketched = 2 * RELATIVE_WIDTH
        assert drawn["edges"][0] == pytest.approx(low, rel=sketched)
        assert drawn["edges"][-1] == pytest.approx(high, rel=sketched)
        assert sum(drawn["kept"]) == keep.sum()
        ends = [(margins[finite] < drawn["edges"][1]).sum(), (margins[finite] >= drawn["edges"][-2]).sum()]
        assert [drawn["kept"][i] + drawn["dropped"][i] for i in (0, -1)] == ends
        assert sum(drawn["dropped"]) == (~keep & finite).sum()
        assert drawn["threshold"] == margins[keep].min()
        for side, mask in (("kept", keep), ("dropped", ~keep)):
            told = [sample["margin"] for sample in shown[name][side]]
            assert told == sorted(told, reverse=True)
            assert len(told) == 3
            assert set(told) <= set(margins[mask].tolist())
        flow = done["select"].manifest.counts["by_domain"][name]
        assert flow["documents_out"] == keep.sum()
        assert flow["documents_in"] == len(keep)


def test_what_a_given_classifier_knows_nothing_of_comes_last(tmp_path: Path) -> None:
    """A model without an end of line: rare in its text, so that a strange document has no feature at all."""
    lines = [f"__label__{i % 2} " + ("alpha beta " if i % 2 else "gamma delta ") * 40 for i in range(4)]
    (tmp_path / "train.txt").write_text("\n".join(lines))
    model = fasttext.train_supervised(
        str(tmp_path / "train.txt"), dim=4, minCount=20, minCountLabel=1, bucket=0, thread=1, verbose=0
    )
    model.save_model(str(tmp_path / "given.bin"))
    write_jsonl(tmp_path / "a.jsonl", ["alpha beta", "zyzzyva", "gamma"])
    write_jsonl(tmp_path / "b.jsonl", ["gamma delta", "alpha"])
    extra = '[deduplication]\nnear = false\n[quality]\nclassifier = "given.bin"\n[bootstrap]\nmodels = 0\n'
    sources = {name: f'{name}.jsonl, id_field = "id"' for name in "ab"}
    score = run_stages(corpus_config(tmp_path, sources, extra=extra), "score")["score"]
    table = pq.read_table(next((score.path / "scores" / "a").glob("*"))).to_pydict()
    margins = dict(zip(table["id"], table["margin"], strict=True))
    assert margins["a-1"] == -np.inf
    assert np.isfinite([margins["a-0"], margins["a-2"]]).all()
    assert margins["a-0"] > margins["a-2"]
    write_jsonl(tmp_path / "b.jsonl", ["zyzzyva", "quux"])
    with pytest.raises(DataError, match="domain b: has no feature that the classifier knows"):
        run_stages(corpus_config(tmp_path, sources, extra=extra), "score")


def test_two_models_that_are_trained_here_are_enough_and_one_is_not(tmp_path: Path) -> None:
    config = corpus_config(tmp_path, {"a": "a.jsonl", "b": "b.jsonl"})
    for models in (2, 1):
        bootstrap = config.bootstrap.model_copy(update={"models": models})
        (check,) = check_quality(config.model_copy(update={"bootstrap": bootstrap}))
        if models == 2:
            assert check.look().startswith("2 models")
        else:
            with pytest.raises(ConfigError, match=r"bootstrap\.models: is 1, .* at least two models"):
                check.look()


def test_one_model_is_no_family(scored: Scored) -> None:
    config, done = scored
    folder = sorted((done["bootstrap"].path / "proxies").glob("*"))[0]
    alone = config.model_copy(
        update={"quality": config.quality.model_copy(update={"family": (str(folder),)})}
    )
    with pytest.raises(ConfigError, match="left 1 models, of which two are needed"):
        run_stage(alone, "score", done)
