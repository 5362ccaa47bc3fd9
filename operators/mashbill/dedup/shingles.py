"""MinHash signatures in compiled code: one pass over the bytes of a text, without making its words or
shingles.

A word is what stands between blanks, its case and punctuation dropped; in scripts written without blanks
(``documents/scripts.py``) each character is a word, with the marks on it. A shingle is a run of words, hashed
by a rolling polynomial. Each permutation is ``a * x + b`` modulo 2^32 with an odd ``a``, and the signature
holds its least value over the shingles (Broder 1997).
"""

import sys
import unicodedata

import numpy as np

from mashbill.documents.scripts import IDEOGRAPHS, stands_alone
from mashbill.kernels import numba

OFFSET, PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)  # FNV-1a
BASE, MIX, SHIFT = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(32)
ROW_MIX, ROW_SHIFT = np.uint64(0x94D049BB133111EB), np.uint64(29)
DROPPED, BLANK, MARK, LETTER, ALONE = range(5)
ACCENTS = range(0x300, 0x370)


def character_kinds() -> np.ndarray:
    """[code points] what a character is: dropped, a blank, part of a word or a word by itself; a mark is part
    of whatever it follows."""
    kinds = np.full(sys.maxunicode + 1, LETTER, np.uint8)
    kinds[: len(ASCII)] = ASCII
    for point in range(len(ASCII), IDEOGRAPHS.start):
        kinds[point] = _kind(chr(point))
    kinds[IDEOGRAPHS.start : IDEOGRAPHS.stop] = ALONE
    return kinds


def _kind(character: str) -> int:
    """What a character beyond ASCII is; accents on Latin, Greek and Cyrillic letters are dropped."""
    category, point = unicodedata.category(character), ord(character)
    if character.isspace():
        return BLANK
    if category[0] in "PC" or point in ACCENTS or (point < 0xC0 and category[0] != "L"):
        return DROPPED
    if category[0] == "M":
        return MARK
    return ALONE if stands_alone(character) else LETTER


ASCII = [LETTER if chr(c).isalnum() else BLANK if chr(c).isspace() or c == 0 else DROPPED for c in range(128)]
KINDS = character_kinds()


def permutations(count: int) -> np.ndarray:
    """[2, count] uint32: an odd factor and a summand of each permutation, always the same."""
    drawn = np.random.default_rng(1).integers(0, 2**32, (2, count), dtype=np.uint32)
    drawn[0] |= np.uint32(1)
    return drawn


@numba.njit(inline="always")
def _code_point(text: np.ndarray, at: int, width: int) -> np.int64:
    """The code point of so many bytes."""
    lead = np.int64(text[at])
    if width == 1:
        return lead
    second = np.int64(text[at + 1]) & 0x3F
    if width == 2:
        return (lead & 0x1F) << 6 | second
    third = np.int64(text[at + 2]) & 0x3F
    if width == 3:
        return (lead & 0x0F) << 12 | second << 6 | third
    return (lead & 0x07) << 18 | second << 12 | third << 6 | (np.int64(text[at + 3]) & 0x3F)


@numba.njit(cache=True, nogil=True)
def unchanged(text: np.ndarray, offsets: np.ndarray, changing: np.ndarray, out: np.ndarray) -> None:
    """Which documents have none of some characters.

    Args:
        text: [bytes] uint8 of all documents; offsets: [documents + 1] int64.
        changing: [code points] whether a character is one of them; none of ASCII is.
        out: [documents] bool, written.
    """
    for i in range(len(out)):
        at, end = offsets[i], offsets[i + 1]
        out[i] = True
        while at < end:
            byte = text[at]
            if byte < 0x80:
                at += 1
                continue
            width = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            if changing[_code_point(text, at, width)]:
                out[i] = False
                break
            at += width


@numba.njit(cache=True, nogil=True)
def word_hashes(text: np.ndarray, at: int, end: int, kinds: np.ndarray, out: np.ndarray) -> int:
    """Hash of each word of a document (FNV-1a).

    Args:
        text: [bytes] uint8, of which the document is those from ``at`` to ``end``.
        kinds: [code points] from ``character_kinds``.
        out: [at least half the bytes, rounded up] uint64, written.
    Returns:
        Number of words.
    """
    words, word, inside, alone = 0, OFFSET, False, False
    while at < end:
        byte = text[at]
        if byte < 0x80 and not alone:  # most of most texts
            kind = kinds[byte]
            if kind == LETTER:
                word = (word ^ np.uint64(byte | 0x20 if 65 <= byte <= 90 else byte)) * PRIME
                inside = True
            elif kind == BLANK and inside:
                out[words] = word
                words += 1
                word, inside = OFFSET, False
            at += 1
            continue
        width = 1 if byte < 0xC0 else 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
        kind = kinds[_code_point(text, at, width)]
        if inside and (kind in (BLANK, ALONE) or (alone and kind == LETTER)):
            out[words] = word
            words += 1
            word, inside = OFFSET, False
        if kind >= LETTER or (inside and kind == MARK):
            inside, alone = True, kind == ALONE or (alone and kind == MARK)
            for k in range(at, at + width):
                word = (word ^ np.uint64(text[k] | 0x20 if 65 <= text[k] <= 90 else text[k])) * PRIME
        at += width
    if inside:
        out[words] = word
        words += 1
    return words


@numba.njit(cache=True, nogil=True)
def least_values(words: np.ndarray, ngram: int, chosen: np.ndarray, least: np.ndarray) -> None:
    """Least value of each permutation over the shingles of a document.

    Args:
        words: [words] uint64, at least one.
        ngram: words in a shingle; fewer words are one shingle.
        chosen: [2, permutations] from ``permutations``.
        least: [permutations] uint32, written.
    """
    factors, summands = chosen[0], chosen[1]
    least[:] = np.uint32(0xFFFFFFFF)
    first = min(ngram, len(words))
    rolling, oldest = np.uint64(0), np.uint64(1)
    for i in range(first):
        rolling = rolling * BASE + words[i]
        oldest *= BASE
    for i in range(first, len(words) + 1):
        mixed = (rolling ^ (rolling >> SHIFT)) * MIX
        shingle = np.uint32(mixed >> SHIFT)
        for k in range(len(least)):
            value = np.uint32(np.uint32(factors[k] * shingle) + summands[k])
            least[k] = min(value, least[k])
        if i < len(words):
            rolling = rolling * BASE + words[i] - words[i - ngram] * oldest


@numba.njit(cache=True, nogil=True)
def signatures(
    text: np.ndarray,
    offsets: np.ndarray,
    kinds: np.ndarray,
    chosen: np.ndarray,
    ngram: int,
    bands: int,
    out: np.ndarray,
) -> None:
    """Hash of each band of each document's MinHash signature.

    Args:
        text: [bytes] uint8 of all documents, lower case and decomposed (NFD) beyond ASCII; offsets:
            [documents + 1] int64.
        kinds: [code points] from ``character_kinds``; chosen: [2, bands * rows] from ``permutations``.
        ngram: words in a shingle; bands: how many.
        out: [documents, bands] uint64, written; 0 where a text has no word.
    """
    longest = 0
    for i in range(len(out)):
        longest = max(longest, offsets[i + 1] - offsets[i])
    words, least = np.empty(longest // 2 + 1, np.uint64), np.empty(chosen.shape[1], np.uint32)
    rows = len(least) // bands
    for i in range(len(out)):
        found = word_hashes(text, offsets[i], offsets[i + 1], kinds, words)
        out[i] = np.uint64(0)
        if found == 0:
            continue
        least_values(words[:found], ngram, chosen, least)
        for band in range(bands):
            mixed = np.uint64(0)
            for value in least[band * rows : (band + 1) * rows]:
                mixed = (mixed ^ np.uint64(value)) * ROW_MIX
                mixed ^= mixed >> ROW_SHIFT
            out[i, band] = max(mixed, np.uint64(1))
