"""Where the rows of a csv file end, in compiled code: a line break within quotes ends none."""

import numba
import numpy as np

BEGIN, PLAIN, QUOTED, QUOTE = range(4)
"""States: at the beginning of a field, in a plain one, within quotes, after a quote within quotes."""
MARK, NEWLINE, RETURN = ord('"'), ord("\n"), ord("\r")


@numba.njit(cache=True, nogil=True)
def row_ends(content: np.ndarray, delimiter: int, state: int, ends: np.ndarray) -> tuple[int, int]:
    """Find where rows end: after a line feed, a carriage return or both, outside quotes.

    Args:
        content: [bytes] uint8.
        delimiter: the byte between fields.
        state: of the field that the first byte is in.
        ends: [at least as many as there are] int64, written: offsets just behind each row's end.
    Returns:
        Number of rows that end, and the state behind the last byte.
    """
    count = 0
    for at in range(len(content)):
        byte = content[at]
        if state == QUOTED:
            if byte == MARK:
                state = QUOTE
        elif byte == NEWLINE or byte == RETURN:  # noqa: PLR1714, SIM109  (faster so)
            if byte == NEWLINE and count and ends[count - 1] == at and content[at - 1] == RETURN:
                ends[count - 1] = at + 1
            else:
                ends[count] = at + 1
                count += 1
            state = BEGIN
        elif byte == delimiter:
            state = BEGIN
        elif byte == MARK and (state == BEGIN or state == QUOTE):  # noqa: PLR1714, SIM109
            state = QUOTED
        else:
            state = PLAIN
    return count, state
