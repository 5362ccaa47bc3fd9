"""Compiled kernels of byte-level BPE: each piece of a text is looked up in a table.

A piece of up to 15 bytes is its own key; of a longer one the key is a hash, and its bytes are compared.
"""

import numpy as np

from mashbill.kernels import numba
from mashbill.tokens.pieces import gpt2_piece, gpt4_piece

SHORT = 15
PENDING = -1
ONE, TWO = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93)


@numba.njit(cache=True, nogil=True, inline="always")
def _key(text: np.ndarray, at: int, behind: int) -> tuple[np.uint64, np.uint64]:
    """Two words that stand for a piece: its bytes and their number, or hashes of it."""
    size = behind - at
    first, second = np.uint64(0), np.uint64(0)
    if size <= SHORT:
        for i in range(min(size, 8)):
            first |= np.uint64(text[at + i]) << np.uint64(8 * i)
        for i in range(8, size):
            second |= np.uint64(text[at + i]) << np.uint64(8 * (i - 8))
        return first, second | (np.uint64(size) << np.uint64(56))
    first, second = np.uint64(size) * ONE, np.uint64(size) * TWO
    for i in range(at, behind):
        first = (first ^ np.uint64(text[i])) * ONE
        first ^= first >> np.uint64(29)
        second = (second ^ np.uint64(text[i])) * TWO
    return first, second | (np.uint64(0xFF) << np.uint64(56))


@numba.njit(cache=True, nogil=True)
def piece_key(text: np.ndarray, at: int, behind: int) -> tuple[np.uint64, np.uint64]:
    """Two words by which a table knows a piece; see ``_key``."""
    return _key(text, at, behind)


@numba.njit(cache=True, nogil=True, inline="always")
def _slot(first: np.uint64, second: np.uint64, mask: np.uint64) -> np.uint64:
    """Where the search for a key begins."""
    mixed = (first ^ (second * TWO)) * ONE
    return (mixed ^ (mixed >> np.uint64(32))) & mask


@numba.njit(cache=True, nogil=True, inline="always")
def _is_long(text: np.ndarray, at: int, behind: int, kept: np.ndarray, place: int, size: int) -> bool:
    """Whether a piece is the one whose bytes are kept at a place."""
    if behind - at != size:
        return False
    for i in range(size):
        if kept[place + i] != text[at + i]:
            return False
    return True


@numba.njit(cache=True, nogil=True)
def look_up(
    text: np.ndarray,
    offsets: np.ndarray,
    kind: np.ndarray,
    keys: np.ndarray,
    entries: np.ndarray,
    kept: np.ndarray,
    state: np.ndarray,
    slots: np.ndarray,
    ends: np.ndarray,
    new: np.ndarray,
    spans: np.ndarray,
    gpt2: bool,
    digits: int,
) -> int:
    """Split texts and find each piece in the table; one that is not there gets a place and waits for its ids.

    Args:
        text: [bytes] uint8; offsets: [texts + 1] int64.
        kind: [code points].
        keys: [slots of the table, 2] uint64.
        entries: [slots, 4] int32: first id, number of ids, and place and size of a long piece's bytes.
        kept: [room] uint8 bytes of long pieces.
        state: [2] int64: entries of the table, and bytes kept.
        slots: [bytes at least] int32, written: where each piece is.
        ends: [texts] int64, written: pieces up to each text's end.
        new: [room] int32, written: slots of pieces that wait.
        spans: [room, 2] int64, written: where these are in the text.
        gpt2, digits: of the pattern.
    Returns:
        How many pieces wait; -1 where there is no room for them.
    """
    mask = np.uint64(len(keys) - 1)
    count = waiting = 0
    for i in range(len(offsets) - 1):
        at, end = offsets[i], offsets[i + 1]
        while at < end:
            behind = gpt2_piece(text, at, end, kind) if gpt2 else gpt4_piece(text, at, end, kind, digits)
            first, second = _key(text, at, behind)
            slot = _slot(first, second, mask)
            while keys[slot, 1] != 0:
                if keys[slot, 0] == first and keys[slot, 1] == second:
                    if behind - at <= SHORT:
                        break
                    if _is_long(text, at, behind, kept, entries[slot, 2], entries[slot, 3]):
                        break
                slot = (slot + np.uint64(1)) & mask
            if keys[slot, 1] == 0:
                if waiting == len(new) or state[0] * 2 > len(keys):
                    return -1
                keys[slot, 0], keys[slot, 1] = first, second
                entries[slot, 1] = PENDING
                if behind - at > SHORT:
                    if state[1] + behind - at > len(kept):
                        return -1
                    entries[slot, 2], entries[slot, 3] = state[1], behind - at
                    for j in range(at, behind):
                        kept[state[1] + j - at] = text[j]
                    state[1] += behind - at
                state[0] += 1
                new[waiting] = slot
                spans[waiting, 0], spans[waiting, 1] = at, behind
                waiting += 1
            slots[count] = slot
            count += 1
            at = behind
        ends[i] = count
    return waiting


@numba.njit(cache=True, nogil=True)
def put_again(
    keys: np.ndarray, entries: np.ndarray, order: np.ndarray, new_keys: np.ndarray, new_entries: np.ndarray
) -> None:
    """Put some entries of a table into an empty one.

    Args:
        keys, entries: of the full table.
        order: [entries] int32 slots of those to put, written: their new slots.
        new_keys, new_entries: of the empty one, written.
    """
    mask = np.uint64(len(new_keys) - 1)
    for i in range(len(order)):
        old = order[i]
        slot = _slot(keys[old, 0], keys[old, 1], mask)
        while new_keys[slot, 1] != 0:
            slot = (slot + np.uint64(1)) & mask
        new_keys[slot] = keys[old]
        new_entries[slot] = entries[old]
        order[i] = slot


@numba.njit(cache=True, nogil=True)
def count_ids(slots: np.ndarray, pieces: int, entries: np.ndarray) -> int:
    """How many ids some pieces have."""
    total = 0
    for i in range(pieces):
        total += entries[slots[i], 1]
    return total


@numba.njit(cache=True, nogil=True)
def write_ids(
    slots: np.ndarray,
    ends: np.ndarray,
    entries: np.ndarray,
    ids: np.ndarray,
    out: np.ndarray,
    bounds: np.ndarray,
) -> None:
    """Write the ids of pieces one after another.

    Args:
        slots: of the pieces; ends: [texts] pieces up to each text's end.
        entries: of the table; ids: [room] uint32 of all entries.
        out: [ids] uint32, written; bounds: [texts + 1] int64, written: where each text's ids begin.
    """
    at = piece = 0
    bounds[0] = 0
    for i in range(len(ends)):
        while piece < ends[i]:
            slot = slots[piece]
            start = entries[slot, 0]
            for j in range(start, start + entries[slot, 1]):
                out[at] = ids[j]
                at += 1
            piece += 1
        bounds[i + 1] = at


@numba.njit(cache=True, nogil=True)
def take_texts(ids: np.ndarray, bounds: np.ndarray, chosen: np.ndarray, after: int, out: np.ndarray) -> None:
    """Write the ids of some texts one after another, with one id after each.

    Args:
        ids: [ids] of all texts; bounds: [texts + 1] where each begins.
        chosen: [chosen texts] int64.
        after: the id that follows each.
        out: written, as long as all of it.
    """
    at = 0
    for i in range(len(chosen)):
        for j in range(bounds[chosen[i]], bounds[chosen[i] + 1]):
            out[at] = ids[j]
            at += 1
        out[at] = after
        at += 1
