"""Gopher's repetition rules, in compiled code.

Source: Rae et al. 2021 (arXiv 2112.11446), table A1. Shares are of the document's characters. Equal hashes of
64 bits are taken for equal text. A document in which no run of five words recurs has none of six to ten, so
most documents need four passes.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from mashbill.config.filters import GopherRepetitionFilter
from mashbill.filters.characters import ALONE, SPACE, character_table
from mashbill.filters.filter import Filter, Verdict
from mashbill.filters.hashes import combine, find_slot, hash_points, table_mask
from mashbill.filters.words import decode, split_words
from mashbill.kernels import numba
from mashbill.partitions import buffers

TOP_GRAMS, DUPLICATE_GRAMS = (2, 3, 4), (5, 6, 7, 8, 9, 10)  # words of a run
REASONS = (
    "kept",
    "gopher_too_large",
    "gopher_duplicate_paragraphs",
    "gopher_duplicate_paragraph_characters",
    "gopher_duplicate_lines",
    "gopher_duplicate_line_characters",
    *(f"gopher_top_{n}_gram" for n in TOP_GRAMS),
    *(f"gopher_duplicate_{n}_grams" for n in DUPLICATE_GRAMS),
)
(
    KEPT,
    TOO_LARGE,
    DUPLICATE_PARAGRAPHS,
    DUPLICATE_PARAGRAPH_CHARACTERS,
    DUPLICATE_LINES,
    DUPLICATE_LINE_CHARACTERS,
    FIRST_TOP_GRAM,
) = range(7)
FIRST_DUPLICATE_GRAM = FIRST_TOP_GRAM + len(TOP_GRAMS)
FACTOR, FEWEST_ALONE = 2, 50  # for fewer characters than Gopher's least words it is no page
MAX_DOCUMENT_BYTES = 4_000_000
NEWLINE = ord("\n")


class Limits(NamedTuple):
    """Thresholds of the rules, as the kernel takes them; infinity turns a rule off."""

    max_duplicate_paragraphs: float
    max_duplicate_paragraph_characters: float
    max_duplicate_lines: float
    max_duplicate_line_characters: float
    max_top_ngrams: tuple[float, ...]
    max_duplicate_ngrams: tuple[float, ...]


class GopherRepetition(Filter):
    """Gopher's repetition rules."""

    name, reasons = "gopher_repetition", REASONS

    def __init__(self, settings: GopherRepetitionFilter) -> None:
        self.limits = Limits(*(getattr(settings, limit) for limit in Limits._fields))

    def __call__(self, texts: pa.Array, metadata: pa.Array) -> Verdict:
        """Decide on documents."""
        del metadata
        codes = np.zeros(len(texts), np.uint8)
        gopher_repetition(*buffers(texts), character_table(), self.limits, codes)
        return Verdict(codes, None, {})


@numba.njit(cache=True, nogil=True)
def gopher_repetition(
    text: np.ndarray, offsets: np.ndarray, table: np.ndarray, limits: Limits, codes: np.ndarray
) -> None:
    """Decide on every document.

    Args:
        text: [bytes] uint8 of all documents; offsets: [documents + 1] int64.
        table: [code points] bits.
        limits: of the rules.
        codes: [documents] uint8, written: index into REASONS.
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
            factor = _run_factor(bits, starts, words)
            code = _judge_runs(
                hashes, starts, ends, words, size, limits, keys, stamps, counts, stamp + 2, factor
            )
        codes[i] = code
        stamp += 3 + FACTOR * DUPLICATE_GRAMS[-1]


@numba.njit(cache=True, nogil=True)
def _run_factor(bits: np.ndarray, starts: np.ndarray, words: int) -> int:
    """How many times the papers' words a run has: in a page of a script without blanks twice as many, as a
    word of it has about two of the characters that are words here."""
    alone = 0
    for word in range(words):
        alone += (bits[starts[word]] & ALONE) != 0
    return FACTOR if alone >= FEWEST_ALONE and 2 * alone > words else 1


@numba.njit(cache=True, nogil=True)
def _judge_pieces(
    points: np.ndarray,
    bits: np.ndarray,
    size: int,
    limits: Limits,
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
    if repeated / max(pieces, 1) > limits.max_duplicate_paragraphs:
        return DUPLICATE_PARAGRAPHS
    if characters / max(size, 1) > limits.max_duplicate_paragraph_characters:
        return DUPLICATE_PARAGRAPH_CHARACTERS
    pieces, repeated, characters = _duplicate_pieces(points, 0, size, 1, keys, stamps, stamp + 2)
    if repeated / max(pieces, 1) > limits.max_duplicate_lines:
        return DUPLICATE_LINES
    if characters / max(size, 1) > limits.max_duplicate_line_characters:
        return DUPLICATE_LINE_CHARACTERS
    return KEPT


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
    limits: Limits,
    keys: np.ndarray,
    stamps: np.ndarray,
    counts: np.ndarray,
    stamp: int,
    factor: int,
) -> int:
    mask = table_mask(words + 1)
    for i, of_words in enumerate(TOP_GRAMS):
        n = of_words * factor
        if words >= n:
            characters = _top_run(hashes, starts, ends, words, n, keys, stamps, counts, stamp + n, mask)
            if characters / size > limits.max_top_ngrams[i]:
                return FIRST_TOP_GRAM + i
    for i, of_words in enumerate(DUPLICATE_GRAMS):
        n = of_words * factor
        characters = _duplicate_runs(hashes, starts, ends, words, n, keys, stamps, stamp + n, mask)
        if characters == 0:
            return KEPT
        if characters / size > limits.max_duplicate_ngrams[i]:
            return FIRST_DUPLICATE_GRAM + i
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
