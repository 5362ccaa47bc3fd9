"""64-bit hashes of runs of code points, and counting them in a table that needs no clearing between
documents."""

import numpy as np

from mashbill.kernels import numba

OFFSET, PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x9E3779B97F4A7C15)
SHIFT, ROTATE_LEFT, ROTATE_RIGHT = np.uint64(29), np.uint64(23), np.uint64(41)


@numba.njit(cache=True, nogil=True)
def hash_points(points: np.ndarray, start: int, end: int) -> np.uint64:
    """Hash of points[start:end]."""
    state = OFFSET
    for at in range(start, end):
        state = (state ^ np.uint64(points[at])) * PRIME
        state ^= state >> SHIFT
    return state


@numba.njit(cache=True, nogil=True)
def combine(state: np.uint64, value: np.uint64) -> np.uint64:
    """Hash of a sequence from the hash of its beginning and its next value."""
    state = (
        ((state << ROTATE_LEFT) | (state >> ROTATE_RIGHT)) ^ value
    ) * PRIME  # turned first, else two words hash alike either way round
    return state ^ (state >> SHIFT)


@numba.njit(cache=True, nogil=True)
def table_mask(count: int) -> np.uint64:
    """Mask of the smallest table that stays at most half full."""
    size = 16
    while size < 2 * count:
        size *= 2
    return np.uint64(size - 1)


@numba.njit(cache=True, nogil=True)
def find_slot(keys: np.ndarray, stamps: np.ndarray, stamp: int, mask: np.uint64, key: np.uint64) -> np.int64:
    """The slot of a key, or the free one where it goes; a slot whose stamp is older is free.

    Args:
        keys: [slots] uint64; stamps: [slots] int32.
        stamp: number of this use of the table.
        mask: slots in use, less one.
        key: the hash.
    """
    slot = key & mask
    while stamps[np.int64(slot)] == stamp and keys[np.int64(slot)] != key:
        slot = (slot + np.uint64(1)) & mask
    return np.int64(slot)


def hash_text(text: str) -> np.uint64:
    """``hash_points`` of a text, for lists that kernels look words up in."""
    return np.uint64(hash_points(np.array([ord(c) for c in text], np.int32), 0, len(text)))
