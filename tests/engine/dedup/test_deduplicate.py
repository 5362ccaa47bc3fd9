"""Deduplication removes what was planted, keeps the earliest, and accounts for every document."""

import json
import shutil
import string
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.corpus import corpus_config, documents, removals, run_stages, table, write_jsonl
from mashbill.config import DeduplicationConfig, EngineConfig
from mashbill.dedup.components import Stars, union
from mashbill.dedup.lines import Pieces
from mashbill.dedup.minhash import band_hashes, match_probability
from mashbill.errors import ConfigError, DataError
from mashbill.partitions import Exchange, scattered
from mashbill.storage import open_storage

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
    config = corpus_config(
        planted, {"first": 'first.jsonl, id_field = "id"', "second": 'second.jsonl, id_field = "id"'}
    )
    artifact = run_stages(config, "deduplicate")["deduplicate"]
    assert len(documents(artifact, "first")) == 40
    assert [d["id"] for d in documents(artifact, "second")] == [f"second-{i}" for i in range(20, 40)]
    removed = {row["id"]: row for row in removals(artifact)}
    assert {removed[f"second-{i}"]["reason"] for i in range(10)} == {"exact"}
    assert {removed[f"second-{i}"]["reason"] for i in range(10, 20)} == {"near"}
    assert [removed[f"second-{i}"]["kept_id"] for i in range(20)] == [f"first-{i}" for i in range(20)]
    assert {row["kept_domain"] for row in removed.values()} == {"first", "second"}
    counts = artifact.manifest.counts
    assert counts["documents_in"] == counts["documents_out"] + sum(counts["removed"].values()) == 81
    assert counts["bytes_in"] == counts["bytes_out"] + sum(row["bytes"] for row in removed.values())


def test_priority_is_the_order_of_the_config(planted: Path) -> None:
    config = corpus_config(
        planted, {"second": 'second.jsonl, id_field = "id"', "first": 'first.jsonl, id_field = "id"'}
    )
    artifact = run_stages(config, "deduplicate")["deduplicate"]
    assert len(documents(artifact, "second")) == 40
    assert len(documents(artifact, "first")) == 20


def test_deduplicated_text_has_no_duplicates_left(planted: Path, tmp_path: Path) -> None:
    first = corpus_config(
        planted, {"first": 'first.jsonl, id_field = "id"', "second": 'second.jsonl, id_field = "id"'}
    )
    kept = run_stages(first, "deduplicate")["deduplicate"]
    again = corpus_config(
        planted, {d: f'{kept.path}/documents/{d}/*.parquet, id_field = "id"' for d in ("first", "second")}
    )
    counts = run_stages(again, "deduplicate")["deduplicate"].manifest.counts
    assert counts["removed"] == {}


def test_near_duplicates_can_be_left_in(planted: Path) -> None:
    sources = {"first": 'first.jsonl, id_field = "id"', "second": 'second.jsonl, id_field = "id"'}
    artifact = run_stages(
        corpus_config(planted, sources, extra="[deduplication]\nnear = false"), "deduplicate"
    )["deduplicate"]
    assert artifact.manifest.counts["removed"] == {"exact": 10}


def test_domain_that_only_repeats_others_is_an_error(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_jsonl(tmp_path / f"{name}.jsonl", [passage(1), passage(2)])
    with pytest.raises(DataError, match=r"domain two: repeats other text entirely.*\(exact 2\)"):
        run_stages(corpus_config(tmp_path, {"one": "one.jsonl", "two": "two.jsonl"}), "deduplicate")


def test_later_corpus_is_deduplicated_against_a_finished_one(planted: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    write_jsonl(other / "filler.jsonl", [passage(5_000)])
    write_jsonl(
        other / "first.jsonl",
        (json.loads(line)["text"] for line in (planted / "first.jsonl").read_text().splitlines()),
    )
    finished = run_stages(
        corpus_config(other, {"first": "first.jsonl", "filler": "filler.jsonl"}), "deduplicate"
    )["deduplicate"]
    extra = f'[deduplication]\nagainst = ["{finished.path}"]'
    write_jsonl(planted / "third.jsonl", [passage(9_000)])
    sources = {"second": 'second.jsonl, id_field = "id"', "third": "third.jsonl"}
    artifact = run_stages(corpus_config(planted, sources, extra=extra), "deduplicate")["deduplicate"]
    assert [d["id"] for d in documents(artifact, "second")] == [f"second-{i}" for i in range(20, 40)]
    removed = removals(artifact)
    assert {row["kept_domain"] for row in removed if row["id"] != "second-40"} == {f"index:{finished.path}"}
    with pytest.raises(ConfigError, match=r"was made with ngram = 5, not 3; set deduplication\.ngram to 5"):
        run_stages(corpus_config(planted, sources, extra=extra + "\nngram = 3"), "deduplicate")


@pytest.mark.parametrize("with_manifest", [True, False])
def test_a_finished_corpus_that_changes_in_its_place_is_seen(tmp_path: Path, with_manifest: bool) -> None:
    kept = tmp_path / "kept"

    def keep(texts: list[str]) -> None:
        """Finish a corpus, and keep it, or its index alone, in the same place."""
        write_jsonl(tmp_path / "old.jsonl", texts)
        config = corpus_config(tmp_path, {"old": "old.jsonl", "other": "other.jsonl"})
        finished = run_stages(config, "deduplicate")["deduplicate"]
        shutil.rmtree(kept, ignore_errors=True)
        folder = "." if with_manifest else "index"
        shutil.copytree(finished.path / folder, kept / folder, dirs_exist_ok=True)

    def stay() -> list[str]:
        extra = '[deduplication]\nagainst = ["kept"]'
        config = corpus_config(tmp_path, {"new": "new.jsonl", "more": "more.jsonl"}, extra=extra)
        return [d["text"] for d in documents(run_stages(config, "deduplicate")["deduplicate"], "new")]

    write_jsonl(tmp_path / "other.jsonl", [passage(8)])
    write_jsonl(tmp_path / "more.jsonl", [passage(7)])
    write_jsonl(tmp_path / "new.jsonl", [passage(1), passage(2), passage(3)])
    keep([passage(1), passage(9)])
    assert stay() == [passage(2), passage(3)]
    keep([passage(2), passage(9)])
    assert stay() == [passage(1), passage(3)]


def test_repeated_lines_go_and_their_bytes_are_accounted_for(tmp_path: Path) -> None:
    notice = "All rights reserved, and this line stands on every page of the site."
    write_jsonl(tmp_path / "a.jsonl", [f"{passage(i, 30)}\n{notice}\n\nEnd." for i in range(5)])
    write_jsonl(tmp_path / "b.jsonl", [notice, passage(77, 30)])
    config = corpus_config(
        tmp_path, {"a": "a.jsonl", "b": "b.jsonl"}, extra='[deduplication]\nlines = "line"\nnear = false'
    )
    artifact = run_stages(config, "deduplicate")["deduplicate"]
    texts = [d["text"] for d in documents(artifact, "a")]
    assert [notice in text for text in texts] == [True, False, False, False, False]
    assert all(text.endswith("End.") for text in texts)
    assert [row["reason"] for row in removals(artifact)] == ["repeated_lines"]
    counts = artifact.manifest.counts
    assert counts["bytes_trimmed"] == 4 * (len(notice) + 2)
    assert counts["bytes_in"] == counts["bytes_out"] + counts["bytes_trimmed"] + len(notice)


@settings(max_examples=100)
@given(
    st.lists(st.text(st.sampled_from("ab \n"), max_size=20), min_size=1, max_size=5), st.sampled_from([1, 2])
)
def test_pieces_put_back_together_are_the_text(texts: list[str], newlines: int) -> None:
    pieces = Pieces(pa.array(texts, pa.large_string()), newlines, 1)
    assert pieces.without(np.zeros(len(pieces.hashes), bool)).to_pylist() == texts
    assert set(pieces.without(np.ones(len(pieces.hashes), bool)).to_pylist()) == {""}


@pytest.mark.slow
def test_many_buckets_and_stars_give_what_one_memory_gives(planted: Path) -> None:
    sources = {"first": 'first.jsonl, id_field = "id"', "second": 'second.jsonl, id_field = "id"'}
    extra = '[deduplication]\nlines = "line"\nmin_line_bytes = 1'
    in_memory = run_stages(corpus_config(planted, sources, extra=extra), "deduplicate")["deduplicate"]
    config = corpus_config(planted, sources, extra=extra + "\nmax_memory_bytes = 1000")
    elsewhere = config.model_copy(update={"artifacts": str(planted / "in-buckets")})
    in_buckets = run_stages(elsewhere, "deduplicate")["deduplicate"]
    assert in_memory.address != in_buckets.address
    assert in_memory.manifest.files == in_buckets.manifest.files


def test_clusters_say_how_many_stand_behind_a_document(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [passage(1), passage(1), passage(2), edited(passage(1), 2, 0)])
    write_jsonl(tmp_path / "b.jsonl", [passage(1), passage(3)])
    artifact = run_stages(
        corpus_config(tmp_path, {"a": 'a.jsonl, id_field = "id"', "b": 'b.jsonl, id_field = "id"'}),
        "deduplicate",
    )
    assert table(artifact["deduplicate"], "clusters.parquet") == [
        {"id": "a-0", "domain": "a", "documents": 4}
    ]


def test_near_duplicates_are_found_as_the_curve_says(tmp_path: Path) -> None:
    """Against brute-force Jaccard on real text: pairs far above the threshold are found, pairs far below are
    not."""
    from pydoc_data import topics

    originals = [" ".join(t.split()) for t in topics.topics.values() if len(t.split()) > 150][:40]
    config = DeduplicationConfig()
    rng = np.random.default_rng(0)
    texts, similarity = [], []
    for i, text in enumerate(originals):
        changes = int(rng.integers(1, 40))
        texts += [text, edited(text, changes, i)]
        similarity.append(jaccard(texts[-2], texts[-1]))
    bands = band_hashes(pa.chunked_array([pa.array(texts, pa.large_string())]), config)
    found = (bands[::2] == bands[1::2]).any(axis=1)
    likely = np.array([match_probability(s, config) for s in similarity])
    assert found[likely > 0.999].all()
    assert not found[likely < 0.001].any()
    assert found.sum() == pytest.approx(likely.sum(), abs=4)
    others = [(a, b) for a in range(0, len(texts), 2) for b in range(a + 2, len(texts), 2)]
    assert all(jaccard(texts[a], texts[b]) > 0.4 for a, b in others if (bands[a] == bands[b]).any())


def jaccard(one: str, other: str, ngram: int = 5) -> float:
    shingles = []
    for text in (one, other):
        words = "".join(c for c in text.lower() if c not in string.punctuation).split()
        shingles.append({tuple(words[i : i + ngram]) for i in range(len(words) - ngram + 1)})
    return len(shingles[0] & shingles[1]) / len(shingles[0] | shingles[1])


links = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 40)).filter(lambda pair: pair[0] > pair[1]), max_size=60
)


@settings(max_examples=60)
@given(links, st.integers(1, 5))
def test_both_ways_to_components_find_what_a_plain_search_finds(
    pairs: list[tuple[int, int]], buckets: int
) -> None:
    expected = {node: node for pair in pairs for node in pair}
    changed = True
    while changed:
        before = dict(expected)
        for one, other in pairs:
            expected[one] = expected[other] = min(expected[one], expected[other])
        changed = expected != before
    heads = {node: head for node, head in sorted(expected.items()) if node != head}
    document, earlier = np.array(pairs, np.int64).reshape(-1, 2).T
    node, head = union(document, earlier)
    assert dict(zip(node.tolist(), head.tolist(), strict=True)) == heads
    with tempfile.TemporaryDirectory() as folder:
        shared = open_storage(folder, Path(folder))
        given_links = Exchange(shared, "given", buckets)
        for i in range(3):  # from several tasks, with repeats
            given_links.put(
                f"{i}", scattered(document[i:], buckets), document=document[i:], earlier=earlier[i:]
            )
        settled = Stars(EngineConfig(), shared, "stars").settle(given_links)
        rows = [settled.arrays(bucket) for bucket in range(buckets)]
    found = {(int(d), int(h)) for row in rows for d, h in zip(row["document"], row["earlier"], strict=True)}
    assert found == set(heads.items())


def test_signatures_see_words_not_their_dress() -> None:
    """Case, accents, punctuation, blanks and composed or decomposed letters change nothing; words do; kana
    and Han need no blanks."""
    same = [
        "The café's “old” door — shut at noon, always; nobody came in.",
        "THE  CAFES old\u2003door shut at\u00a0noon always nobody came in",
        "the cafe\u0301s old door\nshut\tat noon always (nobody) came in!",
    ]
    chinese = "今天天气很好，我们去公园散步，然后回家吃饭，晚上看电影，明天还要上班工作。"
    texts = [
        *same,
        same[0].replace("noon", "night"),
        "",
        "—…!",
        "two words",
        "Two, words.",
        chinese,
        chinese.replace("，", " "),
        "Быстрая ЛИСА прыгает через ленивую собаку у реки",
        "БЫСТРАЯ лиса Прыгает через ленивую собаку у РЕКИ",
    ]
    sliced = pa.array(["before", *texts], pa.large_string()).slice(1)
    bands = band_hashes(pa.chunked_array([sliced.slice(0, 4), sliced.slice(4)]), DeduplicationConfig())
    assert (bands[0] == bands[1]).all()
    assert (bands[0] == bands[2]).all()
    assert not (bands[0] == bands[3]).all()
    assert not bands[4:6].any()
    assert (bands[6] == bands[7]).all()
    assert (bands[8] == bands[9]).all()
    assert (bands[10] == bands[11]).all()


def test_signatures_estimate_jaccard_without_bias() -> None:
    """With bands of one row, the share of equal bands is the similarity, within its sampling error."""
    config = DeduplicationConfig(bands=256, rows=1)
    errors = []
    for seed in range(60):
        text = passage(seed, 200)
        pair = [text, edited(text, 1 + seed // 2, seed)]
        bands = band_hashes(pa.chunked_array([pa.array(pair, pa.large_string())]), config)
        similarity = jaccard(*pair)
        errors.append(
            ((bands[0] == bands[1]).mean() - similarity)
            / np.sqrt(similarity * (1 - similarity) / config.bands)
        )
    assert abs(np.mean(errors)) < 3.3 / np.sqrt(len(errors))
    assert 0.7 < np.std(errors) < 1.3
