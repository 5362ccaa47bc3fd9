"""PreSelect and selection: strength as in the paper, a family or a classifier that the user gives, and what
is kept."""

import json
from pathlib import Path

import fasttext
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from builders.corpus import SMALL_FAMILY, corpus_config, documents, run_stages, write_jsonl
from mashbill.config import SelectionConfig
from mashbill.errors import ConfigError, DataError
from mashbill.quality import FastTextScorer
from mashbill.quality.cutoffs import Cutoff, choose
from mashbill.quality.extremes import extremes
from mashbill.quality.predictive_strength import predictive_strength, rank_correlation
from mashbill.quality.scores import Scores
from mashbill.quality.sketch import QuantileSketch, buckets

finite = st.floats(0.1, 10, allow_nan=False)


def test_strength_is_the_share_of_model_pairs_in_order() -> None:
    ability = np.array([1.0, 2.0, 3.0])
    bits = np.array([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0], [2.0, 3.0, 1.0], [1.0, 1.0, 1.0]])
    assert predictive_strength(bits, ability).tolist() == pytest.approx([1, 0, 2 / 3, 0.5])


@given(arrays(float, (5, 4), elements=finite), arrays(float, 4, elements=finite, unique=True))
def test_strength_depends_on_order_alone_and_mirrors_with_ability(
    bits: np.ndarray, ability: np.ndarray
) -> None:
    strength = predictive_strength(bits, ability)
    assert np.allclose(predictive_strength(bits * 2, ability * 4), strength)
    assert np.allclose(predictive_strength(bits, -ability), 1 - strength)


def test_equal_models_have_no_strength() -> None:
    with pytest.raises(DataError, match="same for every model"):
        predictive_strength(np.ones((3, 2)), np.ones(2))


def test_extremes_leave_unmeasured_documents_out() -> None:
    strength = np.array([0.5, np.nan, 0.9, 0.1, 0.7, 0.3])
    best, worst = extremes(strength, 0.4, np.arange(6, dtype=np.uint64))
    assert (best.tolist(), worst.tolist()) == ([2, 4], [3, 5])


def binned(given: Scores, keep: np.ndarray, bins: int) -> np.ndarray:
    """[documents] the bin of each."""
    cutoff = Cutoff("it", 0, SelectionConfig(bins=bins))
    kept = QuantileSketch().add(given.margin[keep], given.bytes[keep])
    return cutoff.in_bins(kept).binned(given, keep)


def scores(**domains: list[float]) -> dict[str, Scores]:
    return {
        name: Scores(
            pa.chunked_array([[f"{name}{i}" for i in range(len(m))]]), np.array(m, float), np.full(len(m), 10)
        )
        for name, m in domains.items()
    }


def test_share_is_of_each_domain_or_overall() -> None:
    given_scores = scores(good=[9.0, 8.0, 7.0, 6.0], bad=[4.0, 3.0, 2.0, 1.0])
    by_domain, _ = choose(given_scores, SelectionConfig(keep_share=0.5, scope="domain", min_documents=1), 0)
    assert [m.tolist() for m in by_domain.values()] == [[True, True, False, False]] * 2
    overall, _ = choose(given_scores, SelectionConfig(keep_share=0.5, scope="overall", min_documents=1), 0)
    assert [int(m.sum()) for m in overall.values()] == [4, 1]
    assert overall["bad"].tolist() == [True, False, False, False]


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=60), st.floats(0.05, 1))
def test_kept_documents_score_at_least_as_well_and_the_share_is_passed_by_no_more_than_told(
    margins: list[float], share: float
) -> None:
    kept, error = choose(scores(it=margins), SelectionConfig(keep_share=share, min_documents=1), 0)
    keep, values = kept["it"], np.array(margins)
    assert share * len(margins) - 1e-9 <= keep.sum() <= (share + error) * len(margins) + 1e-9
    assert keep.all() or values[keep].min() >= values[~keep].max()


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=50))
def test_sketch_merged_from_pieces_equals_the_whole_and_keeps_order(values: list[float]) -> None:
    array = np.array(values)
    whole = QuantileSketch().add(array, np.ones(len(array)))
    pieces = (
        QuantileSketch()
        .add(array[::2], np.ones(len(array[::2])))
        .merge(QuantileSketch().add(array[1::2], np.ones(len(array[1::2]))))
    )
    assert whole == pieces
    order = np.argsort(array)
    assert (np.diff(buckets(array[order])) >= 0).all()


def test_threshold_and_temperature() -> None:
    margins = np.random.default_rng(0).normal(size=5_000).tolist()
    above, _ = choose(
        scores(it=margins), SelectionConfig(method="threshold", threshold=1.0, min_documents=1), 0
    )
    assert (np.array(margins)[above["it"]] >= 1.0).all()
    means = []
    for temperature in (0.05, 1.0, 50.0):
        config = SelectionConfig(
            method="temperature", temperature=temperature, keep_share=0.3, min_documents=1
        )
        kept, _ = choose(scores(it=margins), config, 0)
        assert kept["it"].mean() == pytest.approx(0.3, abs=0.01)
        assert (choose(scores(it=margins), config, 0)[0]["it"] == kept["it"]).all()
        means.append(np.array(margins)[kept["it"]].mean())
    assert means[0] > means[1] > means[2] > -0.2
    assert means[2] == pytest.approx(0, abs=0.1)


def test_quality_bins_hold_equal_bytes_best_first() -> None:
    margins = np.random.default_rng(0).normal(size=4_000)
    whole = scores(it=margins.tolist())["it"]
    keep = margins > -1
    number = binned(whole, keep, 4)
    assert set(number[~keep]) == {-1}
    assert np.bincount(number[keep]) / keep.sum() == pytest.approx([0.25] * 4, abs=0.01)
    assert all(margins[number == i].min() >= margins[number == i + 1].max() for i in range(3))


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Prose and numbers, of which a classifier is to like the prose; a reference in prose."""
    from pydoc_data import topics

    paragraphs = [p for text in topics.topics.values() for p in text.split("\n\n") if len(p) > 200]
    rng = np.random.default_rng(0)
    numbers = [" ".join(map(str, rng.integers(0, 999, 80))) for _ in range(150)]
    write_jsonl(tmp_path / "prose.jsonl", paragraphs[:150])
    write_jsonl(tmp_path / "mixed.jsonl", [*paragraphs[200:275], *numbers])
    write_jsonl(tmp_path / "reference.jsonl", paragraphs[300:340])
    return tmp_path


SOURCES = {"prose": 'prose.jsonl, id_field = "id"', "mixed": 'mixed.jsonl, id_field = "id"'}
REFERENCES = {"reference": "reference.jsonl"}


def test_given_classifier_scores_every_document_as_fasttext_does(corpus: Path) -> None:
    lines = [
        f"__label__{'hq' if i % 2 else 'lq'} {text}"
        for i, text in enumerate(["1 2 3 4 5", "the function is a name"] * 200)
    ]
    (corpus / "train.txt").write_text("\n".join(lines))
    model = fasttext.train_supervised(
        str(corpus / "train.txt"), dim=8, wordNgrams=2, bucket=1_000, thread=1, verbose=0
    )
    model.save_model(str(corpus / "given.bin"))
    extra = (
        '[quality]\nclassifier = "given.bin"\npositive_label = "__label__hq"\n[bootstrap]\nmodels = '
        "0\n[selection]\nkeep_share = 0.5"
    )
    done = run_stages(corpus_config(corpus, SOURCES, REFERENCES, extra), "select")
    table = pq.read_table(sorted((done["score"].path / "scores" / "mixed").glob("*"))[0])
    for document, margin in zip(
        documents(done["deduplicate"], "mixed"), table["margin"].to_pylist(), strict=True
    ):
        found = {
            label: p
            for p, label in model.f.predict(document["text"].replace("\n", " ") + "\n", 2, 0.0, "strict")
        }
        if found:
            assert 1 / (1 + np.exp(-margin)) + 1e-5 == pytest.approx(found["__label__hq"], abs=2e-6)
    samples = json.loads((done["select"].path / "samples.json").read_text())
    assert min(s["margin"] for s in samples["mixed"]["kept"]) >= max(
        s["margin"] for s in samples["mixed"]["dropped"]
    )


BOOTSTRAP = f"""
[bootstrap]
models = 3
tokens = 8_192
group_size = 3
sample_bytes = 50_000
[quality]
sample_documents = 200
dimension = 8
buckets = 1_000
{SMALL_FAMILY}"""


def test_family_that_the_user_gives_is_used_in_place_of_the_bootstrap(corpus: Path) -> None:
    bootstrap = run_stages(corpus_config(corpus, SOURCES, REFERENCES, BOOTSTRAP), "score")
    facts = json.loads((bootstrap["score"].path / "quality.json").read_text())
    assert facts["method"] == "bootstrap"
    folders = sorted((bootstrap["bootstrap"].path / "proxies").glob("*"))
    assert len(folders) == len(facts["abilities"]) == 3
    family = BOOTSTRAP.replace("models = 3", "models = 0").replace(
        "[quality]", f"[quality]\nfamily = {[str(f) for f in folders]}"
    )
    given_family = run_stages(corpus_config(corpus, SOURCES, REFERENCES, family), "score")
    again = json.loads((given_family["score"].path / "quality.json").read_text())
    assert again["method"] == "family"
    assert again["abilities"] == facts["abilities"]
    assert again["held_out_accuracy"] == facts["held_out_accuracy"]
    first, second = (
        pq.read_table(next((d["score"].path / "scores" / "mixed").glob("*")))
        for d in (bootstrap, given_family)
    )
    assert first.equals(second)


def test_proxies_of_the_last_sweep_serve_as_family_in_scheduled_use(corpus: Path) -> None:
    extra = (
        BOOTSTRAP
        + "[plan]\nmixtures = 4\nmax_epochs = 50\n[sweep]\ntokens = 8_192\ngroup_size = 4\nevaluations = 1\n"
    )
    done = run_stages(corpus_config(corpus, SOURCES, REFERENCES, extra), "sweep")
    scheduled = corpus_config(
        corpus, SOURCES, REFERENCES, extra.replace("models = 3", 'models = 3\nfamily = "last_sweep"')
    )
    again = run_stages(scheduled, "score")
    assert again["bootstrap"].manifest.counts == {"proxies": 4, "from_sweep": done["sweep"].fingerprint[:16]}
    facts = json.loads((again["score"].path / "quality.json").read_text())
    assert (facts["method"], sorted(facts["abilities"])) == ("last_sweep", ["0000", "0001", "0002", "0003"])


CONTRAST = """
[quality]
positives = ["reference"]
lowercase = true
sample_documents = 200
dimension = 8
buckets = 1_000
[bootstrap]
models = 0
"""


def test_classifier_by_contrast_prefers_what_is_like_the_named_set(corpus: Path) -> None:
    done = run_stages(corpus_config(corpus, SOURCES, REFERENCES, CONTRAST), "score")
    facts = json.loads((done["score"].path / "quality.json").read_text())
    assert facts["method"] == "contrast"
    assert facts["positives"] == facts["negatives"] == 40
    assert {"slope", "intercept", "expected_error"} == set(facts["calibration"])
    assert not any(word.isdigit() for word in facts["telling_words"]["good"][:5])
    margins = pq.read_table(next((done["score"].path / "scores" / "mixed").glob("*"))).to_pydict()
    values = dict(zip(margins["id"], margins["margin"], strict=True))
    prose, numbers = (
        [v for name, v in values.items() if (int(name.split("-")[1]) < 75) == is_prose]
        for is_prose in (True, False)
    )
    assert np.mean(prose) > np.mean(numbers)


def test_normalisation_travels_with_the_model(corpus: Path) -> None:
    done = run_stages(corpus_config(corpus, SOURCES, REFERENCES, CONTRAST), "score")
    path = done["score"].path / "classifier.bin"
    scorer = FastTextScorer.load(path)
    assert scorer.margins(["THE Class Of Names"]).tolist() == scorer.margins(["the class of names"]).tolist()
    copy = corpus / "copy.bin"
    copy.write_bytes(path.read_bytes())
    assert (
        FastTextScorer.load(copy).margins(["THE Class Of Names"]).tolist()
        != scorer.margins(["the class of names"]).tolist()
    )


def test_ensemble_averages_ranks(corpus: Path) -> None:
    trained = (
        run_stages(corpus_config(corpus, SOURCES, REFERENCES, CONTRAST), "score")["score"].path
        / "classifier.bin"
    )
    for name in ("one.bin", "two.bin"):
        (corpus / name).write_bytes(trained.read_bytes())
    given_one = '[quality]\nclassifier = "one.bin"\n[bootstrap]\nmodels = 0\n'
    alone = run_stages(corpus_config(corpus, SOURCES, REFERENCES, given_one), "score")["score"]
    both = given_one.replace('"one.bin"', '"one.bin"\nensemble = ["two.bin"]')
    together = run_stages(corpus_config(corpus, SOURCES, REFERENCES, both), "score")["score"]
    first, second = (
        pq.read_table(next((a.path / "scores" / "mixed").glob("*")))["margin"].to_numpy()
        for a in (alone, together)
    )
    assert (np.argsort(first, kind="stable") == np.argsort(second, kind="stable")).mean() > 0.95
    assert abs(np.median(second)) < 3


def test_abilities_can_be_given_and_must_be_complete(corpus: Path) -> None:
    family = run_stages(corpus_config(corpus, SOURCES, REFERENCES, BOOTSTRAP), "bootstrap")["bootstrap"]
    folders = sorted((family.path / "proxies").glob("*"))
    named = (
        f"[quality]\nfamily = {[str(f) for f in folders]}\nextremes = 'domain'\nagreement = "
        "'spearman'\nabilities = "
    )
    extra = BOOTSTRAP.replace("[quality]", named + "{ 0000 = 0.3, 0001 = 0.5, 0002 = 0.4 }")
    done = run_stages(corpus_config(corpus, SOURCES, REFERENCES, extra), "score")["score"]
    assert json.loads((done.path / "quality.json").read_text())["abilities"] == {
        "0000": 0.3,
        "0001": 0.5,
        "0002": 0.4,
    }
    sides = pq.read_table(done.path / "strength.parquet").to_pandas().groupby(["domain", "side"]).size()
    assert all(
        (domain, side) in sides.index for domain in ("prose", "mixed") for side in ("positive", "negative")
    )
    with pytest.raises(ConfigError, match=r"quality\.abilities\.0002: is missing"):
        run_stages(corpus_config(corpus, SOURCES, REFERENCES, extra.replace(", 0002 = 0.4", "")), "score")


def test_rank_correlation_agrees_with_scipy() -> None:
    from scipy.stats import spearmanr

    rng = np.random.default_rng(0)
    bits, ability = rng.random((20, 6)), rng.random(6)
    expected = [(spearmanr(-row, ability).statistic + 1) / 2 for row in bits]
    assert rank_correlation(bits, ability) == pytest.approx(expected)


def test_quality_bins_are_mixed_as_domains(corpus: Path) -> None:
    extra = BOOTSTRAP + "[selection]\nbins = 2\nmin_documents = 1\n[plan]\nmixtures = 3\nmax_epochs = 50\n"
    done = run_stages(corpus_config(corpus, SOURCES, REFERENCES, extra), "plan")
    mixtures = (done["plan"].path / "mixtures.csv").read_text().splitlines()[0]
    assert mixtures == "index,prose.q1,prose.q2,mixed.q1,mixed.q2"
    counts = done["tokenize"].manifest.counts["by_domain"]
    assert (
        sum(row["documents_out"] for row in counts.values())
        == done["select"].manifest.counts["documents_out"]
    )


def test_missing_classifier_is_named(corpus: Path) -> None:
    extra = '[quality]\nclassifier = "lost.bin"\n[bootstrap]\nmodels = 0'
    with pytest.raises(ConfigError, match=r"quality\.classifier: .*lost\.bin does not exist"):
        run_stages(corpus_config(corpus, SOURCES, REFERENCES, extra), "score")
