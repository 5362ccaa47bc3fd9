"""C4's line and document rules, in compiled code: lines that are no prose go, and documents of which too
little is left.

Source: Raffel et al. 2020 (JMLR 21:140), section 2.2, and the reference code's further rules (overlong words,
policy and cookie notices). The list of bad words is not shipped: give your own as a regex filter.
"""

import numba
import numpy as np

from mashbill.filters.characters import BREAK, PUNCTUATION, SPACE, TERMINAL
from mashbill.filters.words import decode, split_words

C4_REASONS = ("kept", "c4_too_large", "c4_lorem_ipsum", "c4_curly_bracket", "c4_few_sentences")
LINE_REASONS = ("kept", "overlong_word", "no_end_punctuation", "few_words", "javascript", "policy")
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
LOREM, SCRIPT = 0, 1
KEPT, TOO_LARGE = 0, 1
MAX_DOCUMENT_BYTES = 4_000_000
DOT, QUESTION, EXCLAMATION, DOUBLE, SINGLE, BRACE, OPEN, CLOSE, NEWLINE = (ord(c) for c in ".?!\"'{[]\n")
NOTES = ("edit]", "citation needed]")
_PHRASES = np.zeros((len(PHRASES), 16), np.int32)
_NOTES = np.zeros((len(NOTES), 16), np.int32)
for _rows, _texts in ((_PHRASES, PHRASES), (_NOTES, NOTES)):
    for _row, _text in enumerate(_texts):
        _rows[_row, : len(_text)] = [ord(c) for c in _text]


@numba.njit(cache=True, nogil=True)
def c4_quality(
    text: np.ndarray,
    offsets: np.ndarray,
    table: np.ndarray,
    limits: np.ndarray,
    codes: np.ndarray,
    out: np.ndarray,
    out_offsets: np.ndarray,
    line_counts: np.ndarray,
) -> None:
    """Decide on every document, and write what is left of it.

    Args:
        text: [bytes] uint8 of all documents; offsets: [documents + 1] int64.
        table: [code points] bits.
        limits: [3] least sentences, least words a line, most characters a word.
        codes: [documents] uint8, written: index into C4_REASONS.
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
    limits: np.ndarray,
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
        if reason == 0:
            sentences += _sentences(points, bits, first, last, starts, ends)
            if written > begin:
                out[written] = NEWLINE
                written += 1
            written = _encode(points, first, last, out, written)
    return (4 if sentences < limits[0] else KEPT), written


@numba.njit(cache=True, nogil=True)
def _judge_line(
    points: np.ndarray, bits: np.ndarray, first: int, last: int, limits: np.ndarray
) -> tuple[int, int]:
    """Index into LINE_REASONS, or less than 0 for the document's reason, and the line's end without
    citations."""
    words, overlong, length = 0, False, 0
    for at in range(first, last):
        length = 0 if bits[at] & SPACE else length + 1
        words += length == 1
        overlong |= length > limits[2]
    if overlong:
        return 1, last
    last = _drop_citations(points, bits, first, last)
    end = points[last - 1] if last > first else 0
    ellipsis = last - first >= 3 and end == DOT and points[last - 2] == DOT and points[last - 3] == DOT
    if ellipsis or not (
        end == DOT or end == QUESTION or end == EXCLAMATION or end == DOUBLE or end == SINGLE
    ):
        return 2, last
    if words < limits[1]:
        return 3, last
    phrase = _phrase(points, first, last)
    if phrase == LOREM:
        return -2, last
    if phrase == SCRIPT:
        return 4, last
    for at in range(first, last):
        if points[at] == BRACE:
            return -3, last
    return (5 if phrase > SCRIPT else 0), last


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
def _sentences(
    points: np.ndarray, bits: np.ndarray, first: int, last: int, starts: np.ndarray, ends: np.ndarray
) -> int:
    """Sentences of a line: a word of one end mark closes one, and the next word that is no punctuation opens
    another."""
    words = split_words(points, bits, first, last, starts, ends)
    sentences, closed = 1 if words else 0, False
    for word in range(words):
        single = ends[word] - starts[word] == 1
        if single and bits[starts[word]] & TERMINAL:
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
