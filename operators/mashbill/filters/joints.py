"""What joins words without a blank, in compiled code: signs between two words, clitics, and the signs of a
web address, which stays whole."""

import numpy as np

from mashbill.filters.characters import ALPHA, DIGIT, LOWER, PREFIX, UPPER
from mashbill.kernels import numba

DOT, HYPHEN, SLASH, COLON, COMMA, EQUALS, LESS, MORE = (ord(c) for c in ".-/:,=<>")
EN_DASH, EM_DASH, ELLIPSIS, TILDE, APOSTROPHE, QUOTE = (ord(c) for c in "–—…~'’")
PLUS, STAR, CARET = (ord(c) for c in "+*^")
LETTER_D, LETTER_E, LETTER_L, LETTER_M, LETTER_N, LETTER_R, LETTER_T, LETTER_V, LETTER_W = (
    ord(c) for c in "delmnrtvw"
)
ALNUM = ALPHA | DIGIT


@numba.njit(cache=True, nogil=True)
def infix(points: np.ndarray, bits: np.ndarray, at: int, stop: int) -> int:
    """Length of the joining sign at a place inside a word; 0 where there is none."""
    point, before = points[at], bits[at - 1]
    if point == ELLIPSIS:
        return 1
    if point == DOT:
        size = 1
        while at + size < stop and points[at + size] == DOT:
            size += 1
        if size > 1:
            return size
        return 1 if before & LOWER and bits[at + 1] & UPPER else 0
    if point == HYPHEN or point == EN_DASH or point == EM_DASH or point == TILDE:
        size = 1
        while at + size < stop and points[at + size] == point:
            size += 1
        if at + size >= stop:
            return 0
        if before & ALNUM and bits[at + size] & ALPHA:
            return size
        return (
            1 if size == 1 and point == HYPHEN and before & DIGIT and bits[at + 1] & (DIGIT | PREFIX) else 0
        )
    if point == SLASH or point == COLON or point == EQUALS or point == LESS or point == MORE:
        return 1 if before & ALNUM and bits[at + 1] & ALPHA else 0
    if point == COMMA:
        return 1 if before & ALPHA and bits[at + 1] & ALPHA else 0
    if point == PLUS or point == STAR or point == CARET:
        return 1 if before & DIGIT and bits[at + 1] & DIGIT else 0
    return 0


@numba.njit(cache=True, nogil=True)
def clitic_length(points: np.ndarray, bits: np.ndarray, start: int, stop: int) -> int:
    """Length of n't, 'm, 'd, 're, 've or 'll at the end."""
    length = stop - start
    if length < 3:
        return 0
    last, second = points[stop - 1] | 32, points[stop - 2] | 32
    mark = points[stop - 2]
    if mark == APOSTROPHE or mark == QUOTE:
        if last == LETTER_T and length > 3 and points[stop - 3] | 32 == LETTER_N:
            return 3
        return 2 if last == LETTER_M or last == LETTER_D else 0
    mark = points[stop - 3]
    if length > 3 and (mark == APOSTROPHE or mark == QUOTE):
        if last == LETTER_E and (second == LETTER_R or second == LETTER_V):
            return 3
        return 3 if last == LETTER_L and second == LETTER_L else 0
    return 0


@numba.njit(cache=True, nogil=True)
def is_address(points: np.ndarray, bits: np.ndarray, start: int, stop: int) -> bool:
    """Whether the word is a web address: scheme://, www., or name.tld/."""
    if (
        stop - start > 5
        and points[start] | 32 == LETTER_W
        and points[start + 1] | 32 == LETTER_W
        and points[start + 3] == DOT
    ):
        return True
    dotted = False
    for at in range(start + 1, stop - 1):
        if points[at] == COLON and at + 2 < stop and points[at + 1] == SLASH and points[at + 2] == SLASH:
            return True
        if points[at] == DOT and bits[at - 1] & ALNUM and bits[at + 1] & LOWER:
            dotted = True
        if points[at] == SLASH:
            return dotted and bits[at - 1] & LOWER != 0
    return False
