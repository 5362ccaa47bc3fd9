"""How often each piece is in some texts: what BPE is trained on, a fraction of the texts' size."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from mashbill.kernels import numba
from mashbill.partitions import buffers
from mashbill.tokens.pieces import gpt2_piece, kinds, odd_texts
from mashbill.tokens.split_patterns import byte_characters

PIECES, BYTES, TEXT, AT = range(4)
"""What a count knows of itself: pieces, their bytes, and the text and the byte that are next."""
ROOM, ROOM_BYTES = 1 << 16, 1 << 20
NO_MARK = 0x110000
PRIME = np.uint64(0x9E3779B97F4A7C15)


@numba.njit(cache=True, nogil=True, inline="always")
def _hash(text: np.ndarray, at: int, behind: int) -> np.uint64:
    mixed = np.uint64(behind - at) * PRIME
    for i in range(at, behind):
        mixed = (mixed ^ np.uint64(text[i])) * PRIME
        mixed ^= mixed >> np.uint64(32)
    return mixed


@numba.njit(cache=True, nogil=True, inline="always")
def _same(text: np.ndarray, at: int, behind: int, kept: np.ndarray, start: int, end: int) -> bool:
    if behind - at != end - start:
        return False
    i = 0
    while i < behind - at and text[at + i] == kept[start + i]:
        i += 1
    return i == behind - at


@numba.njit(cache=True, nogil=True)
def count_pieces(
    text: np.ndarray,
    offsets: np.ndarray,
    times: np.ndarray,
    kind: np.ndarray,
    slots: np.ndarray,
    hashes: np.ndarray,
    counts: np.ndarray,
    bounds: np.ndarray,
    kept: np.ndarray,
    state: np.ndarray,
    whole: bool,
) -> bool:
    """Count pieces until the texts end, or there is no room for a new one.

    Args:
        text: [bytes] uint8; offsets: [texts + 1] int64.
        times: [texts] int64 how often each counts; 0 for not at all.
        kind: [code points].
        slots: [a power of two] int64, written: the piece at each place of the table; -1 for none.
        hashes: [room] uint64, counts: [room] int64, bounds: [room + 1] int64, written: of each piece.
        kept: [room for bytes] uint8, written.
        state: [4] int64, written.
        whole: whether each text is one piece.
    Returns:
        Whether the texts are at their end.
    """
    mask = np.uint64(len(slots) - 1)
    while state[TEXT] < len(offsets) - 1:
        at, end = max(state[AT], offsets[state[TEXT]]), offsets[state[TEXT] + 1]
        while at < end and times[state[TEXT]]:
            behind = end if whole else gpt2_piece(text, at, end, kind)
            mixed = _hash(text, at, behind)
            slot = mixed & mask
            while slots[slot] >= 0:
                piece = slots[slot]
                if hashes[piece] == mixed and _same(text, at, behind, kept, bounds[piece], bounds[piece + 1]):
                    break
                slot = (slot + np.uint64(1)) & mask
            if slots[slot] < 0:
                piece, used = state[PIECES], state[BYTES]
                if piece == len(counts) or used + behind - at > len(kept):
                    state[AT] = at
                    return False
                slots[slot], hashes[piece], counts[piece] = piece, mixed, 0
                kept[used : used + behind - at] = text[at:behind]
                bounds[piece + 1] = state[BYTES] = used + behind - at
                state[PIECES] += 1
            counts[slots[slot]] += times[state[TEXT]]
            at = behind
        state[TEXT], state[AT] = state[TEXT] + 1, 0
    return True


@numba.njit(cache=True, nogil=True)
def _put(slots: np.ndarray, hashes: np.ndarray) -> None:
    """Put pieces into an empty table."""
    mask = np.uint64(len(slots) - 1)
    for piece in range(len(hashes)):
        slot = hashes[piece] & mask
        while slots[slot] >= 0:
            slot = (slot + np.uint64(1)) & mask
        slots[slot] = piece


@dataclass(frozen=True)
class CountedPieces:
    """Pieces of some texts and their counts, in the order in which they were first met.

    Attributes:
        content: [bytes] uint8 of all pieces, one after another.
        bounds: [pieces + 1] int64 where the bytes of each begin.
        counts: [pieces] int64 how often each was met.
    """

    content: np.ndarray
    bounds: np.ndarray
    counts: np.ndarray


class PieceCounts:
    """Counts the pieces of texts, split as GPT-2's are; it grows with how many there are, not with the text.

    Args:
        pre_tokenizer: of Hugging Face's library; it splits texts with characters unknown to Python.
    """

    def __init__(self, pre_tokenizer: Any) -> None:
        self.pre_tokenizer = pre_tokenizer
        self.byte_of = {character: byte for byte, character in byte_characters().items()}
        self._slots = np.full(2 * ROOM, -1, np.int64)
        self._hashes, self._counts = np.empty(ROOM, np.uint64), np.empty(ROOM, np.int64)
        self._bounds, self._kept = np.zeros(ROOM + 1, np.int64), np.empty(ROOM_BYTES, np.uint8)
        self._state = np.zeros(4, np.int64)

    @property
    def counts(self) -> np.ndarray:
        """[pieces] int64 how often each was met."""
        return self._counts[: self._state[PIECES]]

    @property
    def bounds(self) -> np.ndarray:
        """[pieces + 1] int64 where the bytes of each begin."""
        return self._bounds[: self._state[PIECES] + 1]

    @property
    def content(self) -> np.ndarray:
        """[bytes] uint8 of all pieces, one after another."""
        return self._kept[: self._state[BYTES]]

    def add(self, texts: pa.Array) -> None:
        """Count the pieces of [texts] strings without nulls."""
        content, offsets = buffers(texts)
        odd = odd_texts(content, offsets, kinds(), NO_MARK).astype(bool)
        self._count(content, offsets, (~odd).astype(np.int64), whole=False)
        for i in np.flatnonzero(odd):
            split = self.pre_tokenizer.pre_tokenize_str(texts[int(i)].as_py())
            pieces = [bytes(self.byte_of[character] for character in piece) for piece, _ in split]
            content, offsets = buffers(pa.array(pieces, pa.large_binary()).view(pa.large_string()))
            self._count(content, offsets, np.ones(len(pieces), np.int64), whole=True)

    def add_counted(self, other: CountedPieces) -> None:
        """Add the pieces of other texts, as often as they were met there."""
        if len(other.counts):
            self._count(other.content, other.bounds, other.counts, whole=True)

    def counted(self) -> CountedPieces:
        """What was counted, without the room for more."""
        return CountedPieces(self.content.copy(), self.bounds.copy(), self.counts.copy())

    def _count(self, content: np.ndarray, offsets: np.ndarray, times: np.ndarray, *, whole: bool) -> None:
        self._state[TEXT] = self._state[AT] = 0
        while not count_pieces(
            content, offsets, times, kinds(), self._slots, self._hashes, self._counts, self._bounds,
            self._kept, self._state, whole,
        ):  # fmt: skip
            self._grow(int(np.diff(offsets).max()))

    def _grow(self, longest: int) -> None:
        """Twice the room of what is full; a piece is at most as long as the longest text."""
        if self._state[PIECES] == len(self._counts):
            more = len(self._counts)
            self._hashes, self._counts, self._bounds = (
                np.concatenate([one, np.empty(more, one.dtype)])
                for one in (self._hashes, self._counts, self._bounds)
            )
            self._slots = np.full(4 * more, -1, np.int64)
            _put(self._slots, self._hashes[: self._state[PIECES]])
        else:
            more = max(len(self._kept), longest)
            self._kept = np.concatenate([self._kept, np.empty(more, np.uint8)])
