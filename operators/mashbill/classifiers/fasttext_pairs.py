"""The commonest model made fastest: two labels, no subwords, words and at most bigrams, as PreSelect's and
DCLM's are.

The dictionary is one table from a word's 64-bit fingerprint to its scalar, so that a word costs one look
instead of a comparison of its bytes (a word outside the dictionary is taken for one in it with a chance of
about one in 10^13 words).
"""

import numpy as np

from mashbill.classifiers.fasttext_kernels import FNV_OFFSET, FNV_PRIME, NGRAM_PRIME
from mashbill.kernels import numba as nb

SEED, PRIME = np.uint64(0x2545F4914F6CDD1D), np.uint64(0x9E3779B97F4A7C15)
FNV_SEED, FNV_STEP = np.uint32(FNV_OFFSET), np.uint32(FNV_PRIME)
NGRAM_STEP = np.uint64(NGRAM_PRIME)
SPREAD = np.uint64(32)
AHEAD = 256  # words


@nb.njit(inline="always")
def _is_space(byte):
    return byte == 32 or (9 <= byte <= 13) or byte == 0


@nb.njit(nogil=True, cache=True)
def fill_table(words, offsets, scalars, fingerprints, values):
    """Put each word's scalar under its fingerprint.

    Args:
        words: [bytes] uint8; offsets: [words + 1] int64; scalars: [words] float64, NaN for labels.
        fingerprints: [slots] uint64 zeros, a power of two, written; values: [slots] float64, written.
    """
    mask = np.uint64(len(fingerprints) - 1)
    for row in range(len(offsets) - 1):
        mark = SEED
        for place in range(offsets[row], offsets[row + 1]):
            mark = (mark ^ np.uint64(words[place])) * PRIME
        mark |= np.uint64(1)
        slot = (mark >> SPREAD) & mask
        while fingerprints[np.int64(slot)] != 0:
            slot = (slot + np.uint64(1)) & mask
        fingerprints[np.int64(slot)], values[np.int64(slot)] = mark, scalars[row]


@nb.njit(inline="always")
def _find(mark, fingerprints):
    """The slot of a word, or the free one where it would be."""
    mask = np.uint64(len(fingerprints) - 1)
    slot = (mark >> SPREAD) & mask
    while fingerprints[np.int64(slot)] != 0 and fingerprints[np.int64(slot)] != mark:
        slot = (slot + np.uint64(1)) & mask
    return np.int64(slot)


@nb.njit(inline="always")
def _begins_with(text, start, end, prefix):
    same = end - start >= len(prefix)
    for i in range(len(prefix)):
        same = same and text[start + i] == prefix[i]
    return same


@nb.njit(nogil=True, cache=True)
def score_pairs(text, documents, fingerprints, values, buckets, prefix, starts, end_value, bigrams, out):
    """Mean scalar of each document's rows.

    Some hundred words are hashed before any is looked up: the looks then do not wait for one another.

    Args:
        text: [bytes] uint8; documents: [documents + 1] int64 offsets into it.
        fingerprints, values: as ``fill_table`` wrote them.
        buckets: [buckets] float32 scalars of hashed bigrams.
        prefix: bytes of the label prefix.
        starts: [256] whether a label, or the prefix, begins with a byte.
        end_value: scalar of ``</s>``; NaN where the model has none.
        bigrams: whether the model has bigrams.
        out: [documents] float64, NaN for a document without a row.
    """
    size = np.uint64(len(buckets))
    marks, rows = np.empty(AHEAD, np.uint64), np.empty(AHEAD + 1, np.int64)
    end_state = FNV_SEED
    for byte in (60, 47, 115, 62):
        end_state = (end_state ^ np.uint32(byte)) * FNV_STEP
    for document in range(len(documents) - 1):
        place, stop = documents[document], documents[document + 1]
        total, count, before, has_before, ended = 0.0, 0, np.uint64(0), False, False
        while not ended:
            words, pairs = 0, 0
            while words < AHEAD and not ended:
                while place < stop and _is_space(text[place]):
                    place += 1
                start = place
                state, mark = FNV_SEED, SEED
                while place < stop and not _is_space(text[place]):
                    byte = text[place]
                    state = (state ^ np.uint32(np.int32(np.int8(byte)))) * FNV_STEP
                    mark = (mark ^ np.uint64(byte)) * PRIME
                    place += 1
                mark |= np.uint64(1)
                if place == start:
                    ended, state = True, end_state
                elif (
                    place - start == 4 and state == end_state and text[start] == 60 and text[start + 3] == 62
                ):
                    ended = text[start + 1] == 47 and text[start + 2] == 115
                if not ended:
                    if starts[text[start]]:
                        slot = _find(mark, fingerprints)
                        if fingerprints[slot] != 0:
                            if np.isnan(values[slot]):
                                continue
                        elif _begins_with(text, start, place, prefix):
                            continue
                    marks[words] = mark
                    words += 1
                if bigrams:
                    extended = np.uint64(np.int64(np.int32(state)))
                    if has_before:
                        rows[pairs] = np.int64((before * NGRAM_STEP + extended) % size)
                        pairs += 1
                    before, has_before = extended, True
            for i in range(pairs):
                total += buckets[rows[i]]
            count += pairs
            for i in range(words):
                slot = _find(marks[i], fingerprints)
                if fingerprints[slot] != 0:
                    total += values[slot]
                    count += 1
        if not np.isnan(end_value):
            total += end_value
            count += 1
        out[document] = total / count if count > 0 else np.nan
