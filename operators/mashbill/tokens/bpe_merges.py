"""Compiled kernels that learn the merges of BPE from pieces and their counts, as Hugging Face's trainer does.

The most frequent pair is merged first, of equals the one of the smaller ids. A pair waits in a queue with the
pieces in which it came up, and its total is looked at when its turn comes.
"""

from typing import Any

import numpy as np

from mashbill.kernels import numba

EMPTY, MIXED = np.uint64(0xFFFFFFFFFFFFFFFF), np.uint64(0x9E3779B97F4A7C15)
LOW, HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
PAIRS, ENTRIES, NODES, WAITING = range(4)
"""What the state counts: pairs in the table, entries made, nodes of their lists, and entries that wait."""
ROOM = 1 << 12


@numba.njit(cache=True, nogil=True)
def _grown(array: np.ndarray, used: int) -> np.ndarray:
    """The array, or one of twice its size where no place of it is free."""
    if used < len(array):
        return array
    found = np.empty(2 * len(array), array.dtype)
    found[:used] = array[:used]
    return found


@numba.njit(cache=True, nogil=True, inline="always")
def _place(keys: np.ndarray, pair: np.uint64) -> np.uint64:
    """Where a pair is in the table, or would be."""
    mask = np.uint64(len(keys) - 1)
    mixed = pair * MIXED
    place = (mixed ^ (mixed >> HALF)) & mask
    while keys[place] != EMPTY and keys[place] != pair:
        place = (place + np.uint64(1)) & mask
    return place


@numba.njit(cache=True, nogil=True)
def _wider(table: Any) -> Any:
    """The table of pairs with twice the places."""
    keys, totals, newest = table
    more = 2 * len(keys)
    new_keys, new_totals = np.full(more, EMPTY, np.uint64), np.zeros(more, np.int64)
    new_newest = np.full(more, -1, np.int64)
    for i in range(len(keys)):
        if keys[i] != EMPTY:
            place = _place(new_keys, keys[i])
            new_keys[place], new_totals[place], new_newest[place] = keys[i], totals[i], newest[i]
    return new_keys, new_totals, new_newest


@numba.njit(cache=True, nogil=True, inline="always")
def _before(counts: np.ndarray, entries: np.ndarray, pairs: np.ndarray, i: int, j: int) -> bool:
    """Whether the entry at one place of the queue comes before that at another."""
    if counts[i] != counts[j]:
        return counts[i] > counts[j]
    one, other = pairs[entries[i]], pairs[entries[j]]
    return one < other or (one == other and entries[i] < entries[j])


@numba.njit(cache=True, nogil=True)
def _push(queue: Any, pairs: np.ndarray, state: np.ndarray, count: int, entry: int) -> Any:
    """The queue (a binary heap) with one entry more."""
    at = state[WAITING]
    counts, entries = _grown(queue[0], at), _grown(queue[1], at)
    counts[at], entries[at] = count, entry
    state[WAITING] += 1
    while at > 0:
        above = (at - 1) // 2
        if not _before(counts, entries, pairs, at, above):
            break
        counts[at], counts[above] = counts[above], counts[at]
        entries[at], entries[above] = entries[above], entries[at]
        at = above
    return counts, entries


@numba.njit(cache=True, nogil=True)
def _pop(queue: Any, pairs: np.ndarray, state: np.ndarray) -> Any:
    """The count and the entry that come first, which leave the queue."""
    counts, entries = queue
    found = counts[0], entries[0]
    state[WAITING] -= 1
    size, at = state[WAITING], 0
    counts[0], entries[0] = counts[size], entries[size]
    while True:
        first = at
        for below in range(2 * at + 1, min(2 * at + 3, size)):
            if _before(counts, entries, pairs, below, first):
                first = below
        if first == at:
            return found
        counts[at], counts[first] = counts[first], counts[at]
        entries[at], entries[first] = entries[first], entries[at]
        at = first


@numba.njit(cache=True, nogil=True, inline="always")
def _pair(first: int, second: int) -> np.uint64:
    return (np.uint64(first) << HALF) | np.uint64(second)


@numba.njit(cache=True, nogil=True)
def _merge_piece(
    symbols: np.ndarray, pair: np.uint64, new: int, changed: np.ndarray, signs: np.ndarray
) -> Any:
    """Merge a pair in one piece, from the left.

    Args:
        symbols: [symbols] int32 of the piece, written.
        pair: what is merged.
        new: the token that it becomes.
        changed: [room] uint64, written: pairs that there are more or fewer of.
        signs: [room] int64, written: 1 or -1 for each.
    Returns:
        How many symbols are left, and how many changes were written.
    """
    first, second = np.int64(pair >> HALF), np.int64(pair & LOW)
    end, kept, at, count = len(symbols), 0, 0, 0
    while at < end:
        if at + 1 == end or symbols[at] != first or symbols[at + 1] != second:
            symbols[kept] = symbols[at]
            kept, at = kept + 1, at + 1
            continue
        if kept > 0:
            changed[count], signs[count] = _pair(symbols[kept - 1], first), -1
            changed[count + 1], signs[count + 1] = _pair(symbols[kept - 1], new), 1
            count += 2
        if at + 2 < end:
            changed[count], signs[count] = _pair(second, symbols[at + 2]), -1
            changed[count + 1], signs[count + 1] = _pair(new, symbols[at + 2]), 1
            count += 2
        symbols[kept] = new
        kept, at = kept + 1, at + 2
    return kept, count


@numba.njit(cache=True, nogil=True)
def _note(
    table: Any,
    lists: Any,
    state: np.ndarray,
    begun: int,
    piece: int,
    times: int,
    changed: np.ndarray,
    signs: np.ndarray,
) -> Any:
    """Count the changes of a piece; what there is more of gets an entry with the pieces that have it.

    Args:
        table: pairs, their totals, and the last entry of each.
        lists: pairs of the entries, the last node of each, and piece and previous node of the nodes.
        state: what is counted of both, written.
        begun: the first entry of this merge.
        piece: its number; times: how often it is in the text.
        changed, signs: [changes].
    """
    pairs, heads, pieces, previous = lists
    for i in range(len(changed)):
        if state[PAIRS] * 2 >= len(table[0]):
            table = _wider(table)
        keys, totals, newest = table
        place = _place(keys, changed[i])
        if keys[place] == EMPTY:
            keys[place] = changed[i]
            state[PAIRS] += 1
        totals[place] += signs[i] * times
        if signs[i] < 0:
            continue
        if newest[place] < begun:
            newest[place] = entry = state[ENTRIES]
            pairs, heads = _grown(pairs, entry), _grown(heads, entry)
            pairs[entry], heads[entry] = changed[i], 0
            state[ENTRIES] += 1
        entry = newest[place]
        if heads[entry] == 0 or pieces[heads[entry]] != piece:
            node = state[NODES]
            pieces, previous = _grown(pieces, node), _grown(previous, node)
            pieces[node], previous[node] = piece, heads[entry]
            heads[entry] = node
            state[NODES] += 1
    return table, (pairs, heads, pieces, previous)


@numba.njit(cache=True, nogil=True)
def _token(contents: np.ndarray, bounds: np.ndarray, slots: np.ndarray, used: int, size: int) -> int:
    """The token whose bytes are those behind the last one's; the next free id, where none is."""
    start = bounds[used]
    mixed = np.uint64(size) * MIXED
    for i in range(start, start + size):
        mixed = (mixed ^ np.uint64(contents[i])) * MIXED
        mixed ^= mixed >> HALF
    mask = np.uint64(len(slots) - 1)
    slot = mixed & mask
    while slots[slot] >= 0:
        token = slots[slot]
        if bounds[token + 1] - bounds[token] == size:
            same = 0
            while same < size and contents[bounds[token] + same] == contents[start + same]:
                same += 1
            if same == size:
                return token
        slot = (slot + np.uint64(1)) & mask
    slots[slot] = used
    return used


@numba.njit(cache=True, nogil=True)
def _joined(contents: np.ndarray, bounds: np.ndarray, used: int, pair: np.uint64) -> Any:
    """The bytes of the tokens with those of a pair's behind them, and how many these are."""
    end = size = bounds[used]
    for token in (np.int64(pair >> HALF), np.int64(pair & LOW)):
        length = bounds[token + 1] - bounds[token]
        while size + length > len(contents):
            contents = _grown(contents, len(contents))
        contents[size : size + length] = contents[bounds[token] : bounds[token] + length]
        size += length
    return contents, size - end


@numba.njit(cache=True, nogil=True)
def learn_merges(
    symbols: np.ndarray,
    bounds: np.ndarray,
    times: np.ndarray,
    known: np.ndarray,
    sizes: np.ndarray,
    wanted: int,
) -> Any:
    """Merge pairs until there are enough tokens, or nothing is left to merge.

    Args:
        symbols: [symbols] int32 tokens of all pieces, written.
        bounds: [pieces + 1] int64 where each piece begins.
        times: [pieces] int64 how often each is in the text.
        known: [bytes] uint8 of the tokens that there are, one after another.
        sizes: [tokens] int64 bytes of each; 0 for one that no bytes make.
        wanted: how many tokens there shall be.
    Returns:
        [merges] uint64 pairs, the first token in the upper half; [bytes] uint8 of all tokens, and where each
        begins, [tokens + 1] int64.
    """
    tokens, ends = 0, np.zeros(max(wanted, len(sizes)) + 2, np.int64)
    slots = np.full(1 << int(np.ceil(np.log2(2 * len(ends)))), -1, np.int64)
    contents = known.copy()
    for size in sizes:
        _token(contents, ends, slots, tokens, size)
        ends[tokens + 1] = ends[tokens] + size
        tokens += 1
    table = np.full(ROOM, EMPTY, np.uint64), np.zeros(ROOM, np.int64), np.full(ROOM, -1, np.int64)
    lists = (
        np.empty(ROOM, np.uint64),
        np.empty(ROOM, np.uint32),
        np.empty(ROOM, np.int32),
        np.empty(ROOM, np.uint32),
    )
    queue = np.empty(ROOM, np.int64), np.empty(ROOM, np.int64)
    state, left = np.array([0, 0, 1, 0]), bounds[1:] - bounds[:-1]
    longest = 1 if len(left) == 0 else left.max()
    changed, signs = np.empty(2 * longest + 4, np.uint64), np.ones(2 * longest + 4, np.int64)
    for piece in range(len(left)):
        for i in range(left[piece] - 1):
            changed[i] = _pair(symbols[bounds[piece] + i], symbols[bounds[piece] + i + 1])
        count = max(0, left[piece] - 1)
        table, lists = _note(table, lists, state, 0, piece, times[piece], changed[:count], signs[:count])
    merges, made, begun = np.empty(ROOM, np.uint64), 0, 0
    while True:
        for entry in range(begun, state[ENTRIES]):
            total = table[1][_place(table[0], lists[0][entry])]
            if total > 0:
                queue = _push(queue, lists[0], state, total, entry)
        count, entry, total = 0, 0, -1
        while tokens < wanted and state[WAITING] and count != total:
            count, entry = _pop(queue, lists[0], state)
            total = table[1][_place(table[0], lists[0][entry])]
            if count != total:
                queue = _push(queue, lists[0], state, total, entry)
        if count != total or total < 1:
            return merges[:made], contents[: ends[tokens]], ends[: tokens + 1]
        pair, begun = lists[0][entry], state[ENTRIES]
        contents, size = _joined(contents, ends, tokens, pair)
        token = _token(contents, ends, slots, tokens, size)
        if token == tokens:
            ends[tokens + 1] = ends[tokens] + size
            tokens += 1
        merges = _grown(merges, made)
        merges[made] = pair
        made += 1
        node = np.int64(lists[1][entry])
        while node:
            member, node = np.int64(lists[2][node]), np.int64(lists[3][node])
            here = symbols[bounds[member] : bounds[member] + left[member]]
            left[member], count = _merge_piece(here, pair, token, changed, signs)
            table, lists = _note(
                table, lists, state, begun, member, times[member], changed[:count], signs[:count]
            )
