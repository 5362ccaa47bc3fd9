"""Where sentences end, in compiled code: in the end marks of every script, and in Thai and Lao in blanks."""

import numpy as np

from mashbill.filters.characters import CLOSER, PUNCTUATION, TERMINAL, UNENDED
from mashbill.filters.words import split_words
from mashbill.kernels import numba

LAST_ASCII = 0x7F
NOT_ENGLISH = tuple(ord(c) for c in "«»‹›“‘」』")  # as a quotation mark that closes


@numba.njit(cache=True, nogil=True)
def ends_otherwise(points: np.ndarray, bits: np.ndarray, first: int, last: int) -> bool:
    """Whether [first, last) ends as a sentence of another script or language than the papers' English does.

    That is in an end mark beyond ASCII, whatever closes after it; in a quotation mark that English has not,
    after an end mark; or in a letter of a script that has no end marks.
    """
    at = last - 1
    while at > first and bits[at] & CLOSER:
        at -= 1
    if at < first:
        return False
    if bits[at] & TERMINAL and points[at] > LAST_ASCII:
        return True
    if bits[at] & TERMINAL and at + 1 < last:
        for quote in NOT_ENGLISH:
            if points[at + 1] == quote:
                return True
    return bool(bits[at] & UNENDED)


@numba.njit(cache=True, nogil=True)
def count_sentences(
    points: np.ndarray, bits: np.ndarray, first: int, last: int, starts: np.ndarray, ends: np.ndarray
) -> int:
    """Sentences of a line: a word of one end mark closes one, and the next word that is no punctuation opens
    another. In a script without end marks a blank closes one."""
    words = split_words(points, bits, first, last, starts, ends)
    sentences, closed = 1 if words else 0, False
    for word in range(words):
        at = starts[word]
        if word and bits[at] & UNENDED and ends[word - 1] < at:
            closed |= (bits[ends[word - 1] - 1] & UNENDED) != 0
        single = ends[word] - at == 1
        if single and bits[at] & TERMINAL:
            closed = True
        elif closed and not _is_punctuation(bits, starts[word], ends[word]):
            sentences += 1
            closed = False
    return sentences


@numba.njit(cache=True, nogil=True)
def _is_punctuation(bits: np.ndarray, start: int, end: int) -> bool:
    for at in range(start, end):
        if not bits[at] & PUNCTUATION:
            return False
    return True
