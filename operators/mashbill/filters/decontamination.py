"""Decontamination, in compiled code: documents that share a run of words with a reference or evaluation set.

Words are runs of letters and digits, without case; runs of n words are compared by 64-bit hashes, as in GPT-3
(arXiv 2005.14165, appendix C, n = 13). A text of an evaluation set with fewer than n words takes part with
all its words, if they are at least five. In scripts without blanks a character is a word, and of a text of
such characters it takes twice as many.
"""

import sys
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Self

import numba
import numpy as np
import pyarrow as pa

from mashbill.artifacts import StageRun
from mashbill.config.filters import DecontaminationFilter
from mashbill.documents import PASSAGE, DocumentStore, kind_of_set, repeats
from mashbill.filters.characters import ALONE, ALPHA, DIGIT, MARK, character_table
from mashbill.filters.filter import KEPT, Filter, Verdict
from mashbill.filters.hashes import OFFSET, combine
from mashbill.filters.words import decode
from mashbill.partitions import buffers

FEWEST_WORDS = 5
FACTOR = 2  # characters of a word, in scripts without blanks
PRESENT_BITS = 22
BASE = np.uint64(0xBF58476D1CE4E5B9)


class Decontamination(Filter):
    """Documents that share runs of words with a set; the reason names the set.

    Args:
        settings: words in a run, and how many may be shared.
        sets: texts by name of the set.
        reason: gives the reason by the set's name.
    """

    name = "decontamination"

    def __init__(
        self,
        settings: DecontaminationFilter,
        sets: dict[str, pa.Array],
        reason: Callable[[str], str] = "contains_{}".format,
    ) -> None:
        self.index = NgramIndex(sets, settings.ngram)
        self.allowed = settings.max_shared_ngrams
        self.reasons = ("kept", *map(reason, sets))

    @classmethod
    def for_run(cls, run: StageRun) -> Self:
        """The filter with the texts of the sets that the config names, or of all that are held out."""
        corpus, settings = run.config.corpus, run.config.filters.decontamination
        return cls(settings, texts_of_sets(run, settings.sets or corpus.held_out))

    def __call__(self, texts: pa.Array, metadata: pa.Array) -> Verdict:
        """Decide on documents; where several sets are hit, the one with most runs is named."""
        del metadata
        hits = self.index.hits(texts)
        worst = hits.argmax(axis=1)
        over = hits.max(axis=1) > self.allowed
        counts = {
            f"shared_ngrams_{name}": int(n)
            for name, n in zip(self.index.names, hits.sum(axis=0), strict=True)
            if n
        }
        return Verdict(np.where(over, worst + 1, KEPT).astype(np.uint8), None, counts)


def held_out_passages(run: StageRun) -> Decontamination | None:
    """What removes documents with a passage of a set that is held out, whatever filters are applied; None
    where no set is, or the filter sees to all of them."""
    filters, names = run.config.filters, run.config.corpus.held_out
    if Decontamination.name in filters.apply and not filters.dry_run and not filters.domains:
        seen_to = filters.decontamination.sets or names
        names = tuple(name for name in names if name not in seen_to)
    if not names:
        return None
    return Decontamination(filters.decontamination, texts_of_sets(run, names), partial(repeats, PASSAGE))


def texts_of_sets(run: StageRun, names: Sequence[str]) -> dict[str, pa.Array]:
    """Texts of some references and evaluation sets, by name."""
    store, sets = DocumentStore.of(run.inputs["ingest"]), {}
    for name in names:
        kind = kind_of_set(run.config.corpus, name)
        sets[name] = store.read(name, kind=kind, columns=["text"])["text"].combine_chunks()
    return sets


@cache
def lower_table() -> np.ndarray:
    """[code points] int32 the lower-case letter of every code point."""
    table = np.arange(sys.maxunicode + 1, dtype=np.int32)
    for point in range(0x20000):
        lower = chr(point).lower()
        if len(lower) == 1:
            table[point] = ord(lower)
    return table


class NgramIndex:
    """Hashes of the runs of words of several sets, and the set of each.

    Args:
        sets: texts by name of the set.
        ngram: words in a run.
    """

    def __init__(self, sets: dict[str, pa.Array], ngram: int) -> None:
        self.names, self.ngram = tuple(sets), ngram
        hashes, owners = [], []
        lengths = np.zeros(FACTOR * ngram + 1, np.bool_)
        for owner, texts in enumerate(sets.values()):
            text, offsets = buffers(texts)
            found = np.empty(max(1, len(text) // 2 + len(texts) + 1), np.uint64)
            count = run_hashes(text, offsets, character_table(), lower_table(), FEWEST_WORDS, lengths, found)
            hashes.append(np.unique(found[:count]))
            owners.append(np.full(len(hashes[-1]), owner, np.int32))
        order = np.argsort(np.concatenate(hashes), kind="stable")
        self.hashes = np.concatenate(hashes)[order]
        self.owners = np.concatenate(owners)[order]
        self.lengths = np.flatnonzero(lengths)
        self.present = np.zeros(1 << PRESENT_BITS, np.bool_)
        self.present[(self.hashes & np.uint64(len(self.present) - 1)).astype(np.int64)] = True

    def hits(self, texts: pa.Array) -> np.ndarray:
        """[documents, sets] int32 runs of each document that are in each set."""
        text, offsets = buffers(texts)
        out = np.zeros((len(texts), len(self.names)), np.int32)
        count_hits(
            text,
            offsets,
            character_table(),
            lower_table(),
            self.lengths,
            self.hashes,
            self.owners,
            self.present,
            out,
        )
        return out


@numba.njit(cache=True, nogil=True)
def _word_hashes(
    points: np.ndarray, bits: np.ndarray, size: int, lower: np.ndarray, words: np.ndarray
) -> tuple[int, int]:
    """Write the hash of each word; their number, and how many are single characters that stand alone."""
    count, alone, inside, after_alone, state = 0, 0, False, False, OFFSET
    for at in range(size):
        if inside and (bits[at] & ALONE or not bits[at] & (ALPHA | DIGIT | MARK)):
            words[count] = state
            count += 1
            inside = False
        if bits[at] & (ALPHA | DIGIT) or (inside and bits[at] & MARK):
            if inside and after_alone and not bits[at] & MARK:
                words[count] = state
                count += 1
                inside = False
            state = combine(state if inside else OFFSET, np.uint64(lower[points[at]]))
            if not bits[at] & MARK:
                after_alone = (bits[at] & ALONE) != 0
                alone += after_alone
            inside = True
    if inside:
        words[count] = state
        count += 1
    return count, alone


@numba.njit(cache=True, nogil=True)
def run_hashes(
    text: np.ndarray,
    offsets: np.ndarray,
    table: np.ndarray,
    lower: np.ndarray,
    fewest: int,
    lengths: np.ndarray,
    out: np.ndarray,
) -> int:
    """Write the hashes of all runs of n words, and mark in lengths [2 n + 1] the lengths there are; returns
    the number of runs."""
    ngram = (len(lengths) - 1) // FACTOR
    longest = 0
    for i in range(len(offsets) - 1):
        longest = max(longest, offsets[i + 1] - offsets[i])
    points, bits = np.empty(longest + 1, np.int32), np.empty(longest + 1, np.uint16)
    words, sums, powers = (
        np.empty(longest + 1, np.uint64),
        np.zeros(longest + 2, np.uint64),
        _powers(FACTOR * ngram),
    )
    count = 0
    for i in range(len(offsets) - 1):
        size = decode(text, offsets[i], offsets[i + 1], table, points, bits)
        number, alone = _word_hashes(points, bits, size, lower, words)
        factor = FACTOR if 2 * alone > number else 1
        length = min(factor * ngram, number)
        if length < factor * fewest:
            continue
        lengths[length] = True
        _add_up(words, number, sums)
        for first in range(number - length + 1):
            out[count] = _run(sums, first, length, powers)
            count += 1
    return count


@numba.njit(cache=True, nogil=True)
def _powers(longest: int) -> np.ndarray:
    powers = np.ones(longest + 1, np.uint64)
    for i in range(longest):
        powers[i + 1] = powers[i] * BASE
    return powers


@numba.njit(cache=True, nogil=True)
def _add_up(words: np.ndarray, number: int, sums: np.ndarray) -> None:
    """Write the polynomial hash of each beginning of a document, of which that of any run follows at once."""
    for i in range(number):
        sums[i + 1] = sums[i] * BASE + words[i]


@numba.njit(cache=True, nogil=True)
def _run(sums: np.ndarray, first: int, length: int, powers: np.ndarray) -> np.uint64:
    return combine(np.uint64(length), sums[first + length] - sums[first] * powers[length])


@numba.njit(cache=True, nogil=True)
def count_hits(
    text: np.ndarray,
    offsets: np.ndarray,
    table: np.ndarray,
    lower: np.ndarray,
    lengths: np.ndarray,
    hashes: np.ndarray,
    owners: np.ndarray,
    present: np.ndarray,
    out: np.ndarray,
) -> None:
    """Add to out [documents, sets] the runs that are in the index.

    Args:
        lengths: lengths of the runs in the index.
        hashes, owners: [runs] the index, sorted by hash.
        present: [a power of two] whether any hash ends in these bits: spares most searches.
    """
    mask = np.uint64(len(present) - 1)
    longest = 0
    for i in range(len(offsets) - 1):
        longest = max(longest, offsets[i + 1] - offsets[i])
    points, bits = np.empty(longest + 1, np.int32), np.empty(longest + 1, np.uint16)
    words, sums = np.empty(longest + 1, np.uint64), np.zeros(longest + 2, np.uint64)
    powers = _powers(lengths[-1] if len(lengths) else 0)
    for i in range(len(offsets) - 1):
        size = decode(text, offsets[i], offsets[i + 1], table, points, bits)
        number, _ = _word_hashes(points, bits, size, lower, words)
        _add_up(words, number, sums)
        for length in lengths:
            for first in range(number - length + 1):
                key = _run(sums, first, length, powers)
                if not present[np.int64(key & mask)]:
                    continue
                place = np.searchsorted(hashes, key)
                while place < len(hashes) and hashes[place] == key:
                    out[i, owners[place]] += 1
                    place += 1
