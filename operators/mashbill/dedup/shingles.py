"""MinHash signatures in compiled code: one pass over the bytes of a text, without making its words or
shingles.

A word is what stands between blanks, its case and punctuation dropped; in scripts written without blanks
(Han, kana, Thai) each character is a word. A shingle is a run of words, hashed by a rolling polynomial. Each
permutation is ``a * x + b`` modulo 2^32 with an odd ``a``, and the signature holds its least value over the
shingles (Broder 1997).
"""

import numba
import numpy as np

OFFSET, PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)  # FNV-1a
BASE, MIX, SHIFT = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(32)
ROW_MIX, ROW_SHIFT = np.uint64(0x94D049BB133111EB), np.uint64(29)
DROPPED, BLANK, LETTER, ALONE = 0, 1, 2, 3


def byte_kinds() -> np.ndarray:
    """[256] what an ASCII byte is: dropped, a blank or part of a word; lead bytes of other characters count
    as letters."""
    kinds = np.full(256, LETTER, np.uint8)
    kinds[:128] = [
        LETTER if chr(c).isalnum() else BLANK if chr(c).isspace() or c == 0 else DROPPED for c in range(128)
    ]
    return kinds


KINDS = byte_kinds()


def permutations(count: int) -> np.ndarray:
    """[2, count] uint32: an odd factor and a summand of each permutation, always the same."""
    drawn = np.random.default_rng(1).integers(0, 2**32, (2, count), dtype=np.uint32)
    drawn[0] |= np.uint32(1)
    return drawn


@numba.njit(inline="always")
def _kind_of_wide(text: np.ndarray, at: int, width: int) -> int:
    """What a character beyond ASCII is: combining marks and punctuation are dropped, blanks end words."""
    lead, second = text[at], text[at + 1]
    if width == 2:
        point = ((lead & 0x1F) << 6) | (second & 0x3F)
        if point in (0x85, 0xA0):
            return BLANK
        return (
            DROPPED
            if 0x300 <= point < 0x370 or (0xA1 <= point < 0xC0 and point not in (0xAA, 0xB5, 0xBA))
            else LETTER
        )
    if width == 4:
        return ALONE if lead == 0xF0 and 0xA0 <= second < 0xB2 else LETTER
    point = ((lead & 0x0F) << 12) | ((second & 0x3F) << 6) | (text[at + 2] & 0x3F)
    if 0x2000 <= point <= 0x200A or point in (0x2028, 0x2029, 0x202F, 0x3000):
        return BLANK
    if (
        0x200B <= point < 0x2070
        or 0x3001 <= point < 0x3004
        or 0x3008 <= point < 0x3020
        or 0xFF01 <= point <= 0xFF0F
    ):
        return DROPPED
    return ALONE if 0x3040 <= point < 0xA000 or 0xE00 <= point < 0xE80 else LETTER


@numba.njit(cache=True, nogil=True)
def word_hashes(text: np.ndarray, at: int, end: int, kinds: np.ndarray, out: np.ndarray) -> int:
    """Hash of each word of a document (FNV-1a).

    Args:
        text: [bytes] uint8, of which the document is those from ``at`` to ``end``.
        kinds: [256] from ``byte_kinds``.
        out: [at least half the bytes, rounded up] uint64, written.
    Returns:
        Number of words.
    """
    words, word, inside = 0, OFFSET, False
    while at < end:
        byte = text[at]
        width = 1 if byte < 0xC0 else 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
        kind = kinds[byte] if width == 1 else _kind_of_wide(text, at, width)
        if inside and kind in (BLANK, ALONE):
            out[words] = word
            words += 1
            word, inside = OFFSET, False
        if kind >= LETTER:
            inside = True
            for k in range(at, at + width):
                word = (word ^ np.uint64(text[k] | 0x20 if 65 <= text[k] <= 90 else text[k])) * PRIME
        at += width
        if kind == ALONE:
            out[words] = word
            words += 1
            word, inside = OFFSET, False
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
        kinds: [256] from ``byte_kinds``; chosen: [2, bands * rows] from ``permutations``.
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
