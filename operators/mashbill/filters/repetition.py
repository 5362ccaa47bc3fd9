"""Gopher's repetition rules, in compiled code.

Source: Rae et al. 2021 (arXiv 2112.11446), table A1. Shares are of the document's characters. Equal hashes of
64 bits are taken for equal text. A document in which no run of five words recurs has none of six to ten, so
most documents need four passes.
"""

import numba
import numpy as np

from mashbill.filters.characters import SPACE
from mashbill.filters.hashes import combine, find_slot, hash_points, table_mask
from mashbill.filters.words import decode, split_words

REPETITION_REASONS = (
    "kept",
    "gopher_too_large",
    "gopher_duplicate_paragraphs",
    "gopher_duplicate_paragraph_characters",
    "gopher_duplicate_lines",
    "gopher_duplicate_line_characters",
    *(f"gopher_top_{n}_gram" for n in (2, 3, 4)),
    *(f"gopher_duplicate_{n}_grams" for n in (5, 6, 7, 8, 9, 10)),
)
KEPT, TOO_LARGE, FIRST_TOP, FIRST_DUPLICATE = 0, 1, 6, 9
MAX_DOCUMENT_BYTES = 4_000_000
NEWLINE = ord("\n")


@numba.njit(cache=True, nogil=True)
def gopher_repetition(
    text: np.ndarray, offsets: np.ndarray, table: np.ndarray, limits: np.ndarray, codes: np.ndarray
) -> None:
    """Decide on every document.

    Args:
        text: [bytes] uint8 of all documents; offsets: [documents + 1] int64.
        table: [code points] bits.
        limits: [13] most duplicate paragraphs, their characters, duplicate lines, their characters, top 2- to
            4-gram, duplicate 5- to 10-grams; infinity turns a rule off.
        codes: [documents] uint8, written: index into REPETITION_REASONS.
    """
    longest = 0
    for i in range(len(codes)):
        longest = max(longest, min(offsets[i + 1] - offsets[i], MAX_DOCUMENT_BYTES))
    points, bits = np.empty(longest + 1, np.int32), np.empty(longest + 1, np.uint16)
    starts, ends = np.empty(longest + 1, np.int32), np.empty(longest + 1, np.int32)
    hashes = np.empty(longest + 1, np.uint64)
    slots = np.int64(table_mask(longest + 1)) + 1
    keys, stamps, counts = np.empty(slots, np.uint64), np.zeros(slots, np.int32), np.empty(slots, np.int32)
    stamp = 0
    for i in range(len(codes)):
        if offsets[i + 1] - offsets[i] > MAX_DOCUMENT_BYTES:
            codes[i] = TOO_LARGE
            continue
        size = decode(text, offsets[i], offsets[i + 1], table, points, bits)
        code = _judge_pieces(points, bits, size, limits, keys, stamps, stamp)
        if code == KEPT:
            words = split_words(points, bits, 0, size, starts, ends)
            for word in range(words):
                hashes[word] = hash_points(points, starts[word], ends[word])
            code = _judge_runs(hashes, starts, ends, words, size, limits, keys, stamps, counts, stamp + 2)
        codes[i] = code
        stamp += 16


@numba.njit(cache=True, nogil=True)
def _judge_pieces(
    points: np.ndarray,
    bits: np.ndarray,
    size: int,
    limits: np.ndarray,
    keys: np.ndarray,
    stamps: np.ndarray,
    stamp: int,
) -> int:
    first, last = 0, size
    while first < last and bits[first] & SPACE:
        first += 1
    while last > first and bits[last - 1] & SPACE:
        last -= 1
    pieces, repeated, characters = _duplicate_pieces(points, first, last, 2, keys, stamps, stamp + 1)
    if repeated / max(pieces, 1) > limits[0]:
        return 2
    if characters / max(size, 1) > limits[1]:
        return 3
    pieces, repeated, characters = _duplicate_pieces(points, 0, size, 1, keys, stamps, stamp + 2)
    if repeated / max(pieces, 1) > limits[2]:
        return 4
    return 5 if characters / max(size, 1) > limits[3] else KEPT


@numba.njit(cache=True, nogil=True)
def _duplicate_pieces(
    points: np.ndarray, begin: int, end: int, newlines: int, keys: np.ndarray, stamps: np.ndarray, stamp: int
) -> tuple[int, int, int]:
    """Pieces between runs of at least so many newlines, those seen before, and their characters."""
    mask = table_mask((end - begin) // 2 + 2)
    pieces, repeated, characters, start, at = 0, 0, 0, begin, begin
    while at <= end:
        run = 0
        while at + run < end and points[at + run] == NEWLINE:
            run += 1
        if at < end and run < newlines:
            at += max(run, 1)
            continue
        key = hash_points(points, start, at)
        slot = find_slot(keys, stamps, stamp, mask, key)
        pieces += 1
        if stamps[slot] == stamp:
            repeated += 1
            characters += at - start
        keys[slot], stamps[slot] = key, stamp
        if at >= end:
            break
        at += run
        start = at
    return pieces, repeated, characters


@numba.njit(cache=True, nogil=True)
def _judge_runs(
    hashes: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    words: int,
    size: int,
    limits: np.ndarray,
    keys: np.ndarray,
    stamps: np.ndarray,
    counts: np.ndarray,
    stamp: int,
) -> int:
    mask = table_mask(words + 1)
    for n in range(2, 5):
        if words >= n:
            characters = _top_run(hashes, starts, ends, words, n, keys, stamps, counts, stamp + n, mask)
            if characters / size > limits[n + 2]:
                return FIRST_TOP + n - 2
    for n in range(5, 11):
        characters = _duplicate_runs(hashes, starts, ends, words, n, keys, stamps, stamp + n, mask)
        if characters == 0:
            return KEPT
        if characters / size > limits[n + 2]:
            return FIRST_DUPLICATE + n - 5
    return KEPT


@numba.njit(cache=True, nogil=True)
def _top_run(
    hashes: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    words: int,
    n: int,
    keys: np.ndarray,
    stamps: np.ndarray,
    counts: np.ndarray,
    stamp: int,
    mask: np.uint64,
) -> int:
    """Characters of the run of n words that occurs most, in all its places; among equals the first to
    occur."""
    most = 0
    for first in range(words - n + 1):
        key = hashes[first]
        for word in range(first + 1, first + n):
            key = combine(key, hashes[word])
        slot = find_slot(keys, stamps, stamp, mask, key)
        if stamps[slot] != stamp:
            keys[slot], stamps[slot], counts[slot] = key, stamp, 0
        counts[slot] += 1
        most = max(most, counts[slot])
    for first in range(words - n + 1):
        key = hashes[first]
        for word in range(first + 1, first + n):
            key = combine(key, hashes[word])
        if most == 1 or counts[find_slot(keys, stamps, stamp, mask, key)] == most:
            length = n - 1
            for word in range(first, first + n):
                length += ends[word] - starts[word]
            return length * most
    return 0


@numba.njit(cache=True, nogil=True)
def _duplicate_runs(
    hashes: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    words: int,
    n: int,
    keys: np.ndarray,
    stamps: np.ndarray,
    stamp: int,
    mask: np.uint64,
) -> int:
    """Characters of runs of n words that occurred before, none counted twice."""
    characters, first = 0, 0
    while first < words - n + 1:
        key = hashes[first]
        for word in range(first + 1, first + n):
            key = combine(key, hashes[word])
        slot = find_slot(keys, stamps, stamp, mask, key)
        if stamps[slot] == stamp:
            for word in range(first, first + n):
                characters += ends[word] - starts[word]
            first += n
        else:
            keys[slot], stamps[slot] = key, stamp
            first += 1
    return characters
