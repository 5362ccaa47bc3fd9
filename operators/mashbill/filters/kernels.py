"""The rules that are compiled kernels, as filters: thresholds from the config in, a reason for every document
out."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa

from mashbill.config import FiltersConfig
from mashbill.filters.c4 import C4_REASONS, c4_quality
from mashbill.filters.characters import character_table
from mashbill.filters.fineweb import FINEWEB_REASONS, fineweb_quality
from mashbill.filters.gopher import QUALITY_REASONS, gopher_quality
from mashbill.filters.hashes import hash_text
from mashbill.filters.repetition import REPETITION_REASONS, gopher_repetition
from mashbill.partitions import buffers, from_buffers


@dataclass(frozen=True)
class Verdict:
    """What a filter says of a batch of documents.

    Attributes:
        codes: [documents] index into the filter's reasons; 0 means kept.
        texts: [documents] the texts as the filter leaves them, where it changes any; None where it changes
            none.
        counts: further figures by name, added up in the report.
    """

    codes: np.ndarray
    texts: pa.Array | None
    counts: dict[str, int]


class Filter(Protocol):
    """Decides on documents, in batches."""

    name: str
    reasons: tuple[str, ...]

    def __call__(self, texts: pa.Array, metadata: pa.Array) -> Verdict:
        """Decide on [documents] texts; metadata are JSON strings."""


class GopherQuality:
    """Gopher's quality rules."""

    name, reasons = "gopher_quality", QUALITY_REASONS

    def __init__(self, filters: FiltersConfig) -> None:
        c = filters.gopher_quality
        limits = [
            c.min_words,
            c.max_words,
            c.min_mean_word_characters,
            c.max_mean_word_characters,
            c.max_symbols_per_word,
        ]
        self.limits = np.array(
            [*limits, c.max_bullet_lines, c.max_ellipsis_lines, c.min_alphabetic_words, c.min_stop_words],
            np.float64,
        )
        self.stop_words = np.array([hash_text(word) for word in c.stop_words], np.uint64)

    def __call__(self, texts: pa.Array, metadata: pa.Array) -> Verdict:
        """Decide on documents."""
        del metadata
        codes = np.zeros(len(texts), np.uint8)
        gopher_quality(*buffers(texts), character_table(), self.limits, self.stop_words, codes)
        return Verdict(codes, None, {})


class GopherRepetition:
    """Gopher's repetition rules."""

    name, reasons = "gopher_repetition", REPETITION_REASONS

    def __init__(self, filters: FiltersConfig) -> None:
        c = filters.gopher_repetition
        pieces = [
            c.max_duplicate_paragraphs,
            c.max_duplicate_paragraph_characters,
            c.max_duplicate_lines,
            c.max_duplicate_line_characters,
        ]
        self.limits = np.array([*pieces, *c.max_top_ngrams, *c.max_duplicate_ngrams], np.float64)

    def __call__(self, texts: pa.Array, metadata: pa.Array) -> Verdict:
        """Decide on documents."""
        del metadata
        codes = np.zeros(len(texts), np.uint8)
        gopher_repetition(*buffers(texts), character_table(), self.limits, codes)
        return Verdict(codes, None, {})


class FineWeb:
    """FineWeb's extra rules."""

    name, reasons = "fineweb", FINEWEB_REASONS

    def __init__(self, filters: FiltersConfig) -> None:
        c = filters.fineweb
        limits = [
            c.min_lines_ending_in_punctuation,
            c.max_short_lines,
            c.short_line_characters,
            c.max_duplicate_line_characters,
        ]
        self.limits = np.array([*limits, c.max_line_breaks_per_word], np.float64)

    def __call__(self, texts: pa.Array, metadata: pa.Array) -> Verdict:
        """Decide on documents."""
        del metadata
        codes = np.zeros(len(texts), np.uint8)
        fineweb_quality(*buffers(texts), character_table(), self.limits, codes)
        return Verdict(codes, None, {})


class C4:
    """C4's line and document rules; changes the texts."""

    name, reasons = "c4", C4_REASONS
    lines = ("kept", "overlong_word", "no_end_punctuation", "few_words", "javascript", "policy")

    def __init__(self, filters: FiltersConfig) -> None:
        c = filters.c4
        self.limits = np.array([c.min_sentences, c.min_words_per_line, c.max_word_characters], np.float64)

    def __call__(self, texts: pa.Array, metadata: pa.Array) -> Verdict:
        """Decide on documents and on their lines."""
        del metadata
        text, offsets = buffers(texts)
        codes, counts = np.zeros(len(texts), np.uint8), np.zeros(len(self.lines), np.int64)
        out, out_offsets = (
            np.empty(int(offsets[-1] - offsets[0]) + 1, np.uint8),
            np.zeros(len(texts) + 1, np.int64),
        )
        c4_quality(text, offsets, character_table(), self.limits, codes, out, out_offsets, counts)
        removed = {
            f"c4_lines_{name}": int(count)
            for name, count in zip(self.lines[1:], counts[1:], strict=True)
            if count
        }
        return Verdict(codes, from_buffers(out, out_offsets), removed)
