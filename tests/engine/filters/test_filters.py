"""Filters: each rule against a plain rendering of it, the reasons they give, and every document accounted
for."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import fasttext
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.corpus import corpus_config, documents, removals, run_stages, write_jsonl
from mashbill.artifacts import Artifact
from mashbill.config import FiltersConfig
from mashbill.errors import ConfigError, DataError
from mashbill.filters.c4 import C4
from mashbill.filters.characters import character_table
from mashbill.filters.filter import Filter
from mashbill.filters.fineweb import FineWeb
from mashbill.filters.gopher_quality import GopherQuality
from mashbill.filters.gopher_repetition import GopherRepetition
from mashbill.filters.passages import NgramIndex
from mashbill.filters.personal_data import PersonalData
from mashbill.filters.url import Url
from mashbill.filters.words import decode, split_words
from mashbill.partitions import buffers, from_buffers

PROSE = (
    "The people of this city have come to see that it was built with care, and to be proud of the work. " * 6
)
NUMBERS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
TEXTS = st.text(st.sampled_from("ab c.\n-'#…é—日 "), max_size=60)


def judged(rule: Filter, *texts: str, metadata: str = "{}") -> list[str]:
    column = pa.array(texts, pa.large_string())
    verdict = rule(column, pa.array([metadata] * len(texts), pa.large_string()))
    return [rule.reasons[code] for code in verdict.codes]


def words(text: str) -> list[str]:
    content, offsets = buffers(pa.array([text]))
    room = len(content) + 1
    points, bits = np.empty(room, np.int32), np.empty(room, np.uint16)
    starts, ends = np.empty(room, np.int32), np.empty(room, np.int32)
    size = decode(content, offsets[0], offsets[1], character_table(), points, bits)
    count = split_words(points, bits, 0, size, starts, ends)
    return [text[s:e] for s, e in zip(starts[:count], ends[:count], strict=True)]


def test_words_are_split_as_spacy_splits_them() -> None:
    text = (
        "Don't we'll (hello) e.g. the U.S. paid 3.5% or $5.00... for a well-known, state-of-the-art "
        "http://a.com/x?y=1-b, John's."
    )
    assert words(text) == [
        "Do", "n't", "we", "'ll", "(", "hello", ")", "e.g.", "the", "U.S.", "paid", "3.5", "%", "or", "$",
        "5.00", "...", "for", "a", "well", "-", "known", ",", "state", "-", "of", "-", "the", "-", "art",
        "http://a.com/x?y=1-b", ",", "John", "'s", ".",
    ]  # fmt: skip


@given(st.text(max_size=80))
def test_no_character_but_space_is_lost_between_words(text: str) -> None:
    assert "".join(words(text)) == "".join(text.split())


@given(st.lists(st.text(max_size=20), max_size=6))
def test_buffers_go_back_and_forth(texts: list[str]) -> None:
    column = pa.array(texts, pa.large_string())
    assert from_buffers(*buffers(column)).to_pylist() == texts
    assert from_buffers(*buffers(column.slice(1))).to_pylist() == texts[1:]


@pytest.mark.parametrize(
    "text, reason",
    [
        (PROSE, "kept"),
        ("Too short.", "gopher_few_words"),
        ("a b c d " * 20, "gopher_short_words"),
        ("internationalisation disproportionately " * 30, "gopher_long_words"),
        (PROSE + "# " * 40, "gopher_hashes"),
        (PROSE + "word ... " * 25, "gopher_ellipses"),
        ("\n".join(f"- point {i} of the list to be read and kept" for i in range(20)), "gopher_bullets"),
        (
            "\n".join(
                "the line goes on and on with more to come than that…"
                if i % 2
                else "and the line of that" * 3
                for i in range(20)
            ),
            "gopher_lines_ending_in_ellipsis",
        ),
        (PROSE + "12345 " * 40, "gopher_words_without_letters"),
        ("le chat et le chien vont dans la maison pour voir leurs amis " * 6, "gopher_few_stop_words"),
    ],
)
def test_gopher_quality_names_the_rule(text: str, reason: str) -> None:
    assert judged(GopherQuality(FiltersConfig().gopher_quality), text) == [reason]


def plain_repetition(text: str) -> str:
    """Gopher's table A1, in plain Python, over the same words."""

    def duplicates(pieces: list[str]) -> tuple[float, float]:
        again = [p for i, p in enumerate(pieces) if p in pieces[:i]]
        return len(again) / len(pieces), sum(map(len, again)) / max(1, len(text))

    c = FiltersConfig().gopher_repetition
    share, characters = duplicates(re.split(r"\n{2,}", text.strip()))
    if share > c.max_duplicate_paragraphs:
        return "gopher_duplicate_paragraphs"
    if characters > c.max_duplicate_paragraph_characters:
        return "gopher_duplicate_paragraph_characters"
    share, characters = duplicates(re.split(r"\n+", text))
    if share > c.max_duplicate_lines:
        return "gopher_duplicate_lines"
    if characters > c.max_duplicate_line_characters:
        return "gopher_duplicate_line_characters"
    found = words(text)
    for n, most in zip((2, 3, 4), c.max_top_ngrams, strict=True):
        runs = Counter(" ".join(found[i : i + n]) for i in range(len(found) - n + 1))
        if runs and (top := runs.most_common(1)[0]) and len(top[0]) * top[1] / len(text) > most:
            return f"gopher_top_{n}_gram"
    for n, most in zip(range(5, 11), c.max_duplicate_ngrams, strict=True):
        seen, repeated, at = set(), 0, 0
        while at < len(found) - n + 1:
            run = tuple(found[at : at + n])
            repeated, at = (repeated + sum(map(len, run)), at + n) if run in seen else (repeated, at + 1)
            seen.add(run)
        if repeated / max(1, len(text)) > most:
            return f"gopher_duplicate_{n}_grams"
    return "kept"


@settings(max_examples=300)
@given(
    st.lists(
        st.sampled_from(
            ["alpha beta", "gamma", "one two three four five six", "delta eps zeta", "\n", "\n\n", " ", "x"]
        ),
        max_size=40,
    )
)
def test_gopher_repetition_decides_as_its_plain_rendering(pieces: list[str]) -> None:
    text = " ".join(pieces) + " end of text number " + str(len(pieces))
    assert judged(GopherRepetition(FiltersConfig().gopher_repetition), text) == [plain_repetition(text)]


@settings(max_examples=200)
@given(TEXTS)
def test_gopher_repetition_holds_on_any_text(text: str) -> None:
    assert not text or judged(GopherRepetition(FiltersConfig().gopher_repetition), text) == [
        plain_repetition(text)
    ]


def test_c4_drops_lines_and_documents() -> None:
    sentences = (
        "This is one whole sentence. And here comes another one! Is this a third? It is the "
        "fourth.[12] The fifth ends it."
    )
    page = (
        f"{sentences}\nHome | About\nPlease enable JavaScript now.\nRead our privacy policy "
        "first.\nTwo words.\n"
    )
    page += "w" * 1_001 + " is too long a word."
    column = pa.array(
        [page, f"{sentences}\nLorem ipsum dolor sit amet.", f"{sentences} {{.", "Only this. One."]
    )
    rule = C4(FiltersConfig().c4)
    verdict = rule(column, column)
    assert [rule.reasons[c] for c in verdict.codes] == [
        "kept",
        "c4_lorem_ipsum",
        "c4_curly_bracket",
        "c4_few_sentences",
    ]
    assert verdict.texts is not None
    assert verdict.texts[0].as_py() == sentences.replace("[12]", "")
    names = {
        "c4_lines_no_end_punctuation",
        "c4_lines_javascript",
        "c4_lines_policy",
        "c4_lines_few_words",
        "c4_lines_overlong_word",
    }
    assert set(verdict.counts) == names


@pytest.mark.parametrize(
    "text, reason",
    [
        (PROSE + "\n" + PROSE[:40] + "!", "kept"),
        (
            "\n".join(f"line number {i} has no end mark but is long enough" for i in range(10)),
            "fineweb_few_lines_end_in_punctuation",
        ),
        ("\n".join(f"Short {i}." for i in range(10)), "fineweb_short_lines"),
        (
            "\n".join(["The very same line, long enough to be no short one, again."] * 5),
            "fineweb_duplicate_line_characters",
        ),
        (
            "\n\n\n\n\n\n\n\n".join(f"A line of words {i} that is just over thirty." for i in range(9)),
            "fineweb_list",
        ),
        (" \n ", "fineweb_empty"),
    ],
)
def test_fineweb_names_the_rule(text: str, reason: str) -> None:
    assert judged(FineWeb(FiltersConfig().fineweb), text) == [reason]


def test_personal_data_is_masked_and_nothing_else() -> None:
    text = (
        "Write to jo.doe+x@mail.example.org from 192.168.10.254, not 1.2.3.400; version 1.2.3; call "
        "+44 20 7946 0958 or 555-867-5309."
    )
    phone = FiltersConfig().personal_data.model_copy(update={"phone": "<PHONE>"})
    verdict = PersonalData(phone)(pa.array([text], pa.large_string()), pa.array([""]))
    assert verdict.texts is not None
    assert (
        verdict.texts[0].as_py()
        == "Write to <EMAIL> from <IP>, not 1.2.3.400; version 1.2.3; call <PHONE> or <PHONE>."
    )
    assert verdict.counts == {"masked_email": 1, "masked_ip": 1, "masked_phone": 2}


def test_blocked_site_takes_its_subdomains_with_it(tmp_path: Path) -> None:
    (tmp_path / "sites.txt").write_text("bad.com\nwww.worse.org\n\n")
    rule = Url(FiltersConfig().url, tmp_path / "sites.txt")
    addresses = [
        "https://bad.com/x",
        "http://shop.bad.com:80/",
        "https://notbad.com/",
        "HTTPS://WWW.Worse.ORG",
        "https://good.org/bad.com",
    ]
    for address, reason in zip(
        addresses, ["blocked_site", "blocked_site", "kept", "blocked_site", "kept"], strict=True
    ):
        assert judged(rule, "text", metadata=json.dumps({"url": address})) == [reason], address


@settings(max_examples=60)
@given(st.lists(st.sampled_from(NUMBERS), min_size=1, max_size=40), st.integers(5, 8))
def test_contamination_is_found_exactly_where_a_run_is_shared(tokens: list[str], n: int) -> None:
    question = [*NUMBERS, *NUMBERS[::2]]
    runs = {tuple(question[i : i + n]) for i in range(len(question) - n + 1)}
    expected = sum(tuple(tokens[i : i + n]) in runs for i in range(len(tokens) - n + 1))
    index = NgramIndex.of({"quiz": pa.array([" ".join(question)])}, n)
    assert index.hits(pa.array([", ".join(tokens).upper()])).tolist() == [[expected]]


def filtered(folder: Path, texts: list[str], toml: str, **config: Any) -> Artifact:
    write_jsonl(folder / "it.jsonl", texts)
    write_jsonl(folder / "other.jsonl", [PROSE, "short"])
    sources = {name: f'{name}.jsonl, id_field = "id"' for name in ("it", "other")}
    return run_stages(corpus_config(folder, sources, extra=toml, **config), "filter")["filter"]


FILTERS = (
    '[filters]\napply = ["length", "gopher_quality", "personal_data"]\ndomains = '
    '["it"]\n[filters.length]\nmin_characters = 10\n'
)


def test_every_document_is_kept_or_removed_with_its_reason(tmp_path: Path) -> None:
    artifact = filtered(
        tmp_path, [PROSE + "me@here.org", "short", "This one is too short for Gopher."], FILTERS
    )
    assert [d["text"] for d in documents(artifact, "it")] == [PROSE + "<EMAIL>"]
    assert len(documents(artifact, "other")) == 2
    reasons = {row["id"]: row["reason"] for row in removals(artifact)}
    assert reasons == {"it-1": "too_short", "it-2": "gopher_few_words"}
    counts = artifact.manifest.counts
    assert counts["documents_in"] == counts["documents_out"] + sum(counts["removed"].values()) == 5
    removed_bytes = sum(row["bytes"] for row in removals(artifact))
    assert counts["bytes_in"] == counts["bytes_out"] + removed_bytes + counts["bytes_trimmed"]


def test_dry_run_removes_nothing_and_says_what_each_would_alone(tmp_path: Path) -> None:
    artifact = filtered(
        tmp_path, [PROSE, "short"], FILTERS.replace("[filters.length]", "dry_run = true\n[filters.length]")
    )
    assert len(documents(artifact, "it")) == 2
    report = json.loads((artifact.path / "filters.json").read_text())
    assert report["alone"] == {"length": 1, "gopher_quality": 1}
    assert report["in_sequence"] == {"length": 1, "gopher_quality": 0, "personal_data": 0}
    assert report["samples"]["too_short"][0]["excerpt"] == "short"


def test_filters_that_remove_a_whole_domain_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"domain it: loses every document to the filters \(too_short 2\)"):
        filtered(tmp_path, ["short", "tiny"], FILTERS)


def test_contaminated_documents_name_their_set(tmp_path: Path) -> None:
    question = "Which river runs through the city that was the capital of the empire for a thousand years"
    write_jsonl(tmp_path / "quiz.jsonl", [question])
    (tmp_path / "probe").mkdir()
    extra = (
        'evaluations = [{ name = "quiz", sources = [{ path = "quiz.jsonl" }] }]\n[filters]\napply = '
        '["decontamination"]'
    )
    artifact = filtered(tmp_path, [PROSE, f"A quiz book. Q: {question.lower()}? A: the Bosporus."], extra)
    assert [row["reason"] for row in removals(artifact)] == ["contains_quiz"]


def test_language_goes_by_the_given_model(tmp_path: Path) -> None:
    lines = [
        "__label__en the people of the city have come to be",
        "__label__fr les gens de la ville sont venus pour",
    ] * 100
    (tmp_path / "train.txt").write_text("\n".join(lines))
    model = fasttext.train_supervised(
        str(tmp_path / "train.txt"), dim=8, minn=2, maxn=3, bucket=1_000, thread=1, verbose=0, epoch=20
    )
    model.save_model(str(tmp_path / "language.bin"))
    toml = '[filters]\napply = ["language"]\n[filters.language]\nclassifier = "language.bin"'
    artifact = filtered(
        tmp_path, ["the people have come to the city", "les gens sont venus de la ville"], toml
    )
    assert {row["id"]: row["reason"] for row in removals(artifact)}["it-1"] == "other_language"
    assert documents(artifact, "it")[0]["id"] == "it-0"


def test_filter_without_its_setting_and_bad_pattern_are_config_errors(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"filters: apply names language, and language\.classifier is empty"
    ):
        filtered(tmp_path, [PROSE], '[filters]\napply = ["language"]')
    with pytest.raises(ConfigError, match=r"filters\.regex\.remove: .*is not a pattern"):
        filtered(tmp_path, [PROSE], '[filters.regex]\nremove = ["("]')
