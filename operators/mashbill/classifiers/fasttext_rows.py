"""Compiled kernels that read a fastText model's file: its dictionary, and its rows reduced to scalars."""

import numpy as np

from mashbill.kernels import numba as nb

LANES = 8


@nb.njit(nogil=True, cache=True)
def read_entries(content, start, bounds, kinds):
    """Find the entries of a dictionary: a word and a NUL, its count in 8 bytes and its kind in one.

    Args:
        content: [bytes] uint8 of the file.
        start: where the first entry begins.
        bounds: [entries, 2] int64, written: where each word begins and ends.
        kinds: [entries] uint8, written: 0 for a word, 1 for a label.
    Returns:
        Where the last entry ends, or -1 where the file ends before it does.
    """
    place = start
    for entry in range(len(kinds)):
        bounds[entry, 0] = place
        while place < len(content) and content[place] != 0:
            place += 1
        bounds[entry, 1] = place
        place += 9
        if place >= len(content):
            return -1
        kinds[entry] = content[place]
        place += 1
    return place


@nb.njit(nogil=True, cache=True)
def gather(content, bounds, offsets, words):
    """Copy words out of a file, one after the other.

    Args:
        content: [bytes] uint8; bounds: [words, 2] int64 of each word in it.
        offsets: [words + 1] int64 of each word in ``words``; words: [bytes] uint8, written.
    """
    for entry in range(len(bounds)):
        for i in range(bounds[entry, 1] - bounds[entry, 0]):
            words[offsets[entry] + i] = content[bounds[entry, 0] + i]


@nb.njit(nogil=True, cache=True)
def project(rows, directions, out):
    """Products of rows and directions, added up in float64 in an order that no machine changes.

    Args:
        rows: [rows, width] float32; directions: [scalars, width] float64.
        out: [rows, scalars] float32, written.
    """
    width = rows.shape[1]
    whole = width // LANES * LANES
    sums = np.empty(LANES)
    for row in range(rows.shape[0]):
        for k in range(directions.shape[0]):
            sums[:] = 0.0
            for j in range(0, whole, LANES):
                for lane in range(LANES):
                    sums[lane] += np.float64(rows[row, j + lane]) * directions[k, j + lane]
            total = ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]))
            for j in range(whole, width):
                total += np.float64(rows[row, j]) * directions[k, j]
            out[row, k] = total
