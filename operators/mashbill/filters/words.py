"""Words of a document, in compiled code: blanks separate, punctuation at the ends is split off, hyphens and
slashes split. In scripts without blanks a character is a word, with its marks (``documents/scripts.py``).

The rules are those of spaCy's English tokenizer, which datatrove's filters count with, without its list of
exceptions: on real text the filters decide alike for over 98% of documents (docs/benchmarks.md).
"""

import numpy as np

from mashbill.filters.characters import (
    ALONE,
    ALPHA,
    DIGIT,
    LOWER,
    MARK,
    PREFIX,
    SPACE,
    SUFFIX,
    UPPER,
    character_table,
)
from mashbill.filters.joints import clitic_length, infix, is_address
from mashbill.kernels import numba

DOT, HYPHEN, COLON, PERCENT, APOSTROPHE, QUOTE, CLOSING, PLUS, LETTER_S = (ord(c) for c in ".-:%'’)+s")
ALNUM, BOUND = ALPHA | DIGIT, SPACE | ALONE
ZERO_WIDTH_SPACE = 0x200B


@numba.njit(cache=True, nogil=True)
def decode(
    text: np.ndarray, start: int, end: int, table: np.ndarray, points: np.ndarray, bits: np.ndarray
) -> int:
    """Decode valid UTF-8.

    Args:
        text: [bytes] uint8, of which [start, end) is the document.
        table: [code points] bits.
        points, bits: [at least end - start] int32 and uint16, written.
    Returns:
        Number of code points.
    """
    count, at = 0, start
    while at < end:
        first = np.int32(text[at])
        if first < 0x80:
            point, size = first, 1
        elif first < 0xE0:
            point, size = ((first & 0x1F) << 6) | (np.int32(text[at + 1]) & 0x3F), 2
        elif first < 0xF0:
            point, size = (
                ((first & 0x0F) << 12)
                | ((np.int32(text[at + 1]) & 0x3F) << 6)
                | (np.int32(text[at + 2]) & 0x3F),
                3,
            )
        else:
            point = ((first & 0x07) << 18) | ((np.int32(text[at + 1]) & 0x3F) << 12)
            point |= ((np.int32(text[at + 2]) & 0x3F) << 6) | (np.int32(text[at + 3]) & 0x3F)
            size = 4
        points[count] = point
        bits[count] = table[point]
        count += 1
        at += size
    return count


@numba.njit(cache=True, nogil=True)
def split_words(
    points: np.ndarray, bits: np.ndarray, begin: int, end: int, starts: np.ndarray, ends: np.ndarray
) -> int:
    """Words of [begin, end), in order.

    Args:
        points, bits: [characters] as ``decode`` writes them.
        starts, ends: [at least end - begin] int32, written.
    Returns:
        Number of words.
    """
    count, at = 0, begin
    while at < end:
        if bits[at] & SPACE:
            at += 1
            continue
        stop = at
        if bits[at] & ALONE:
            stop += 1
            while stop < end and (bits[stop] & MARK or points[stop] == ZERO_WIDTH_SPACE):
                stop += 1
            starts[count], ends[count] = at, stop
            count += 1
            at = stop
            continue
        while stop < end and bits[stop] & ALNUM and not bits[stop] & ALONE:
            stop += 1
        if stop == end or bits[stop] & BOUND:  # letters and digits alone, as most are
            starts[count], ends[count] = at, stop
            count += 1
        elif (
            stop > at
            and (stop + 1 == end or bits[stop + 1] & BOUND)
            and (bits[stop] & SUFFIX or _full_stop(points, bits, at, stop))
        ):
            starts[count], ends[count] = at, stop
            starts[count + 1], ends[count + 1] = stop, stop + 1
            count += 2
            stop += 1
        else:
            while stop < end and not bits[stop] & BOUND:
                stop += 1
            count = _split_chunk(points, bits, at, stop, starts, ends, count)
        at = stop
    return count


def words_of(text: str) -> list[str]:
    """The words of a text, as the kernels see them."""
    points = np.array([ord(c) for c in text], np.int32)
    starts, ends = np.empty(len(points) + 1, np.int32), np.empty(len(points) + 1, np.int32)
    count = split_words(points, character_table()[points], 0, len(points), starts, ends)
    return [text[start:end] for start, end in zip(starts[:count], ends[:count], strict=True)]


@numba.njit(cache=True, nogil=True)
def _full_stop(points: np.ndarray, bits: np.ndarray, start: int, at: int) -> bool:
    """Whether the dot after plain letters or digits is a word of its own."""
    return bool(
        points[at] == DOT and (bits[at - 1] & (LOWER | DIGIT) or _caseless(bits[at - 1])) and at - start > 1
    )


@numba.njit(cache=True, nogil=True)
def _caseless(bits: int) -> bool:
    """Whether it is a letter of a script without capitals, or a mark on one."""
    return bool(bits & (ALPHA | MARK) and not bits & (LOWER | UPPER))


@numba.njit(cache=True, nogil=True)
def _split_chunk(
    points: np.ndarray,
    bits: np.ndarray,
    start: int,
    stop: int,
    starts: np.ndarray,
    ends: np.ndarray,
    count: int,
) -> int:
    """Prefixes, then the inside, then suffixes."""
    while start < stop:
        size = _prefix(points, bits, start, stop)
        if size == 0:
            break
        starts[count], ends[count] = start, start + size
        count += 1
        start += size
    inner = stop
    while inner > start:
        size = _suffix(points, bits, start, inner)
        if size == 0:
            break
        inner -= size
    count = _split_inside(points, bits, start, inner, starts, ends, count)
    at = inner
    while (
        at < stop
    ):  # suffixes again, front to back: runs of dots are one word, a clitic and a ): are one, others one each
        size = 2 if points[at] == CLOSING and at + 2 == stop and points[at + 1] == COLON else 1
        if points[at] == DOT:
            while at + size < stop and points[at + size] == DOT:
                size += 1
        elif (points[at] == APOSTROPHE or points[at] == QUOTE) and at + 1 < stop and bits[at + 1] & ALPHA:
            while at + size < stop and bits[at + size] & ALPHA:
                size += 1
        starts[count], ends[count] = at, at + size
        count += 1
        at += size
    return count


@numba.njit(cache=True, nogil=True)
def _prefix(points: np.ndarray, bits: np.ndarray, start: int, stop: int) -> int:
    if bits[start] & PREFIX:
        return 1
    if points[start] == DOT and start + 1 < stop and points[start + 1] == DOT:
        size = 2
        while start + size < stop and points[start + size] == DOT:
            size += 1
        return size
    if points[start] == PLUS and not (start + 1 < stop and bits[start + 1] & DIGIT):
        return 1
    return 0


@numba.njit(cache=True, nogil=True)
def _suffix(points: np.ndarray, bits: np.ndarray, start: int, stop: int) -> int:
    """Characters that are split off the end of [start, stop)."""
    last = stop - 1
    before = bits[last - 1] if last > start else np.uint16(0)
    if bits[last] & SUFFIX:
        return 1
    if points[last] == DOT and last > start:
        if points[last - 1] == DOT:
            size = 2
            while last - size >= start and points[last - size] == DOT:
                size += 1
            return size
        if last - 2 >= start and points[last - 2] == DOT and bits[last - 1] & ALPHA:
            return 0  # e.g., U.S.
        if before & (LOWER | DIGIT | SUFFIX) or _caseless(before):
            return 1
        if points[last - 1] == PERCENT or points[last - 1] == HYPHEN:
            return 1
        return 1 if last - 2 >= start and before & UPPER and bits[last - 2] & UPPER else 0
    if points[last] == PERCENT or points[last] == PLUS:
        return 1 if before & DIGIT else 0
    if (
        last - 1 > start
        and (points[last - 1] == APOSTROPHE or points[last - 1] == QUOTE)
        and points[last] | 32 == LETTER_S
    ):
        return 2
    return 0


@numba.njit(cache=True, nogil=True)
def _split_inside(
    points: np.ndarray,
    bits: np.ndarray,
    start: int,
    stop: int,
    starts: np.ndarray,
    ends: np.ndarray,
    count: int,
) -> int:
    """Split where two words are joined by a sign, and before a clitic; an address stays whole."""
    if start >= stop:
        return count
    word = start
    if not is_address(points, bits, start, stop):
        clitic = clitic_length(points, bits, start, stop)
        at = start + 1
        while at < stop - 1:
            size = infix(points, bits, at, stop)
            if size and at > word:
                starts[count], ends[count] = word, at
                starts[count + 1], ends[count + 1] = at, at + size
                count += 2
                at += size
                word = at
            else:
                at += 1
        if clitic and stop - clitic > word:
            starts[count], ends[count] = word, stop - clitic
            count += 1
            word = stop - clitic
    if word < stop:
        starts[count], ends[count] = word, stop
        count += 1
    return count
