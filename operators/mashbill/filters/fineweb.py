"""FineWeb's extra rules, in compiled code.

Source: Penedo et al. 2024 (arXiv 2406.17557), section 3.6, with datatrove's thresholds and its two further
rules.
"""

import numba
import numpy as np

from mashbill.filters.characters import SPACE, TERMINAL
from mashbill.filters.hashes import find_slot, hash_points, table_mask
from mashbill.filters.words import decode, split_words

FINEWEB_REASONS = (
    "kept",
    "fineweb_too_large",
    "fineweb_empty",
    "fineweb_few_lines_end_in_punctuation",
    "fineweb_short_lines",
    "fineweb_duplicate_line_characters",
    "fineweb_list",
)
KEPT, TOO_LARGE = 0, 1
MAX_DOCUMENT_BYTES = 4_000_000
NEWLINE = ord("\n")


@numba.njit(cache=True, nogil=True)
def fineweb_quality(
    text: np.ndarray, offsets: np.ndarray, table: np.ndarray, limits: np.ndarray, codes: np.ndarray
) -> None:
    """Decide on every document.

    Args:
        text: [bytes] uint8 of all documents; offsets: [documents + 1] int64.
        table: [code points] bits.
        limits: [5] least share of lines that end in punctuation, most short lines, characters of a short
            line, most characters in repeated lines, most line breaks a word.
        codes: [documents] uint8, written: index into FINEWEB_REASONS.
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
            codes[i] = 6 if breaks / max(words, 1) > limits[4] else KEPT


@numba.njit(cache=True, nogil=True)
def _judge_lines(
    points: np.ndarray,
    bits: np.ndarray,
    size: int,
    limits: np.ndarray,
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
            ended += (bits[at - 1] & TERMINAL) != 0
            short += at - start <= limits[2]
            key = hash_points(points, start, at)
            slot = find_slot(keys, stamps, stamp, mask, key)
            if stamps[slot] == stamp:
                repeated += at - start
            keys[slot], stamps[slot] = key, stamp
        start = at + 1
    if lines == 0:
        return 2, breaks
    if ended / lines < limits[0]:
        return 3, breaks
    if short / lines > limits[1]:
        return 4, breaks
    return (5 if repeated / max(size - breaks, 1) > limits[3] else KEPT), breaks
