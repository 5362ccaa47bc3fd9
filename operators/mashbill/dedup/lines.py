"""Lines or paragraphs that were seen before, anywhere in the corpus, in compiled code: the first stays (as in
CCNet).

A piece is compared without the blanks around it; pieces shorter than the least length stay, as headings and
list marks repeat in good text.
"""

import numpy as np
import pyarrow as pa

from mashbill.kernels import numba
from mashbill.partitions import buffers

OFFSET, PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x9E3779B97F4A7C15)
SHIFT = np.uint64(29)
NEWLINE, RETURN, SPACE, TAB = (ord(c) for c in "\n\r \t")


@numba.njit(cache=True, nogil=True)
def piece_ends(
    text: np.ndarray, offsets: np.ndarray, newlines: int, ends: np.ndarray, counts: np.ndarray
) -> int:
    """Where each piece ends, its newlines included.

    Args:
        text: [bytes] uint8 of all documents; offsets: [documents + 1] int64.
        newlines: newlines that end a piece: 1 for lines, 2 for paragraphs.
        ends: [at least the bytes + documents] int64, written.
        counts: [documents] int64, written: pieces of each document.
    Returns:
        Number of pieces.
    """
    total = 0
    for i in range(len(counts)):
        before, at = total, offsets[i]
        while at < offsets[i + 1]:
            run = 0
            while at + run < offsets[i + 1] and text[at + run] == NEWLINE:
                run += 1
            if run >= newlines:
                ends[total] = at + run
                total += 1
            at += max(run, 1)
        if offsets[i + 1] > offsets[i] and (total == before or ends[total - 1] < offsets[i + 1]):
            ends[total] = offsets[i + 1]
            total += 1
        counts[i] = total - before
    return total


@numba.njit(cache=True, nogil=True)
def piece_hashes(
    text: np.ndarray, starts: np.ndarray, ends: np.ndarray, shortest: int, out: np.ndarray
) -> None:
    """Hash of each piece without the blanks around it; 0 for one that is too short to count.

    Args:
        text: [bytes] uint8; starts, ends: [pieces] int64.
        shortest: least bytes of a piece that is compared.
        out: [pieces] uint64, written.
    """
    for piece in range(len(out)):
        first, last = starts[piece], ends[piece]
        while first < last and (
            text[first] == SPACE or text[first] == TAB or text[first] == NEWLINE or text[first] == RETURN
        ):
            first += 1
        while last > first and (
            text[last - 1] == SPACE
            or text[last - 1] == TAB
            or text[last - 1] == NEWLINE
            or text[last - 1] == RETURN
        ):
            last -= 1
        if last - first < shortest:
            out[piece] = 0
            continue
        state = OFFSET
        for at in range(first, last):
            state = (state ^ np.uint64(text[at])) * PRIME
            state ^= state >> SHIFT
        out[piece] = max(state, np.uint64(1))


@numba.njit(cache=True, nogil=True)
def copy_pieces(
    text: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    counts: np.ndarray,
    keep: np.ndarray,
    out: np.ndarray,
    out_offsets: np.ndarray,
) -> None:
    """Write each document's pieces that stay.

    Args:
        text: [bytes] uint8; starts, ends, keep: [pieces]; counts: [documents] pieces of each.
        out: [at least the bytes of text] uint8, written; out_offsets: [documents + 1] int64, written.
    """
    at, piece = 0, 0
    out_offsets[0] = 0
    for i in range(len(counts)):
        for _ in range(counts[i]):
            if keep[piece]:
                size = ends[piece] - starts[piece]
                out[at : at + size] = text[starts[piece] : ends[piece]]
                at += size
            piece += 1
        out_offsets[i + 1] = at


class Pieces:
    """The lines or paragraphs of a partition.

    Args:
        texts: [documents] large strings.
        newlines: 1 for lines, 2 for paragraphs.
        shortest: least bytes of a piece that is compared.
    """

    def __init__(self, texts: pa.Array, newlines: int, shortest: int) -> None:
        self.text, bounds = buffers(texts)
        self.counts = np.zeros(len(texts), np.int64)
        ends = np.empty(int(bounds[-1] - bounds[0]) + len(texts) + 1, np.int64)
        total = piece_ends(self.text, bounds, newlines, ends, self.counts)
        self.ends = ends[:total].copy()
        self.starts = np.concatenate([bounds[:1], self.ends[:-1]]) if total else self.ends
        firsts = np.cumsum(self.counts) - self.counts
        filled = self.counts > 0
        self.starts[firsts[filled]] = bounds[:-1][filled]
        self.hashes = np.empty(total, np.uint64)
        piece_hashes(self.text, self.starts, self.ends, shortest, self.hashes)

    def without(self, gone: np.ndarray) -> pa.Array:
        """[documents] the texts without the pieces that go.

        Args:
            gone: [pieces] bool.
        """
        out, offsets = (
            np.empty(int((self.ends - self.starts)[~gone].sum()) + 1, np.uint8),
            np.zeros(len(self.counts) + 1, np.int64),
        )
        copy_pieces(self.text, self.starts, self.ends, self.counts, ~gone, out, offsets)
        return pa.LargeStringArray.from_buffers(len(self.counts), pa.py_buffer(offsets), pa.py_buffer(out))
