"""Gopher's quality rules, in compiled code.

Source: Rae et al. 2021 (arXiv 2112.11446), appendix A.1.1. As in datatrove, words of punctuation alone do not
count towards the number and the mean length of words.
"""

import numba
import numpy as np

from mashbill.filters.characters import ALPHA, BREAK, PUNCTUATION, SPACE
from mashbill.filters.hashes import hash_points
from mashbill.filters.words import decode, split_words

QUALITY_REASONS = (
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
KEPT, TOO_LARGE = 0, 1
MAX_DOCUMENT_BYTES = 4_000_000
DOT, HASH, HYPHEN, ELLIPSIS, BULLET, RETURN, NEWLINE = (ord(c) for c in ".#-…•\r\n")


@numba.njit(cache=True, nogil=True)
def gopher_quality(
    text: np.ndarray,
    offsets: np.ndarray,
    table: np.ndarray,
    limits: np.ndarray,
    stop_words: np.ndarray,
    codes: np.ndarray,
) -> None:
    """Decide on every document.

    Args:
        text: [bytes] uint8 of all documents; offsets: [documents + 1] int64.
        table: [code points] bits.
        limits: [9] least and most words, least and most mean word length, most symbols a word, bullet lines,
            ellipsis lines, least words with a letter, least stop words; a NaN turns a rule off.
        stop_words: hashes of the stop words.
        codes: [documents] uint8, written: index into QUALITY_REASONS.
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
    limits: np.ndarray,
    stop_words: np.ndarray,
) -> int:
    real, letters, alphabetic = _count_words(bits, starts, ends, words)
    if real < limits[0]:
        return 2
    if real > limits[1]:
        return 3
    mean = letters / max(real, 1)
    if mean < limits[2]:
        return 4
    if mean > limits[3]:
        return 5
    hashes, ellipses = _count_symbols(points, size)
    if hashes / max(words, 1) > limits[4]:
        return 6
    if ellipses / max(words, 1) > limits[4]:
        return 7
    lines, bullets, trailing = _count_lines(points, bits, size)
    if bullets / max(lines, 1) > limits[5]:
        return 8
    if trailing / max(lines, 1) > limits[6]:
        return 9
    if alphabetic / max(words, 1) < limits[7]:
        return 10
    return 11 if _distinct_stop_words(points, starts, ends, words, stop_words) < limits[8] else KEPT


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
        if ends[word] - starts[word] > 16:
            continue
        value = hash_points(points, starts[word], ends[word])
        for which in range(len(stop_words)):
            if value == stop_words[which] and not found[which]:
                found[which] = True
                count += 1
        if count == len(stop_words):
            break
    return count
