"""The stage against a plain search: which document stands for which, which lines are repeated, and what is
said of both."""

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from builders.corpus import corpus_config, documents, removals, run_stages, table, write_jsonl
from mashbill.artifacts import Artifact, StageRun
from mashbill.config import DeduplicationConfig, load_config
from mashbill.dedup.deduplicate import deduplicate
from mashbill.dedup.minhash import band_hashes

DOMAINS = ("zeta", "alpha", "mid")  # in no alphabetical order: the config's is what counts


def deduplicated(folder: Path, texts: Mapping[str, list[str]], settings: str) -> Artifact:
    for name, of_domain in texts.items():
        write_jsonl(folder / f"{name}.jsonl", of_domain)
    sources = {name: f'{name}.jsonl, id_field = "id"' for name in texts}
    config = corpus_config(folder, sources, extra=f"[deduplication]\n{settings}")
    return run_stages(config, "deduplicate")["deduplicate"]


def in_order(texts: Mapping[str, list[str]]) -> Iterator[tuple[str, str, str]]:
    """Domain, id and text of every document: by the config's order, then as they stand in their file."""
    for domain, of_domain in texts.items():
        yield from ((domain, f"{domain}-{i}", text) for i, text in enumerate(of_domain))


@pytest.fixture(scope="module")
def repeating() -> dict[str, list[str]]:
    """Documents drawn from few texts, so that many repeat others, and one of its own for each domain."""
    random = np.random.default_rng(4)
    return {
        name: [
            " ".join(f"{word}{i}" for word in ("text", "number", "of", "this"))
            for i in random.integers(0, 25, 18)
        ]
        + [f"Only in {name}."]
        for name in DOMAINS
    }


APART = "near = false\nmax_memory_bytes = 1500"  # in several ranges, whose links are joined by stars


@pytest.mark.parametrize("settings", ["near = false", "exact = false\nngram = 2", "", APART])
def test_of_equal_texts_the_first_by_the_configs_order_stays(
    repeating: dict[str, list[str]], tmp_path: Path, settings: str
) -> None:
    artifact = deduplicated(tmp_path, repeating, settings)
    first: dict[str, tuple[str, str]] = {}
    gone, kept, sizes = {}, [], {}
    for domain, name, text in in_order(repeating):
        if text in first:
            gone[name] = first[text]
        else:
            first[text] = (name, domain)
            kept.append(name)
        sizes[first[text]] = sizes.get(first[text], 0) + 1
    removed = removals(artifact)
    assert {row["id"]: (row["kept_id"], row["kept_domain"]) for row in removed} == gone
    assert {row["reason"] for row in removed} == {"near" if "exact = false" in settings else "exact"}
    assert [row["id"] for name in DOMAINS for row in documents(artifact, name)] == kept
    clusters = {(row["id"], row["domain"]): row["documents"] for row in table(artifact, "clusters.parquet")}
    assert clusters == {head: size for head, size in sizes.items() if size > 1}
    facts = json.loads((artifact.path / "duplicates.json").read_text())
    assert facts["cluster_sizes"] == [
        [size, sum(1 for other in sizes.values() if other == size)] for size in sorted(set(sizes.values()))
    ]
    indexed = sum(len(np.load(path)) for path in (artifact.path / "index").glob("*.npy"))
    assert indexed == len(kept)


def test_the_curve_is_that_of_the_bands_and_rows(tmp_path: Path, repeating: dict[str, list[str]]) -> None:
    artifact = deduplicated(tmp_path, repeating, "bands = 3\nrows = 2")
    curve = dict(json.loads((artifact.path / "duplicates.json").read_text())["threshold_curve"])
    assert (min(curve), max(curve)) == (0, 1)
    assert curve[0.5] == pytest.approx(1 - 0.75**3)
    assert (curve[0], curve[1]) == (0, 1)
    off = deduplicated(tmp_path, repeating, "near = false")
    assert json.loads((off.path / "duplicates.json").read_text())["threshold_curve"] == []


@pytest.mark.parametrize("memory, apart", [(1_500, True), (10**9, False)])
def test_links_that_do_not_fit_into_memory_are_joined_apart(
    tmp_path: Path, repeating: dict[str, list[str]], memory: int, apart: bool
) -> None:
    finished = deduplicated(tmp_path, repeating, f"near = false\nmax_memory_bytes = {memory}")
    config = load_config(tmp_path / "config.toml")
    done = run_stages(config, "filter")
    for name in ("output", "scratch"):
        (tmp_path / name).mkdir()
    run = StageRun.here(
        config, done, output=tmp_path / "output", scratch=tmp_path / "scratch", progress=lambda *_: None
    )
    assert deduplicate(run)["documents_out"] == finished.manifest.counts["documents_out"]
    assert (tmp_path / "scratch" / "stars").exists() is apart


WORDS = [f"{a}{b}{c}" for a in "bdgkmt" for b in ("an", "el", "or") for c in ("a", "in", "os")]


def shuffled(words: list[str], seed: int) -> str:
    return " ".join(np.random.default_rng(seed).permutation(words))


def test_a_shingle_has_as_many_words_as_the_config_says(tmp_path: Path) -> None:
    """The same words in another order have every word in common, and hardly any run of words."""
    texts = {"zeta": [shuffled(WORDS, 1)], "alpha": [shuffled(WORDS, 2), "Some other text."]}
    assert len(removals(deduplicated(tmp_path, texts, "ngram = 1"))) == 1
    assert removals(deduplicated(tmp_path, texts, "ngram = 2")) == []


def test_bands_and_rows_set_how_like_documents_must_be(tmp_path: Path) -> None:
    """Of 20 runs of words two documents share 16 of the 24 that they have: a similarity of two thirds."""
    words = WORDS[:24]
    one, other = " ".join(words), " ".join([*words[:20], "quite", "another", "end", "here"])
    texts = {"zeta": [one], "alpha": [other, "Some other text."]}
    strict, loose = "bands = 1\nrows = 40", "bands = 40\nrows = 1"
    assert removals(deduplicated(tmp_path, texts, strict)) == []
    assert [row["kept_id"] for row in removals(deduplicated(tmp_path, texts, loose))] == ["zeta-0"]


def test_texts_without_a_word_are_no_near_duplicates(tmp_path: Path) -> None:
    texts = {"zeta": ["...", "!!!", "a word"], "alpha": ["—…", "***", "a phrase"]}
    assert removals(deduplicated(tmp_path, texts, "")) == []


@pytest.mark.parametrize("domain", ["zeta", "alpha"])
def test_near_duplicates_of_near_duplicates_are_one_group(tmp_path: Path, domain: str) -> None:
    """Each is like the next, the first and the last are not; the earliest stands for all."""
    words = [f"word{i}" for i in range(160)]
    chain = [" ".join(words[start : start + 100]) for start in (0, 10, 20, 30, 40, 50, 60)]
    random = np.random.default_rng(0)
    order = random.permutation(len(chain))
    texts = {domain: [chain[i] for i in order], "mid": ["Some other text."]}
    artifact = deduplicated(tmp_path, texts, "bands = 60\nrows = 6")
    assert [row["id"] for row in documents(artifact, domain)] == [f"{domain}-0"]
    assert {row["kept_id"] for row in removals(artifact)} == {f"{domain}-0"}
    assert table(artifact, "clusters.parquet")[0]["documents"] == 7


SPLIT = {"line": r"[^\n]*\n+|[^\n]+", "paragraph": r"(?s)(?:(?!\n\n).)*(?:\n{2,}|\Z)"}


def without_repeats(
    texts: Mapping[str, list[str]], unit: str, shortest: int
) -> tuple[dict[str, str], list[str]]:
    """Text of each document without the pieces that stood before, and the documents of which nothing is left;
    a document whose text is an earlier one's goes first and is not looked at."""
    left, empty, seen, whole = {}, [], set(), set()
    for _, name, text in in_order(texts):
        if text in whole:
            continue
        whole.add(text)
        kept = []
        for piece in re.findall(SPLIT[unit], text):
            bare = piece.strip(" \t\r\n")
            if len(bare.encode()) >= shortest:
                if bare in seen:
                    continue
                seen.add(bare)
            kept.append(piece)
        if "".join(kept).strip():
            left[name] = "".join(kept)
        else:
            empty.append(name)
    return left, empty


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("unit", ["line", "paragraph"])
def test_repeated_lines_and_paragraphs_are_those_of_a_plain_search(
    tmp_path: Path, unit: str, seed: int
) -> None:
    random = np.random.default_rng(seed)
    pieces = [
        "ab",
        "abc ",
        "\tabcd",
        "äbcd",
        "abcde",
        " abcde",
        "long line",
        "long line\r",
        "own",
        "é" * 3,
        "",
    ]
    joints = ["\n", "\n\n", "\n\n\n"]

    def text() -> str:
        parts = [
            f"{pieces[i]}{joints[j]}" for i, j in zip(*random.integers(0, [[11], [3]], (2, 4)), strict=True)
        ]
        return "".join(parts).strip("\n") + joints[random.integers(3)][: random.integers(2)] or "x"

    texts = {
        name: [f"Beginning of {name}.", *(text() for _ in range(15)), f"End of {name}."] for name in DOMAINS
    }
    settings = f'near = false\nlines = "{unit}"\nmin_line_bytes = 5'
    artifact = deduplicated(tmp_path, texts, settings)
    ingested = {n: t for _, n, t in in_order(texts)}
    left, empty = without_repeats(texts, unit, 5)
    kept = {row["id"]: row["text"] for name in DOMAINS for row in documents(artifact, name)}
    assert kept == left
    assert sorted(row["id"] for row in removals(artifact) if row["reason"] == "repeated_lines") == sorted(
        empty
    )
    assert any(kept[name] != ingested[name] for name in kept)
    counts = artifact.manifest.counts
    size = {name: len(text.encode()) for name, text in ingested.items()}
    assert counts["bytes_trimmed"] == sum(size[n] - len(t.encode()) for n, t in left.items())
    assert counts["bytes_out"] == sum(len(t.encode()) for t in left.values())


SCRIPTS = {
    "ascii": ["Blue", "table", "x9", "HOUSE", "river", "q", "under", "seven", "It's"],
    "accents": ["café", "Über", "naïve", "señor", "Ångström", "e\u0301te\u0301", "Dvořák", "façade"],
    "cyrillic": ["Лиса", "река", "ёлка", "МОСТ", "снег", "поле", "ночь"],
    "han": [chr(0x4E00 + 37 * i) for i in range(60)],
    "kana": list("あいうえおかきくけこさしすせそアイウエオカキクケコ"),
    "thai": [chr(point) for point in range(0x0E01, 0x0E2F)],
    "old han": [chr(0x20000 + 11 * i) for i in range(40)],
}
ALONE = "\u3040-\u9fff\u0e00-\u0e7f\U00020000-\U0002ffff"
JOINTS = {
    "with blanks": [" ", ", ", "\n", "\u3000", " — ", "\u00a0", "… ", "! ", " «", "\u2003"],
    "without": ["", "，", "。", "", "、", " "],
}


def plain_words(text: str) -> list[str]:
    """Words of a text: no case, no marks, no punctuation; characters of some scripts are words."""
    bare = "".join(
        c for c in unicodedata.normalize("NFD", text).lower() if unicodedata.category(c)[0] not in "MP"
    )
    return re.findall(rf"[{ALONE}]|[^\s{ALONE}]+", bare)


def likeness(one: str, other: str, ngram: int) -> float:
    """Jaccard similarity of two texts' runs of words."""
    first, second = (
        {tuple(words[i : i + ngram]) for i in range(max(1, len(words) - ngram + 1))}
        for words in (plain_words(one), plain_words(other))
    )
    return len(first & second) / len(first | second)


@pytest.mark.parametrize("ngram", [1, 3])
@pytest.mark.parametrize("script", [*SCRIPTS, "all of them"])
def test_signatures_estimate_the_likeness_of_words_in_every_script(script: str, ngram: int) -> None:
    """With bands of one row the share of equal bands is the similarity, within its sampling error."""
    config = DeduplicationConfig(bands=256, rows=1, ngram=ngram)
    known = (
        [word for words in SCRIPTS.values() for word in words] if script == "all of them" else SCRIPTS[script]
    )
    spaced = script in {"ascii", "accents", "cyrillic", "all of them"}
    random, joints = np.random.default_rng(len(script)), JOINTS["with blanks" if spaced else "without"]
    errors, found = [], []
    for turn in range(40):
        words = [str(random.choice(known)) for _ in range(60)]
        changed = [str(random.choice(known)) if random.random() < turn / 80 else word for word in words]
        pair = ["".join(f"{word}{random.choice(joints)}" for word in text) for text in (words, changed)]
        similarity = likeness(*pair, ngram)
        bands = band_hashes(pa.chunked_array([pa.array(pair, pa.large_string())]), config)
        found.append(similarity)
        if 0 < similarity < 1:
            deviation = np.sqrt(similarity * (1 - similarity) / config.bands)
            errors.append(((bands[0] == bands[1]).mean() - similarity) / deviation)
        else:
            assert (bands[0] == bands[1]).all() == (similarity == 1)
    if errors:
        assert abs(np.mean(errors)) < 3.3 / np.sqrt(len(errors))
        assert max(map(abs, errors)) < 4.5
    assert ngram == 1 or min(found) < 0.7
