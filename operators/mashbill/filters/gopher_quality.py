"""Gopher's quality rules, in compiled code.

Source: Rae et al. 2021 (arXiv 2112.11446), appendix A.1.1. As in datatrove, words of punctuation alone do not
count towards the number and the mean length of words.
"""

from typing import NamedTuple

import numba
import numpy as np
import pyarrow as pa

from mashbill.config.filters import GopherQualityFilter
from mashbill.filters.characters import ALPHA, BREAK, PUNCTUATION, SPACE, character_table
from mashbill.filters.filter import Filter, Verdict
from mashbill.filters.hashes import hash_points, hash_text
from mashbill.filters.words import decode, split_words
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


class GopherQuality(Filter):
    """Gopher's quality rules."""

    name, reasons = "gopher_quality", REASONS

    def __init__(self, settings: GopherQualityFilter) -> None:
        self.limits = Limits(*(float(getattr(settings, limit)) for limit in Limits._fields))
        self.stop_words = np.array([hash_text(word) for word in settings.stop_words], np.uint64)

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
    stop_words: np.ndarray,
    codes: np.ndarray,
) -> None:
    """Decide on every document.

    Args:
        text: [bytes] uint8 of all documents; offsets: [documents + 1] int64.
        table: [code points] bits.
        limits: of the rules.
        stop_words: hashes of the stop words.
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
    stop_words: np.ndarray,
) -> int:
    real, letters, alphabetic = _count_words(bits, starts, ends, words)
    if real < limits.min_words:
        return FEW_WORDS
    if real > limits.max_words:
        return MANY_WORDS
    mean = letters / max(real, 1)
    if mean < limits.min_mean_word_characters:
        return SHORT_WORDS
    if mean > limits.max_mean_word_characters:
        return LONG_WORDS
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
    return FEW_STOP_WORDS if found < limits.min_stop_words else KEPT


@numba.njit(cache=True, nogil=True)
def _count_words(bits: np.ndarray, starts: np.ndarray, ends: np.ndarray, words: int) -> tuple[int, int, int]:
    """Words with more than punctuation, their characters, and words with a letter."""
    real, letters, alphabetic = 0, 0, 0
    for word in range(words):
        only_punctuation, has_letter = True, False
        for at in range(starts[word], ends[word]):
            only_punctuation &= (bits[at] & PUNCTUATION) != 0
            has_letter |= (bits[at] & ALPHA) != 0
        if not only_punctuation:
            real += 1
            letters += ends[word] - starts[word]
        alphabetic += has_letter
    return real, letters, alphabetic


@numba.njit(cache=True, nogil=True)
def _count_symbols(points: np.ndarray, size: int) -> tuple[int, int]:
    hashes, ellipses, dots = 0, 0, 0
    for at in range(size):
        point = points[at]
        dots = dots + 1 if point == DOT else 0
        hashes += point == HASH
        ellipses += point == ELLIPSIS or dots == 3
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
                bullets += points[first] == BULLET or points[first] == HYPHEN
                trailing += points[last] == ELLIPSIS or (
                    last - first >= 2
                    and points[last] == DOT
                    and points[last - 1] == DOT
                    and points[last - 2] == DOT
                )
        start = at + 1
        if at + 1 < size and points[at] == RETURN and points[at + 1] == NEWLINE:
            lines -= 1  # \r\n breaks once: the empty line between them is no line
    return lines, bullets, trailing


@numba.njit(cache=True, nogil=True)
def _distinct_stop_words(
    points: np.ndarray, starts: np.ndarray, ends: np.ndarray, words: int, stop_words: np.ndarray
) -> int:
    found = np.zeros(len(stop_words), np.bool_)
    count = 0
    for word in range(words):
        if ends[word] - starts[word] > LONGEST_STOP_WORD:
            continue
        value = hash_points(points, starts[word], ends[word])
        for which in range(len(stop_words)):
            if value == stop_words[which] and not found[which]:
                found[which] = True
                count += 1
        if count == len(stop_words):
            break
    return count
