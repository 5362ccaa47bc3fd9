"""Runs of words, in compiled code: a hash of each run of n words of a text, and which of them an index has.

Words are runs of letters and digits, without case. In scripts without blanks a character is a word, and of a
text of such characters a run has twice as many.
"""

import sys
from functools import cache

import numpy as np

from mashbill.filters.characters import ALONE, ALPHA, DIGIT, MARK
from mashbill.filters.hashes import OFFSET, combine
from mashbill.filters.words import decode
from mashbill.kernels import numba

FACTOR = 2  # characters of a word, in scripts without blanks
BASE = np.uint64(0xBF58476D1CE4E5B9)


@cache
def lower_table() -> np.ndarray:
    """[code points] int32 the lower-case letter of every code point."""
    table = np.arange(sys.maxunicode + 1, dtype=np.int32)
    for point in range(0x20000):
        lower = chr(point).lower()
        if len(lower) == 1:
            table[point] = ord(lower)
    return table


@numba.njit(cache=True, nogil=True)
def _word_hashes(
    points: np.ndarray, bits: np.ndarray, size: int, lower: np.ndarray, words: np.ndarray
) -> tuple[int, int]:
    """Write the hash of each word; their number, and how many are single characters that stand alone."""
    count, alone, inside, after_alone, state = 0, 0, False, False, OFFSET
    for at in range(size):
        if inside and (bits[at] & ALONE or not bits[at] & (ALPHA | DIGIT | MARK)):
            words[count] = state
            count += 1
            inside = False
        if bits[at] & (ALPHA | DIGIT) or (inside and bits[at] & MARK):
            if inside and after_alone and not bits[at] & MARK:
                words[count] = state
                count += 1
                inside = False
            state = combine(state if inside else OFFSET, np.uint64(lower[points[at]]))
            if not bits[at] & MARK:
                after_alone = (bits[at] & ALONE) != 0
                alone += after_alone
            inside = True
    if inside:
        words[count] = state
        count += 1
    return count, alone


@numba.njit(cache=True, nogil=True)
def run_hashes(
    text: np.ndarray,
    offsets: np.ndarray,
    table: np.ndarray,
    lower: np.ndarray,
    fewest: int,
    lengths: np.ndarray,
    out: np.ndarray,
) -> int:
    """Write the hashes of all runs of n words, and mark in lengths [2 n + 1] the lengths there are; returns
    the number of runs."""
    ngram = (len(lengths) - 1) // FACTOR
    longest = 0
    for i in range(len(offsets) - 1):
        longest = max(longest, offsets[i + 1] - offsets[i])
    points, bits = np.empty(longest + 1, np.int32), np.empty(longest + 1, np.uint16)
    words, sums, powers = (
        np.empty(longest + 1, np.uint64),
        np.zeros(longest + 2, np.uint64),
        _powers(FACTOR * ngram),
    )
    count = 0
    for i in range(len(offsets) - 1):
        size = decode(text, offsets[i], offsets[i + 1], table, points, bits)
        number, alone = _word_hashes(points, bits, size, lower, words)
        factor = FACTOR if 2 * alone > number else 1
        length = min(factor * ngram, number)
        if length < factor * fewest:
            continue
        lengths[length] = True
        _add_up(words, number, sums)
        for first in range(number - length + 1):
            out[count] = _run(sums, first, length, powers)
            count += 1
    return count


@numba.njit(cache=True, nogil=True)
def _powers(longest: int) -> np.ndarray:
    powers = np.ones(longest + 1, np.uint64)
    for i in range(longest):
        powers[i + 1] = powers[i] * BASE
    return powers


@numba.njit(cache=True, nogil=True)
def _add_up(words: np.ndarray, number: int, sums: np.ndarray) -> None:
    """Write the polynomial hash of each beginning of a document, of which that of any run follows at once."""
    for i in range(number):
        sums[i + 1] = sums[i] * BASE + words[i]


@numba.njit(cache=True, nogil=True)
def _run(sums: np.ndarray, first: int, length: int, powers: np.ndarray) -> np.uint64:
    return combine(np.uint64(length), sums[first + length] - sums[first] * powers[length])


@numba.njit(cache=True, nogil=True)
def count_hits(
    text: np.ndarray,
    offsets: np.ndarray,
    table: np.ndarray,
    lower: np.ndarray,
    lengths: np.ndarray,
    hashes: np.ndarray,
    owners: np.ndarray,
    present: np.ndarray,
    out: np.ndarray,
) -> None:
    """Add to out [documents, sets] the runs that are in the index.

    Args:
        lengths: lengths of the runs in the index.
        hashes, owners: [runs] the index, sorted by hash.
        present: [a power of two] whether any hash ends in these bits: spares most searches.
    """
    mask = np.uint64(len(present) - 1)
    longest = 0
    for i in range(len(offsets) - 1):
        longest = max(longest, offsets[i + 1] - offsets[i])
    points, bits = np.empty(longest + 1, np.int32), np.empty(longest + 1, np.uint16)
    words, sums = np.empty(longest + 1, np.uint64), np.zeros(longest + 2, np.uint64)
    powers = _powers(lengths[-1] if len(lengths) else 0)
    for i in range(len(offsets) - 1):
        size = decode(text, offsets[i], offsets[i + 1], table, points, bits)
        number, _ = _word_hashes(points, bits, size, lower, words)
        _add_up(words, number, sums)
        for length in lengths:
            for first in range(number - length + 1):
                key = _run(sums, first, length, powers)
                if not present[np.int64(key & mask)]:
                    continue
                place = np.searchsorted(hashes, key)
                while place < len(hashes) and hashes[place] == key:
                    out[i, owners[place]] += 1
                    place += 1
