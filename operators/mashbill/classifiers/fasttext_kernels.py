"""Compiled kernels of the collapsed scorer: hash UTF-8 bytes as fastText does, add up one scalar a row.

fastText's rules, checked against its source and its results: FNV-1a over sign-extended bytes; white space is
space, tab, newline, vertical tab, form feed, carriage return and NUL, and nothing else; a token that spells
one of the model's labels is ignored, and so is one outside the dictionary that begins with the label prefix;
the token ``</s>`` ends the document, and one is appended where there is none.
"""

import numpy as np

from mashbill.kernels import numba as nb

FNV_OFFSET = 2166136261
FNV_PRIME = 16777619
NGRAM_PRIME = 116049371


@nb.njit(inline="always")
def _is_space(byte):
    return byte == 32 or (9 <= byte <= 13) or byte == 0


@nb.njit(inline="always")
def _hash_step(state, byte):
    return np.uint32((state ^ np.uint32(np.int32(np.int8(byte)))) * np.uint32(FNV_PRIME))


@nb.njit(inline="always")
def _sign_extended(state):
    return np.uint64(np.int64(np.int32(state)))


@nb.njit(inline="always")
def _begins_with(text, start, end, prefix):
    if end - start < prefix.shape[0]:
        return False
    for i in range(prefix.shape[0]):  # noqa: SIM110  (compiled code has no generators)
        if text[start + i] != prefix[i]:
            return False
    return True


@nb.njit(inline="always")
def _find(state, text, start, end, slots, words, offsets):
    """Row of a word or label in the dictionary, or -1."""
    mask = slots.shape[0] - 1
    slot = np.int64(state) & mask
    while True:
        row = slots[slot]
        if row < 0:
            return -1
        first = offsets[row]
        if offsets[row + 1] - first == end - start:
            same = True
            for i in range(end - start):
                if words[first + i] != text[start + i]:
                    same = False
                    break
            if same:
                return row
        slot = (slot + 1) & mask


@nb.njit(inline="always")
def _wrapped(text, start, length, i):
    """The i-th byte of ``<word>``."""
    if i == 0:
        return np.uint8(60)
    if i == length - 1:
        return np.uint8(62)
    return text[start + i - 1]


@nb.njit(nogil=True, cache=True)
def add_subwords(text, start, end, shortest, longest, buckets, sums):
    """Add the scalars of a word's character n-grams to ``sums`` [scalars]; returns how many there are."""
    length = end - start + 2
    count = 0
    size = np.uint32(buckets.shape[0])
    for i in range(length):
        if (_wrapped(text, start, length, i) & 0xC0) == 0x80:
            continue
        state = np.uint32(FNV_OFFSET)
        j = i
        n = 1
        while j < length and n <= longest:
            state = _hash_step(state, _wrapped(text, start, length, j))
            j += 1
            while j < length and (_wrapped(text, start, length, j) & 0xC0) == 0x80:
                state = _hash_step(state, _wrapped(text, start, length, j))
                j += 1
            if n >= shortest and not (n == 1 and (i == 0 or j == length)):
                for k in range(sums.shape[0]):
                    sums[k] += buckets[np.int64(state % size), k]
                count += 1
            n += 1
    return count


@nb.njit(nogil=True, cache=True)
def fill_slots(words, offsets, slots):
    """Put each word's row under its hash.

    Args:
        words: [bytes] uint8; offsets: [words + 1] int64.
        slots: [slots] int32 of -1, a power of two and more than there are words, written.
    """
    mask = slots.shape[0] - 1
    for row in range(offsets.shape[0] - 1):
        state = np.uint32(FNV_OFFSET)
        for place in range(offsets[row], offsets[row + 1]):
            state = _hash_step(state, words[place])
        slot = np.int64(state) & mask
        while slots[slot] >= 0:
            slot = (slot + 1) & mask
        slots[slot] = row


@nb.njit(nogil=True, cache=True)
def collapse_words(words, offsets, end_of_text, shortest, longest, buckets, scalars, counts):
    """Fold the subwords of each dictionary word into its own scalars, in place."""
    for row in range(offsets.shape[0] - 1):
        if row != end_of_text:
            counts[row] += add_subwords(
                words, offsets[row], offsets[row + 1], shortest, longest, buckets, scalars[row]
            )


@nb.njit(nogil=True, cache=True)
def _add_word_ngrams(history, seen, word, word_ngrams, buckets, sums):
    """Add the scalars of the word n-grams that end with a word to ``sums``; returns how many there are."""
    size = np.uint64(buckets.shape[0])
    count = 0
    for n in range(2, min(word_ngrams, seen + 1) + 1):
        combined = history[(seen - (n - 1)) % word_ngrams]
        for back in range(n - 2, 0, -1):
            combined = combined * np.uint64(NGRAM_PRIME) + history[(seen - back) % word_ngrams]
        combined = combined * np.uint64(NGRAM_PRIME) + word
        count += 1
        for k in range(sums.shape[0]):
            sums[k] += buckets[np.int64(combined % size), k]
    return count


@nb.njit(nogil=True, cache=True)
def score_documents(
    text,
    documents,
    slots,
    words,
    offsets,
    scalars,
    counts,
    buckets,
    prefix,
    end_row,
    word_ngrams,
    shortest,
    longest,
    out,
):
    """Mean scalars of each document's rows.

    Args:
        text: [bytes] uint8.
        documents: [documents + 1] int64 offsets into text.
        slots, words, offsets: open-addressed dictionary of words, the labels after them.
        scalars, counts: [words, scalars] float64 and [words] int64, subwords folded in.
        buckets: [buckets, scalars] scalars of hashed n-grams.
        prefix: bytes of the label prefix.
        end_row: row of ``</s>``, or -1.
        word_ngrams: longest word n-gram.
        shortest, longest: character n-grams of unknown words; longest 0 where there are none.
        out: [documents, scalars] float64, NaN for documents without a row.
    """
    width = out.shape[1]
    history = np.zeros(max(word_ngrams, 1), np.uint64)
    end_mark = np.array([60, 47, 115, 62], np.uint8)
    end_state = np.uint32(FNV_OFFSET)
    for i in range(4):
        end_state = _hash_step(end_state, end_mark[i])
    total = np.zeros(width)
    for document in range(documents.shape[0] - 1):
        place, stop = documents[document], documents[document + 1]
        total[:] = 0.0
        count = 0
        seen = 0
        ended = False
        while not ended:
            while place < stop and _is_space(text[place]):
                place += 1
            start = place
            state = np.uint32(FNV_OFFSET)
            row = -1
            if place >= stop:
                ended = True
                state = end_state
                row = end_row
            else:
                while place < stop and not _is_space(text[place]):
                    state = _hash_step(state, text[place])
                    place += 1
                row = _find(state, text, start, place, slots, words, offsets)
                if row >= scalars.shape[0] or (row < 0 and _begins_with(text, start, place, prefix)):
                    continue
                ended = (
                    state == end_state and place - start == 4 and _begins_with(text, start, place, end_mark)
                )
            if row >= 0:
                count += counts[row]
                for k in range(width):
                    total[k] += scalars[row, k]
            elif longest > 0 and not ended:
                count += add_subwords(text, start, place, shortest, longest, buckets, total)
            extended = _sign_extended(state)
            count += _add_word_ngrams(history, seen, extended, word_ngrams, buckets, total)
            history[seen % max(word_ngrams, 1)] = extended
            seen += 1
        for k in range(width):
            out[document, k] = total[k] / count if count > 0 else np.nan
