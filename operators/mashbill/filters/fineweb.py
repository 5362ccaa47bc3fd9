"""FineWeb's extra rules, in compiled code.

Source: Penedo et al. 2024 (arXiv 2406.17557), section 3.6, with datatrove's thresholds and its two further
rules.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from mashbill.config.filters import FineWebFilter
from mashbill.filters.characters import SPACE, TERMINAL, WIDE, character_table
from mashbill.filters.filter import Filter, Verdict
from mashbill.filters.hashes import find_slot, hash_points, table_mask
from mashbill.filters.sentences import ends_otherwise
from mashbill.filters.words import decode, split_words
from mashbill.kernels import numba
from mashbill.partitions import buffers

REASONS = (
    "kept",
    "fineweb_too_large",
    "fineweb_empty",
    "fineweb_few_lines_end_in_punctuation",
    "fineweb_short_lines",
    "fineweb_duplicate_line_characters",
    "fineweb_list",
)
(
    KEPT,
    TOO_LARGE,
    EMPTY,
    FEW_LINES_END_IN_PUNCTUATION,
    SHORT_LINES,
    DUPLICATE_LINE_CHARACTERS,
    LIST,
) = range(len(REASONS))
MAX_DOCUMENT_BYTES = 4_000_000
NEWLINE = ord("\n")


class Limits(NamedTuple):
    """Thresholds of the rules, as the kernel takes them."""

    min_lines_ending_in_punctuation: float
    max_short_lines: float
    short_line_characters: float
    max_duplicate_line_characters: float
    max_line_breaks_per_word: float


class FineWeb(Filter):
    """FineWeb's extra rules."""

    name, reasons = "fineweb", REASONS

    def __init__(self, settings: FineWebFilter) -> None:
        self.limits = Limits(*(float(getattr(settings, limit)) for limit in Limits._fields))

    def __call__(self, texts: pa.Array, metadata: pa.Array) -> Verdict:
        """Decide on documents."""
        del metadata
        codes = np.zeros(len(texts), np.uint8)
        fineweb_quality(*buffers(texts), character_table(), self.limits, codes)
        return Verdict(codes, None, {})


@numba.njit(cache=True, nogil=True)
def fineweb_quality(
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
    slots = np.int64(table_mask(longest // 2 + 2)) + 1
    keys, stamps = np.empty(slots, np.uint64), np.zeros(slots, np.int32)
    for i in range(len(codes)):
        if offsets[i + 1] - offsets[i] > MAX_DOCUMENT_BYTES:
            codes[i] = TOO_LARGE
            continue
        size = decode(text, offsets[i], offsets[i + 1], table, points, bits)
        codes[i], breaks = _judge_lines(points, bits, size, limits, keys, stamps, i + 1)
        if codes[i] == KEPT:
            words = split_words(points, bits, 0, size, starts, ends)
            codes[i] = LIST if breaks / max(words, 1) > limits.max_line_breaks_per_word else KEPT


@numba.njit(cache=True, nogil=True)
def _judge_lines(
    points: np.ndarray,
    bits: np.ndarray,
    size: int,
    limits: Limits,
    keys: np.ndarray,
    stamps: np.ndarray,
    stamp: int,
) -> tuple[int, int]:
    """The code of the line rules, and the number of line breaks."""
    mask = table_mask(size // 2 + 2)
    lines, ended, short, repeated, breaks, start = 0, 0, 0, 0, 0, 0
    for at in range(size + 1):
        if at < size and points[at] != NEWLINE:
            continue
        breaks += at < size
        blank = True
        for place in range(start, at):
            if not bits[place] & SPACE:
                blank = False
                break
        if not blank:
            lines += 1
            ended += (bits[at - 1] & TERMINAL) != 0 or ends_otherwise(points, bits, start, at)
            short += _columns(bits, start, at) <= limits.short_line_characters
            key = hash_points(points, start, at)
            slot = find_slot(keys, stamps, stamp, mask, key)
            if stamps[slot] == stamp:
                repeated += at - start
            keys[slot], stamps[slot] = key, stamp
        start = at + 1
    if lines == 0:
        return EMPTY, breaks
    if ended / lines < limits.min_lines_ending_in_punctuation:
        return FEW_LINES_END_IN_PUNCTUATION, breaks
    if short / lines > limits.max_short_lines:
        return SHORT_LINES, breaks
    if repeated / max(size - breaks, 1) > limits.max_duplicate_line_characters:
        return DUPLICATE_LINE_CHARACTERS, breaks
    return KEPT, breaks


@numba.njit(cache=True, nogil=True)
def _columns(bits: np.ndarray, start: int, end: int) -> int:
    """Length of a line in columns: a wide character, which says more than a letter, takes two."""
    columns = end - start
    for at in range(start, end):
        columns += (bits[at] & WIDE) != 0
    return columns
