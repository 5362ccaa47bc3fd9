"""Words are words in every script: pages of ten scripts pass the papers' filters, and a word is the same to
whoever counts or compares it.

The sentences are article 1 of the Universal Declaration of Human Rights, the novel is Natsume Soseki's of
1905 (both public domain); the other pages are of Airflow's translations, which are installed with it.
"""

import json
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from builders.checkout import TESTS
from mashbill.config import FiltersConfig
from mashbill.config.filters import C4Filter, GopherQualityFilter
from mashbill.dedup.shingles import KINDS, word_hashes
from mashbill.filters.c4 import C4
from mashbill.filters.filter import Filter
from mashbill.filters.fineweb import FineWeb
from mashbill.filters.gopher_quality import GopherQuality
from mashbill.filters.gopher_repetition import GopherRepetition
from mashbill.filters.passages import NgramIndex
from mashbill.filters.words import words_of

ARTICLE: dict[str, str] = json.loads(
    (TESTS / "data" / "scripts" / "article_1.json").read_text(encoding="utf-8")
)
WITHOUT_BLANKS = ("Han", "kana", "Thai")
LANGUAGES = ("en", "ru", "el", "ar", "he", "hi", "zh-CN", "zh-TW", "ko", "th")
RULES = {
    "gopher_quality": lambda c: GopherQuality(c.gopher_quality),
    "gopher_repetition": lambda c: GopherRepetition(c.gopher_repetition),
    "c4": lambda c: C4(c.c4),
    "fineweb": lambda c: FineWeb(c.fineweb),
}
PAGE_CHARACTERS = 4_000


def judged(rule: Filter, text: str) -> str:
    column = pa.array([text], pa.large_string())
    return rule.reasons[rule(column, pa.array(["{}"])).codes[0]]


def page(language: str) -> str:
    """A page of whole sentences from a translation, a paragraph of two a line."""
    spec = find_spec("airflow")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("Airflow is not installed")
    folder = Path(spec.submodule_search_locations[0], "ui/dist/i18n/locales", language)
    if not folder.exists():
        pytest.skip("this Airflow has no such translation")
    least, sentences = 14 if language.startswith("zh") else 40, []
    for path in sorted(folder.glob("*.json")):
        found = texts_in(json.loads(path.read_text(encoding="utf-8")))
        sentences += [text for text in found if len(text) >= least]
    chosen = list(dict.fromkeys(text for text in sentences if is_sentence(text)))
    pairs = [f"{one} {other}" for one, other in zip(chosen[::2], chosen[1::2], strict=False)]
    ends = np.cumsum([len(pair) for pair in pairs])
    return "\n".join(pair for pair, end in zip(pairs, ends, strict=True) if end < PAGE_CHARACTERS)


def texts_in(found: object) -> Iterator[str]:
    if isinstance(found, dict):
        for value in found.values():
            yield from texts_in(value)
    elif isinstance(found, str):
        yield re.sub(r"\{\{.*?\}\}", "3", " ".join(found.split()))


def is_sentence(text: str) -> bool:
    ended = text[-1] in ".?!。？！।" or "\u0e00" < text[-1] < "\u0e7f"
    return ended and not set(text) & set("{}()*<>'\"«»")


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_page_of_every_script_is_kept(language: str, rule: str) -> None:
    text = page(language)
    assert len(text) > 400
    assert judged(RULES[rule](FiltersConfig()), text) == "kept"


@pytest.mark.parametrize("rule", RULES)
def test_a_page_of_a_japanese_novel_is_kept(rule: str) -> None:
    text = (TESTS / "data" / "scripts" / "a_cat.txt").read_text(encoding="utf-8")
    assert judged(RULES[rule](FiltersConfig()), text) == "kept"


@pytest.mark.parametrize("script", ARTICLE)
def test_an_article_is_two_sentences_of_so_many_words(script: str) -> None:
    text, few = ARTICLE[script], 15
    assert judged(GopherQuality(GopherQualityFilter(min_words=few)), text) == "kept"
    assert judged(GopherQuality(GopherQualityFilter(min_words=200)), text) == "gopher_few_words"
    sentences = 3 if script == "Thai" else 2  # its blanks part them
    assert judged(C4(C4Filter(min_sentences=sentences)), text) == "kept"
    assert judged(C4(C4Filter(min_sentences=sentences + 1)), text) == "c4_few_sentences"


@pytest.mark.parametrize("script", ARTICLE)
def test_repeating_an_article_is_found_in_every_script(script: str) -> None:
    line = "\n".join(f"{i} {ARTICLE[script]} {i * i}" for i in range(8))
    assert judged(GopherRepetition(FiltersConfig().gopher_repetition), line).startswith(
        ("gopher_duplicate", "gopher_top")
    )


@pytest.mark.parametrize("script", ARTICLE)
def test_decontamination_finds_a_sentence_and_not_its_half(script: str) -> None:
    text = ARTICLE[script]
    index = NgramIndex.of({"set": pa.array([text])}, 13)
    found = index.hits(pa.array([f"1 {text} 2", text[: len(text) // 4], " ".join(reversed(text.split()))]))
    assert found[0, 0] > 0
    assert found[1, 0] == 0
    assert script in WITHOUT_BLANKS or found[2, 0] == 0


@pytest.mark.parametrize(
    "text, words",
    [
        ("AI技术，世界。", ["AI", "技", "术", "，", "世", "界", "。"]),
        ("がか\u3099", ["が", "か\u3099"]),
        ("ที่นี่ 12", ["ที่", "นี่", "12"]),
        ("ខ្ញុំ\u200bស្រ", ["ខ្", "ញុំ\u200b", "ស្", "រ"]),
        ("བོད་ཡིག།", ["བོ", "ད་", "ཡི", "ག", "།"]),
        ("मैं हिन्दी हूँ।", ["मैं", "हिन्दी", "हूँ", "।"]),
        ("나는 학교에", ["나는", "학교에"]),
        ("ሰው ነው።", ["ሰው", "ነው", "።"]),
        ("𠮷野家", ["𠮷", "野", "家"]),
    ],
)
def test_words_of_other_scripts(text: str, words: list[str]) -> None:
    assert words_of(text) == words


def deduplication_words(text: str) -> int:
    content = np.frombuffer(text.encode(), np.uint8)
    return int(word_hashes(content, 0, len(content), KINDS, np.empty(len(content) + 1, np.uint64)))


@pytest.mark.parametrize("script", ARTICLE)
def test_deduplication_counts_the_words_that_filters_count(script: str) -> None:
    text = ARTICLE[script]
    assert deduplication_words(text) == sum(any(c.isalnum() for c in word) for word in words_of(text))


@pytest.mark.parametrize(
    "line, kept",
    [
        ("他说：“你好，我的朋友。”", True),
        ("彼は「行きましょう。」", True),
        ("Он сказал: «Пойдем домой сейчас.»", True),
        ("Er sagte: „Komm jetzt nach Hause.“", True),
        ("यह एक पूरा वाक्य है।", True),
        ("هل هذه جملة كاملة هنا؟", True),
        ("یہ ایک مکمل جملہ ہے۔", True),
        ("ခွေးသည် အိမ်သို့ ပြန်လာသည်။", True),
        ("ঘরে ফিরে এসো এখন।", True),
        ("首页 关于我们 联系方式", False),
        ("ホーム・会社概要・採用情報", False),
        ("Главная и другие страницы", False),
        ("She said: “Come home now.”", False),  # as C4 has it
    ],
)
def test_lines_end_as_their_language_ends_them(line: str, kept: bool) -> None:
    reason = judged(C4(C4Filter(min_sentences=1)), line)
    assert reason == ("kept" if kept else "c4_few_sentences")


def test_stop_words_ask_only_text_of_their_own_scripts() -> None:
    text = ARTICLE["Han"] * 2
    chinese, english = GopherQualityFilter(stop_words=("的", "和", "他们")), GopherQualityFilter()
    assert judged(GopherQuality(english), text) == "kept"
    assert judged(GopherQuality(chinese), text) == "kept"
    french = "Tous les êtres humains naissent libres et égaux en dignité et en droits. " * 5
    assert judged(GopherQuality(english), french) == "gopher_few_stop_words"
    assert judged(GopherQuality(chinese), french) == "kept"
    without = GopherQualityFilter(stop_words=("是", "我们", "的时候"))
    assert judged(GopherQuality(without), text) == "gopher_few_stop_words"


def test_lists_and_broken_off_lines_of_other_scripts_are_found() -> None:
    settings = GopherQualityFilter(min_words=5)
    listed = "\n".join(f"・{ARTICLE['kana'][i : i + 20]}" for i in range(10))
    assert judged(GopherQuality(settings), listed) == "gopher_bullets"
    broken = "\n".join(f"{ARTICLE['Han'][i : i + 20]}……" for i in range(10))
    assert judged(GopherQuality(settings), broken) in {"gopher_ellipses", "gopher_lines_ending_in_ellipsis"}
