"""Gopher's quality rules, in compiled code.

Source: Rae et al. 2021 (arXiv 2112.11446), appendix A.1.1. As in datatrove, words of punctuation alone do not
count towards the number and the mean length of words.
"""

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa

from mashbill.config.filters import GopherQualityFilter
from mashbill.filters.characters import ALONE, ALPHA, BREAK, PUNCTUATION, SPACE, character_table, script_table
from mashbill.filters.filter import Filter, Verdict
from mashbill.filters.hashes import hash_points, hash_text
from mashbill.filters.words import decode, split_words, words_of
from mashbill.kernels import numba
from mashbill.partitions import buffers

REASONS = (
    "kept",
    "gopher_too_large",
    "gopher_few_words",
    "gopher_many_words",
    "gopher_short_words",
    "gopher_long_words",
    "gopher_hashes",
    "gopher_ellipses",
    "gopher_bullets",
    "gopher_lines_ending_in_ellipsis",
    "gopher_words_without_letters",
    "gopher_few_stop_words",
)
(
    KEPT,
    TOO_LARGE,
    FEW_WORDS,
    MANY_WORDS,
    SHORT_WORDS,
    LONG_WORDS,
    MANY_HASHES,
    MANY_ELLIPSES,
    MANY_BULLETS,
    LINES_ENDING_IN_ELLIPSIS,
    WORDS_WITHOUT_LETTERS,
    FEW_STOP_WORDS,
) = range(len(REASONS))
MAX_DOCUMENT_BYTES = 4_000_000
LONGEST_STOP_WORD = 16
DOT, HASH, HYPHEN, ELLIPSIS, BULLET, RETURN, NEWLINE = (ord(c) for c in ".#-…•\r\n")
WIDE_DOT, WIDE_HASH, MIDDLE_ELLIPSIS = (ord(c) for c in "。＃⋯")
OTHER_BULLETS = tuple(ord(c) for c in "・･※－")


class Limits(NamedTuple):
    """Thresholds of the rules, as the kernel takes them; a NaN turns a rule off."""

    min_words: float
    max_words: float
    min_mean_word_characters: float
    max_mean_word_characters: float
    max_symbols_per_word: float
    max_bullet_lines: float
    max_ellipsis_lines: float
    min_alphabetic_words: float
    min_stop_words: float


class StopWords(NamedTuple):
    """Stop words, as the kernel takes them.

    Attributes:
        hashes: [stop words] of each.
        longest: words that the longest is split into: one of several characters in a script without blanks
            is as many.
        own_letters: [code points] whether each is a letter of a script that one of them is written in.
    """

    hashes: np.ndarray
    longest: int
    own_letters: np.ndarray

    @classmethod
    def of(cls, words: Sequence[str]) -> Self:
        """Those of the settings."""
        scripts = script_table()
        used = {int(scripts[ord(letter)]) for word in words for letter in word} - {0}
        hashes = np.array([hash_text(word) for word in words], np.uint64)
        longest = max((len(words_of(word)) for word in words), default=0)
        return cls(hashes, longest, np.isin(scripts, [*used]))


class GopherQuality(Filter):
    """Gopher's quality rules."""

    name, reasons = "gopher_quality", REASONS

    def __init__(self, settings: GopherQualityFilter) -> None:
        self.limits = Limits(*(float(getattr(settings, limit)) for limit in Limits._fields))
        self.stop_words = StopWords.of(settings.stop_words)

    def __call__(self, texts: pa.Array, metadata: pa.Array) -> Verdict:
        """Decide on documents."""
        del metadata
        codes = np.zeros(len(texts), np.uint8)
        gopher_quality(*buffers(texts), character_table(), self.limits, self.stop_words, codes)
        return Verdict(codes, None, {})


@numba.njit(cache=True, nogil=True)
def gopher_quality(
    text: np.ndarray,
    offsets: np.ndarray,
    table: np.ndarray,
    limits: Limits,
    stop_words: StopWords,
    codes: np.ndarray,
) -> None:
    """Decide on every document.

    Args:
        text: [bytes] uint8 of all documents; offsets: [documents + 1] int64.
        table: [code points] bits.
        limits: of the rules.
        stop_words: the stop words.
        codes: [documents] uint8, written: index into REASONS.
    """
    longest = 0
    for i in range(len(codes)):
        longest = max(longest, min(offsets[i + 1] - offsets[i], MAX_DOCUMENT_BYTES))
    points, bits = np.empty(longest + 1, np.int32), np.empty(longest + 1, np.uint16)
    starts, ends = np.empty(longest + 1, np.int32), np.empty(longest + 1, np.int32)
    for i in range(len(codes)):
        if offsets[i + 1] - offsets[i] > MAX_DOCUMENT_BYTES:
            codes[i] = TOO_LARGE
            continue
        size = decode(text, offsets[i], offsets[i + 1], table, points, bits)
        words = split_words(points, bits, 0, size, starts, ends)
        codes[i] = _judge(points, bits, size, starts, ends, words, limits, stop_words)


@numba.njit(cache=True, nogil=True)
def _judge(
    points: np.ndarray,
    bits: np.ndarray,
    size: int,
    starts: np.ndarray,
    ends: np.ndarray,
    words: int,
    limits: Limits,
    stop_words: StopWords,
) -> int:
    real, spaced, letters, alphabetic = _count_words(bits, starts, ends, words)
    if real < limits.min_words:
        return FEW_WORDS
    if real > limits.max_words:
        return MANY_WORDS
    if 2 * spaced >= real:
        code = _judge_length(letters / max(spaced, 1), limits)
        if code != KEPT:
            return code
    hashes, ellipses = _count_symbols(points, size)
    if hashes / max(words, 1) > limits.max_symbols_per_word:
        return MANY_HASHES
    if ellipses / max(words, 1) > limits.max_symbols_per_word:
        return MANY_ELLIPSES
    lines, bullets, trailing = _count_lines(points, bits, size)
    if bullets / max(lines, 1) > limits.max_bullet_lines:
        return MANY_BULLETS
    if trailing / max(lines, 1) > limits.max_ellipsis_lines:
        return LINES_ENDING_IN_ELLIPSIS
    if alphabetic / max(words, 1) < limits.min_alphabetic_words:
        return WORDS_WITHOUT_LETTERS
    found = _distinct_stop_words(points, starts, ends, words, stop_words)
    if found >= limits.min_stop_words:
        return KEPT
    return FEW_STOP_WORDS if _of_these_scripts(points, bits, size, stop_words) else KEPT


@numba.njit(cache=True, nogil=True)
def _judge_length(mean: float, limits: Limits) -> int:
    if mean < limits.min_mean_word_characters:
        return SHORT_WORDS
    return LONG_WORDS if mean > limits.max_mean_word_characters else KEPT


@numba.njit(cache=True, nogil=True)
def _of_these_scripts(points: np.ndarray, bits: np.ndarray, size: int, stop_words: StopWords) -> bool:
    """Whether most letters are of scripts that the stop words are written in: only of such text they say
    something."""
    letters, own = 0, 0
    for at in range(size):
        if bits[at] & ALPHA:
            letters += 1
            own += stop_words.own_letters[points[at]]
    return 2 * own >= letters


@numba.njit(cache=True, nogil=True)
def _count_words(
    bits: np.ndarray, starts: np.ndarray, ends: np.ndarray, words: int
) -> tuple[int, int, int, int]:
    """Words with more than punctuation, those of them that are no single characters of a script without
    blanks, the characters of these, and words with a letter."""
    real, spaced, letters, alphabetic = 0, 0, 0, 0
    for word in range(words):
        only_punctuation, has_letter = True, False
        for at in range(starts[word], ends[word]):
            only_punctuation &= (bits[at] & PUNCTUATION) != 0
            has_letter |= (bits[at] & ALPHA) != 0
        if not only_punctuation:
            real += 1
            if not bits[starts[word]] & ALONE:
                spaced += 1
                letters += ends[word] - starts[word]
        alphabetic += has_letter
    return real, spaced, letters, alphabetic


@numba.njit(cache=True, nogil=True)
def _count_symbols(points: np.ndarray, size: int) -> tuple[int, int]:
    hashes, ellipses, dots = 0, 0, 0
    for at in range(size):
        point = points[at]
        dots = dots + 1 if point == DOT or point == WIDE_DOT else 0
        hashes += point == HASH or point == WIDE_HASH
        ellipses += point == ELLIPSIS or point == MIDDLE_ELLIPSIS or dots == 3
        if dots == 3:
            dots = 0
    return hashes, ellipses


@numba.njit(cache=True, nogil=True)
def _count_lines(points: np.ndarray, bits: np.ndarray, size: int) -> tuple[int, int, int]:
    """Lines as ``str.splitlines`` sees them, those that begin with a bullet, those that end in an
    ellipsis."""
    lines, bullets, trailing, start = 0, 0, 0, 0
    for at in range(size + 1):
        if at < size and not bits[at] & BREAK:
            continue
        if at == size and start == size:
            break
        if at > start or at < size:
            lines += 1
            first, last = start, at - 1
            while first < at and bits[first] & SPACE:
                first += 1
            while last >= first and bits[last] & SPACE:
                last -= 1
            if first <= last:
                bullets += _is_bullet(points[first])
                trailing += _ends_in_ellipsis(points, first, last)
        start = at + 1
        if at + 1 < size and points[at] == RETURN and points[at + 1] == NEWLINE:
            lines -= 1  # \r\n breaks once: the empty line between them is no line
    return lines, bullets, trailing


@numba.njit(cache=True, nogil=True)
def _is_bullet(point: int) -> bool:
    for other in OTHER_BULLETS:
        if point == other:
            return True
    return bool(point == BULLET or point == HYPHEN)


@numba.njit(cache=True, nogil=True)
def _ends_in_ellipsis(points: np.ndarray, first: int, last: int) -> bool:
    if points[last] == ELLIPSIS or points[last] == MIDDLE_ELLIPSIS:
        return True
    dot = points[last]
    three = last - first >= 2 and points[last - 1] == dot and points[last - 2] == dot
    return bool(three and (dot == DOT or dot == WIDE_DOT))


@numba.njit(cache=True, nogil=True)
def _distinct_stop_words(
    points: np.ndarray, starts: np.ndarray, ends: np.ndarray, words: int, stop_words: StopWords
) -> int:
    found = np.zeros(len(stop_words.hashes), np.bool_)
    count = 0
    for length in range(1, stop_words.longest + 1):
        for first in range(words - length + 1):
            last = first + length - 1
            if ends[last] - starts[first] > LONGEST_STOP_WORD:
                continue
            value = hash_points(points, starts[first], ends[last])
            for which in range(len(stop_words.hashes)):
                if value == stop_words.hashes[which] and not found[which]:
                    found[which] = True
                    count += 1
            if count == len(found):
                return count
    return count
