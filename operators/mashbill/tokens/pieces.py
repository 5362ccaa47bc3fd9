"""Compiled kernels that split text into pieces, as the patterns of byte-level tokenizers do."""

import unicodedata
from functools import cache
from typing import Any

import numpy as np

from mashbill.kernels import numba

OTHER, LETTER, DIGIT, BLANK, UNKNOWN = range(5)
"""Kinds of characters; UNKNOWN are those that Unicode did not know when Python's table was made."""
BLANKS = (
    *range(9, 14),
    0x20,
    0x85,
    0xA0,
    0x1680,
    *range(0x2000, 0x200B),
    0x2028,
    0x2029,
    0x202F,
    0x205F,
    0x3000,
)
QUOTE, SPACE, LINE_FEED, RETURN = ord("'"), ord(" "), ord("\n"), ord("\r")
S, T, R, E, V, M, L, D = (ord(letter) for letter in "strevmld")
LONG_S = (0xC5, 0xBF)  # the bytes of a letter that is an s in any case


@cache
def kinds() -> np.ndarray:
    """[code points] uint8 kind of every character."""
    found = np.full(0x110000, OTHER, np.uint8)
    for point in range(0x110000):
        category = unicodedata.category(chr(point))
        if category[0] == "L":
            found[point] = LETTER
        elif category[0] == "N":
            found[point] = DIGIT
        elif category == "Cn":
            found[point] = UNKNOWN
    found[list(BLANKS)] = BLANK
    return found


@numba.njit(cache=True, nogil=True, inline="always")
def decode(text: np.ndarray, at: int) -> Any:
    """The code point that begins at a byte, and its size."""
    first = np.int64(text[at])
    if first < 0x80:
        return first, 1
    if first < 0xE0:
        return ((first & 0x1F) << 6) | (np.int64(text[at + 1]) & 0x3F), 2
    if first < 0xF0:
        middle = (np.int64(text[at + 1]) & 0x3F) << 6
        return ((first & 0x0F) << 12) | middle | (np.int64(text[at + 2]) & 0x3F), 3
    high = ((first & 0x07) << 18) | ((np.int64(text[at + 1]) & 0x3F) << 12)
    return high | ((np.int64(text[at + 2]) & 0x3F) << 6) | (np.int64(text[at + 3]) & 0x3F), 4


@numba.njit(cache=True, nogil=True, inline="always")
def _run(text: np.ndarray, at: int, end: int, kind: np.ndarray, wanted: int, most: int) -> int:
    """Behind a run of characters of one kind, of at most so many."""
    count = 0
    while at < end and count < most:
        point, size = decode(text, at)
        if kind[point] != wanted:
            break
        at += size
        count += 1
    return at


@numba.njit(cache=True, nogil=True, inline="always")
def _contraction(text: np.ndarray, at: int, end: int, any_case: bool) -> int:
    """Behind 's, 't, 're, 've, 'm, 'll or 'd that begins here; where it began, if none does."""
    if at + 1 >= end:
        return at
    low = np.uint8(0x20) if any_case else np.uint8(0)
    first = text[at + 1] | low
    if first == S or first == T or first == M or first == D:
        return at + 2
    if at + 2 < end:
        second = text[at + 2] | low
        if (first == L and second == L) or ((first == R or first == V) and second == E):
            return at + 3
        if any_case and text[at + 1] == LONG_S[0] and text[at + 2] == LONG_S[1]:
            return at + 3
    return at


@numba.njit(cache=True, nogil=True, inline="always")
def _blanks(text: np.ndarray, at: int, end: int, kind: np.ndarray) -> int:
    """Behind a run of blanks, without its last one where something follows and the run is longer."""
    last = begun = at
    while at < end:
        point, size = decode(text, at)
        if kind[point] != BLANK:
            break
        last = at
        at += size
    return at if at == end or last == begun else last


@numba.njit(cache=True, nogil=True)
def gpt2_piece(text: np.ndarray, at: int, end: int, kind: np.ndarray) -> int:
    """Behind the piece that begins here, by GPT-2's pattern."""
    if text[at] == QUOTE:
        behind = _contraction(text, at, end, False)
        if behind > at:
            return behind
    point, size = decode(text, at)
    if point == SPACE and at + 1 < end:
        following, more = decode(text, at + 1)
        if kind[following] != BLANK:
            return _run(text, at + 1 + more, end, kind, kind[following], end)
    if kind[point] != BLANK:
        return _run(text, at + size, end, kind, kind[point], end)
    return _blanks(text, at, end, kind)


@numba.njit(cache=True, nogil=True)
def gpt4_piece(text: np.ndarray, at: int, end: int, kind: np.ndarray, digits: int) -> int:
    """Behind the piece that begins here, by GPT-4's pattern with so many digits at most."""
    if text[at] == QUOTE:
        behind = _contraction(text, at, end, True)
        if behind > at:
            return behind
    point, size = decode(text, at)
    here = kind[point]
    if here == LETTER:
        return _run(text, at + size, end, kind, LETTER, end)
    if here == DIGIT:
        return _run(text, at + size, end, kind, DIGIT, digits - 1)
    following = more = 0
    if at + size < end:
        following, more = decode(text, at + size)
        if kind[following] == LETTER and point != LINE_FEED and point != RETURN:
            return _run(text, at + size + more, end, kind, LETTER, end)
    if here == OTHER or (point == SPACE and more and kind[following] == OTHER):
        behind = _run(text, at + size, end, kind, OTHER, end)
        while behind < end and (text[behind] == LINE_FEED or text[behind] == RETURN):
            behind += 1
        return behind
    behind, broken = at, at
    while behind < end:
        point, size = decode(text, behind)
        if kind[point] != BLANK:
            break
        behind += size
        if point == LINE_FEED or point == RETURN:
            broken = behind
    return broken if broken > at else _blanks(text, at, end, kind)


@numba.njit(cache=True, nogil=True)
def odd_texts(text: np.ndarray, offsets: np.ndarray, kind: np.ndarray, marks: int) -> np.ndarray:
    """[texts] uint8: 1 where a text has a character of kind UNKNOWN, plus 2 where one is at or past a mark.

    Args:
        text: [bytes] uint8; offsets: [texts + 1] int64.
        kind: [code points].
        marks: the first code point that normalisation may change.
    """
    found = np.zeros(len(offsets) - 1, np.uint8)
    for i in range(len(offsets) - 1):
        at, end = offsets[i], offsets[i + 1]
        while at < end:
            if text[at] < 0x80:
                at += 1
                continue
            point, size = decode(text, at)
            if kind[point] == UNKNOWN:
                found[i] |= 1
            if point >= marks:
                found[i] |= 2
            at += size
    return found
