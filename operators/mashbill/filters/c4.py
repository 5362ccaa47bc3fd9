"""C4's line and document rules, in compiled code: lines that are no prose go, and documents of which too
little is left.

Source: Raffel et al. 2020 (JMLR 21:140), section 2.2, and the reference code's further rules (overlong words,
policy and cookie notices). The list of bad words is not shipped: give your own as a regex filter.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from mashbill.config.filters import C4Filter
from mashbill.filters.characters import ALONE, ALPHA, BREAK, DIGIT, SPACE, character_table
from mashbill.filters.filter import Filter, Verdict
from mashbill.filters.sentences import count_sentences, ends_otherwise
from mashbill.filters.words import decode
from mashbill.kernels import numba
from mashbill.partitions import buffers, from_buffers

REASONS = ("kept", "c4_too_large", "c4_lorem_ipsum", "c4_curly_bracket", "c4_few_sentences")
KEPT, TOO_LARGE, LOREM_IPSUM, CURLY_BRACKET, FEW_SENTENCES = range(len(REASONS))
LINE_REASONS = ("kept", "overlong_word", "no_end_punctuation", "few_words", "javascript", "policy")
LINE_KEPT, OVERLONG_WORD, NO_END_PUNCTUATION, FEW_WORDS, JAVASCRIPT, POLICY = range(len(LINE_REASONS))
PHRASES = (
    "lorem ipsum",
    "javascript",
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
)
LOREM_PHRASE, SCRIPT_PHRASE = 0, 1  # those after them are of policies
MAX_DOCUMENT_BYTES = 4_000_000
DOT, QUESTION, EXCLAMATION, DOUBLE, SINGLE, BRACE, OPEN, CLOSE, NEWLINE = (ord(c) for c in ".?!\"'{[]\n")
NOTES = ("edit]", "citation needed]")
_PHRASES = np.zeros((len(PHRASES), 16), np.int32)
_NOTES = np.zeros((len(NOTES), 16), np.int32)
for _rows, _texts in ((_PHRASES, PHRASES), (_NOTES, NOTES)):
    for _row, _text in enumerate(_texts):
        _rows[_row, : len(_text)] = [ord(c) for c in _text]


class Limits(NamedTuple):
    """Thresholds of the rules, as the kernel takes them."""

    min_sentences: float
    min_words_per_line: float
    max_word_characters: float


class C4(Filter):
    """C4's line and document rules; changes the texts."""

    name, reasons = "c4", REASONS

    def __init__(self, settings: C4Filter) -> None:
        self.limits = Limits(*(float(getattr(settings, limit)) for limit in Limits._fields))

    def __call__(self, texts: pa.Array, metadata: pa.Array) -> Verdict:
        """Decide on documents and on their lines."""
        del metadata
        text, offsets = buffers(texts)
        codes, counts = np.zeros(len(texts), np.uint8), np.zeros(len(LINE_REASONS), np.int64)
        out = np.empty(int(offsets[-1] - offsets[0]) + 1, np.uint8)
        out_offsets = np.zeros(len(texts) + 1, np.int64)
        c4_quality(text, offsets, character_table(), self.limits, codes, out, out_offsets, counts)
        removed = {
            f"c4_lines_{reason}": int(count)
            for reason, count in zip(LINE_REASONS[1:], counts[1:], strict=True)
            if count
        }
        return Verdict(codes, from_buffers(out, out_offsets), removed)


@numba.njit(cache=True, nogil=True)
def c4_quality(
    text: np.ndarray,
    offsets: np.ndarray,
    table: np.ndarray,
    limits: Limits,
    codes: np.ndarray,
    out: np.ndarray,
    out_offsets: np.ndarray,
    line_counts: np.ndarray,
) -> None:
    """Decide on every document, and write what is left of it.

    Args:
        text: [bytes] uint8 of all documents; offsets: [documents + 1] int64.
        table: [code points] bits.
        limits: of the rules.
        codes: [documents] uint8, written: index into REASONS.
        out: [at least the bytes of text] uint8, written: the lines that stay.
        out_offsets: [documents + 1] int64, written.
        line_counts: [6] int64, added to: lines by LINE_REASONS.
    """
    longest = 0
    for i in range(len(codes)):
        longest = max(longest, min(offsets[i + 1] - offsets[i], MAX_DOCUMENT_BYTES))
    points, bits = np.empty(longest + 1, np.int32), np.empty(longest + 1, np.uint16)
    starts, ends = np.empty(longest + 1, np.int32), np.empty(longest + 1, np.int32)
    out_offsets[0] = 0
    for i in range(len(codes)):
        out_offsets[i + 1] = out_offsets[i]
        if offsets[i + 1] - offsets[i] > MAX_DOCUMENT_BYTES:
            codes[i] = TOO_LARGE
            continue
        size = decode(text, offsets[i], offsets[i + 1], table, points, bits)
        codes[i], end = _clean(points, bits, size, limits, starts, ends, out, out_offsets[i], line_counts)
        if codes[i] == KEPT:
            out_offsets[i + 1] = end


@numba.njit(cache=True, nogil=True)
def _clean(
    points: np.ndarray,
    bits: np.ndarray,
    size: int,
    limits: Limits,
    starts: np.ndarray,
    ends: np.ndarray,
    out: np.ndarray,
    begin: int,
    line_counts: np.ndarray,
) -> tuple[int, int]:
    """The code, and where the written lines end."""
    sentences, start, written, at = 0, 0, begin, 0
    while at <= size:
        if at < size and not bits[at] & BREAK:
            at += 1
            continue
        first, last = start, at
        while first < last and bits[first] & SPACE:
            first += 1
        while last > first and bits[last - 1] & SPACE:
            last -= 1
        start, at = at + 1, at + 1
        if first == last:
            continue
        reason, last = _judge_line(points, bits, first, last, limits)
        if reason < 0:
            return -reason, begin
        line_counts[reason] += 1
        if reason == LINE_KEPT:
            sentences += count_sentences(points, bits, first, last, starts, ends)
            if written > begin:
                out[written] = NEWLINE
                written += 1
            written = _encode(points, first, last, out, written)
    return (FEW_SENTENCES if sentences < limits.min_sentences else KEPT), written


@numba.njit(cache=True, nogil=True)
def _judge_line(
    points: np.ndarray, bits: np.ndarray, first: int, last: int, limits: Limits
) -> tuple[int, int]:
    """Index into LINE_REASONS, or less than 0 for the document's reason, and the line's end without
    citations."""
    words, overlong = _count_words(bits, first, last, limits.max_word_characters)
    if overlong:
        return OVERLONG_WORD, last
    last = _drop_citations(points, bits, first, last)
    end = points[last - 1] if last > first else 0
    ellipsis = last - first >= 3 and end == DOT and points[last - 2] == DOT and points[last - 3] == DOT
    plain = end == DOT or end == QUESTION or end == EXCLAMATION or end == DOUBLE or end == SINGLE
    if ellipsis or not (plain or ends_otherwise(points, bits, first, last)):
        return NO_END_PUNCTUATION, last
    if words < limits.min_words_per_line:
        return FEW_WORDS, last
    phrase = _phrase(points, first, last)
    if phrase == LOREM_PHRASE:
        return -LOREM_IPSUM, last
    if phrase == SCRIPT_PHRASE:
        return JAVASCRIPT, last
    for at in range(first, last):
        if points[at] == BRACE:
            return -CURLY_BRACKET, last
    return (POLICY if phrase > SCRIPT_PHRASE else LINE_KEPT), last


@numba.njit(cache=True, nogil=True)
def _count_words(bits: np.ndarray, first: int, last: int, longest: float) -> tuple[int, bool]:
    """Words of a line, which are what stands between blanks, or alone; and whether one is longer than may
    be."""
    words, length, overlong, after_alone = 0, 0, False, False
    for at in range(first, last):
        if bits[at] & (SPACE | ALONE):
            words += (bits[at] & ALONE) != 0
            length, after_alone = 0, (bits[at] & ALONE) != 0
        elif not after_alone or bits[at] & (ALPHA | DIGIT):  # marks and punctuation that follow begin no word
            length, after_alone = length + 1, False
            words += length == 1
            overlong |= length > longest
    return words, overlong


@numba.njit(cache=True, nogil=True)
def _drop_citations(points: np.ndarray, bits: np.ndarray, first: int, last: int) -> int:
    """Close the gaps that [12], [edit] and [citation needed] leave; the new end of the line."""
    write, at = first, first
    while at < last:
        size = 0
        if points[at] == OPEN:
            place = at + 1
            while place < last and 48 <= points[place] <= 57:
                place += 1
            if place < last and points[place] == CLOSE:
                size = place + 1 - at
            else:
                for note in range(len(_NOTES)):
                    matched = _matches(points, at + 1, last, _NOTES[note])
                    if matched:
                        size = matched + 1
        if size:
            at += size
        else:
            points[write], bits[write] = points[at], bits[at]
            write += 1
            at += 1
    return write


@numba.njit(cache=True, nogil=True)
def _phrase(points: np.ndarray, first: int, last: int) -> int:
    """The phrase of lowest index in a line, whatever its case; -1 where there is none."""
    found = len(_PHRASES)
    for at in range(first, last):
        letter = points[at] | 32
        for which in range(found):
            if _PHRASES[which, 0] == letter and _matches(points, at, last, _PHRASES[which]):
                found = which
                break
    return found if found < len(_PHRASES) else -1


@numba.njit(cache=True, nogil=True)
def _matches(points: np.ndarray, at: int, last: int, phrase: np.ndarray) -> int:
    """Length of the phrase where it stands at a place, else 0."""
    length = 0
    while length < len(phrase) and phrase[length]:
        if at + length >= last:
            return 0
        point = points[at + length]
        if point != phrase[length] and not (65 <= point <= 90 and point | 32 == phrase[length]):
            return 0
        length += 1
    return length


@numba.njit(cache=True, nogil=True)
def _encode(points: np.ndarray, first: int, last: int, out: np.ndarray, at: int) -> int:
    """Write UTF-8; where it ends."""
    for place in range(first, last):
        point = points[place]
        if point < 0x80:
            out[at] = point
            at += 1
        elif point < 0x800:
            out[at], out[at + 1] = 0xC0 | point >> 6, 0x80 | point & 0x3F
            at += 2
        elif point < 0x10000:
            out[at], out[at + 1], out[at + 2] = (
                0xE0 | point >> 12,
                0x80 | point >> 6 & 0x3F,
                0x80 | point & 0x3F,
            )
            at += 3
        else:
            out[at], out[at + 1] = 0xF0 | point >> 18, 0x80 | point >> 12 & 0x3F
            out[at + 2], out[at + 3] = 0x80 | point >> 6 & 0x3F, 0x80 | point & 0x3F
            at += 4
    return at
