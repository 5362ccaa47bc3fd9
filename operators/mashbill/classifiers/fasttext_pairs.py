"""The commonest model made fastest: two labels, no subwords, words and at most bigrams, as PreSelect's and
DCLM's are.

The dictionary is one table from a word's 64-bit fingerprint to its scalar, so that a word costs one look
instead of a comparison of its bytes (a word outside the dictionary is taken for one in it with a chance of
about one in 10^13 words).
"""

import numba as nb
import numpy as np

from mashbill.classifiers.fasttext_kernels import FNV_OFFSET, FNV_PRIME, NGRAM_PRIME

SEED, PRIME = np.uint64(0x2545F4914F6CDD1D), np.uint64(0x9E3779B97F4A7C15)
FNV_SEED, FNV_STEP = np.uint32(FNV_OFFSET), np.uint32(FNV_PRIME)
NGRAM_STEP = np.uint64(NGRAM_PRIME)
SPREAD = np.uint64(32)


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


@nb.njit(nogil=True, cache=True)
def score_pairs(text, documents, fingerprints, values, buckets, prefix, end_value, bigrams, out):
    """Mean scalar of each document's rows.

    Args:
        text: [bytes] uint8; documents: [documents + 1] int64 offsets into it.
        fingerprints, values: as ``fill_table`` wrote them.
        buckets: [buckets] float32 scalars of hashed bigrams.
        prefix: bytes of the label prefix.
        end_value: scalar of ``</s>``; NaN where the model has none.
        bigrams: whether the model has bigrams.
        out: [documents] float64, NaN for a document without a row.
    """
    mask, size = np.uint64(len(fingerprints) - 1), np.uint64(len(buckets))
    end_state = FNV_SEED
    for byte in (60, 47, 115, 62):
        end_state = (end_state ^ np.uint32(byte)) * FNV_STEP
    first_of_prefix, prefix_length = prefix[0], len(prefix)
    for document in range(len(documents) - 1):
        place, stop = documents[document], documents[document + 1]
        total, count, before, has_before, ended = 0.0, 0, np.uint64(0), False, False
        while not ended:
            while place < stop and _is_space(text[place]):
                place += 1
            start = place
            state, mark = FNV_SEED, SEED
            while place < stop and not _is_space(text[place]):
                byte = text[place]
                state = (state ^ np.uint32(np.int32(np.int8(byte)))) * FNV_STEP
                mark = (mark ^ np.uint64(byte)) * PRIME
                place += 1
            if place == start:
                ended, state = True, end_state
            if (
                not ended
                and place - start == 4
                and state == end_state
                and text[start] == 60
                and text[start + 3] == 62
            ):
                ended = text[start + 1] == 47 and text[start + 2] == 115
            if ended:
                if not np.isnan(end_value):
                    total += end_value
                    count += 1
            else:
                mark |= np.uint64(1)
                slot = (mark >> SPREAD) & mask
                while fingerprints[np.int64(slot)] != 0 and fingerprints[np.int64(slot)] != mark:
                    slot = (slot + np.uint64(1)) & mask
                if fingerprints[np.int64(slot)] != 0:
                    value = values[np.int64(slot)]
                    if np.isnan(value):
                        continue
                    total += value
                    count += 1
                elif text[start] == first_of_prefix and place - start >= prefix_length:
                    same = True
                    for i in range(prefix_length):
                        same &= text[start + i] == prefix[i]
                    if same:
                        continue
            if bigrams:
                extended = np.uint64(np.int64(np.int32(state)))
                if has_before:
                    total += buckets[np.int64((before * NGRAM_STEP + extended) % size)]
                    count += 1
                before, has_before = extended, True
        out[document] = total / count if count > 0 else np.nan
