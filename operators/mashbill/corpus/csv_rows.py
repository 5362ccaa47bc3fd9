"""Where the rows of a csv file end, in compiled code: a line break within quotes ends none."""

import numpy as np

from mashbill.kernels import numba

BEGIN, PLAIN, QUOTED, QUOTE = range(4)
"""States: at the beginning of a field, in a plain one, within quotes, after a quote within quotes."""
MARK, NEWLINE, RETURN = ord('"'), ord("\n"), ord("\r")


@numba.njit(cache=True, nogil=True)
def row_ends(content: np.ndarray, delimiter: int, state: int, ends: np.ndarray) -> tuple[int, int, int]:
    """Find where rows end: after a line feed, a carriage return or both, outside quotes.

    A row is none where something follows a closing quote; it ends with its first line.

    Args:
        content: [bytes] uint8.
        delimiter: the byte between fields.
        state: of the field that the first byte is in.
        ends: [at least as many as there are] int64, written: offsets just behind each row's end.
    Returns:
        Number of rows that end, the state behind the last byte, and the number of rows that are none.
    """
    count, at, size = 0, 0, len(content)
    begun, known, odd = 0, state == BEGIN, 0  # where a row begins, and whether that is in sight
    while at < size:
        if state == QUOTED:
            while at < size and content[at] != MARK:
                at += 1
            if at < size:
                state = QUOTE
                at += 1
            continue
        byte = content[at]
        if byte == MARK and (state == BEGIN or state == QUOTE):  # noqa: PLR1714, SIM109  (faster so)
            state = QUOTED
            at += 1
            continue
        if state == QUOTE and known and byte != NEWLINE and byte != RETURN and byte != delimiter:  # noqa: PLR1714
            at = begun
            while at < size and content[at] != NEWLINE and content[at] != RETURN:
                at += 1
            if at == size:
                return count, PLAIN, odd
            odd += 1
            byte = content[at]
        while byte != NEWLINE and byte != RETURN and byte != delimiter:  # noqa: PLR1714
            at += 1
            if at == size:
                return count, PLAIN, odd
            byte = content[at]
        at += 1
        state = BEGIN
        if byte == NEWLINE and count and ends[count - 1] == at - 1 and content[at - 2] == RETURN:
            ends[count - 1] = at
            begun = at
        elif byte != delimiter:
            ends[count] = at
            count += 1
            begun, known = at, True
    return count, state, odd
