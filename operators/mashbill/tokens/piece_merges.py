"""The merges of byte-level BPE in compiled code: the ids of a piece that was not met before.

Of the pairs of neighbours the one that comes first among the merges is joined, the leftmost of equals, until
none is left (Sennrich et al. 2016), as the library does it.
"""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from mashbill.kernels import numba
from mashbill.tokens.bpe_kernels import piece_key
from mashbill.tokens.split_patterns import byte_characters

LONGEST = 128
"""Bytes of a piece that is merged here: what it takes grows with their square."""
UNKNOWN = -1
NONE = np.uint64(0xFFFFFFFFFFFFFFFF)
SPREAD = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Merges:
    """What merges a tokenizer has.

    Attributes:
        alphabet: [256] int32 id of each byte; UNKNOWN where it has none.
        keys: [slots] uint64 pairs of ids; values: [slots] uint64 rank and id of what they become.
        exceptions: ids of pieces that are tokens though no merges lead to them, by their bytes.
        marks: [exceptions] uint64 by which they are looked for.
    """

    alphabet: np.ndarray
    keys: np.ndarray
    values: np.ndarray
    exceptions: dict[bytes, int]
    marks: np.ndarray

    @classmethod
    def of(cls, tokenizer: Any) -> "Merges | None":
        """The merges of a tokenizer of byte-level BPE; None where they alone do not give its ids."""
        model = json.loads(tokenizer.to_str())["model"]
        vocabulary, characters = model["vocab"], byte_characters()
        if model.get("continuing_subword_prefix") or model.get("end_of_word_suffix"):
            return None
        alphabet = np.array([vocabulary.get(characters[byte], UNKNOWN) for byte in range(256)], np.int32)
        keys, values = _table(model["merges"], vocabulary)
        plain = cls(alphabet, keys, values, {}, np.empty(0, np.uint64))
        if not model.get("ignore_merges"):
            return plain
        exceptions = plain._unreached(vocabulary)
        marks = [piece_key(np.frombuffer(piece, np.uint8), 0, len(piece))[0] for piece in exceptions]
        return cls(alphabet, keys, values, exceptions, np.array(marks, np.uint64))

    def _unreached(self, vocabulary: dict[str, int]) -> dict[bytes, int]:
        """Tokens of bytes to which no merges lead."""
        bytes_of = {character: byte for byte, character in byte_characters().items()}
        found = {}
        for token, number in vocabulary.items():
            if token and all(character in bytes_of for character in token):
                piece = bytes(bytes_of[character] for character in token)
                if self.ids_of(piece) != [number]:
                    found[piece] = number
        return found

    def ids_of(self, piece: bytes) -> list[int]:
        """The ids of one piece by merges alone."""
        out = np.empty(len(piece), np.uint32)
        text = np.frombuffer(piece, np.uint8)
        count = merged(text, 0, len(piece), self.alphabet, self.keys, self.values, out)
        return out[: max(0, count)].tolist()


def _table(merges: list[Any], vocabulary: dict[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """Pairs, and what they become, as an open table of twice their number at least."""
    pairs = [tuple(merge.split(" ")) if isinstance(merge, str) else tuple(merge) for merge in merges]
    left = np.array([vocabulary[one] for one, _ in pairs], np.uint64)
    right = np.array([vocabulary[other] for _, other in pairs], np.uint64)
    joined = np.array([vocabulary[one + other] for one, other in pairs], np.uint64)
    slots = 1 << max(4, (2 * len(pairs)).bit_length())
    keys, values = np.full(slots, NONE, np.uint64), np.empty(slots, np.uint64)
    _fill(left << np.uint64(32) | right, joined, keys, values)
    return keys, values


@numba.njit(cache=True, nogil=True)
def _fill(pairs: np.ndarray, joined: np.ndarray, keys: np.ndarray, values: np.ndarray) -> None:
    mask = np.uint64(len(keys) - 1)
    for rank in range(len(pairs)):
        slot = (pairs[rank] * SPREAD >> np.uint64(32)) & mask
        while keys[slot] != NONE and keys[slot] != pairs[rank]:
            slot = (slot + np.uint64(1)) & mask
        keys[slot], values[slot] = pairs[rank], np.uint64(rank) << np.uint64(32) | joined[rank]


@numba.njit(cache=True, nogil=True, inline="always")
def _value(left: np.uint32, right: np.uint32, keys: np.ndarray, values: np.ndarray) -> np.uint64:
    """Rank and id of what two ids become; NONE where they become nothing."""
    pair = np.uint64(left) << np.uint64(32) | np.uint64(right)
    mask = np.uint64(len(keys) - 1)
    slot = (pair * SPREAD >> np.uint64(32)) & mask
    while keys[slot] != NONE:
        if keys[slot] == pair:
            return values[slot]
        slot = (slot + np.uint64(1)) & mask
    return NONE


@numba.njit(cache=True, nogil=True)
def merged(
    text: np.ndarray,
    at: int,
    behind: int,
    alphabet: np.ndarray,
    keys: np.ndarray,
    values: np.ndarray,
    out: np.ndarray,
) -> int:
    """Write the ids of a piece, and say how many they are.

    Args:
        text: [bytes] uint8, of which the piece is those from ``at`` to ``behind``.
        alphabet, keys, values: of ``Merges``.
        out: [bytes of the piece at least] uint32, written.
    Returns:
        UNKNOWN where one of its bytes has no id.
    """
    count = behind - at
    for i in range(count):
        if alphabet[text[at + i]] == UNKNOWN:
            return UNKNOWN
        out[i] = alphabet[text[at + i]]
    ranks = np.empty(max(count, 1), np.uint64)  # of each pair, by its left one
    for i in range(count - 1):
        ranks[i] = _value(out[i], out[i + 1], keys, values)
    while count > 1:
        best, place = NONE, 0
        for i in range(count - 1):
            if ranks[i] < best:
                best, place = ranks[i], i
        if best == NONE:
            break
        out[place] = np.uint32(best & np.uint64(0xFFFFFFFF))
        count -= 1
        for i in range(place + 1, count):
            out[i], ranks[i] = out[i + 1], ranks[i + 1]
        if place:
            ranks[place - 1] = _value(out[place - 1], out[place], keys, values)
        if place < count - 1:
            ranks[place] = _value(out[place], out[place + 1], keys, values)
    return count


@numba.njit(cache=True, nogil=True)
def merge_pieces(
    text: np.ndarray,
    new: np.ndarray,
    spans: np.ndarray,
    alphabet: np.ndarray,
    keys: np.ndarray,
    values: np.ndarray,
    entries: np.ndarray,
    ids: np.ndarray,
    used: int,
) -> int:
    """Give pieces their ids, but those that are longer than ``LONGEST`` or have a byte without one.

    Args:
        text: [bytes] uint8.
        new: [pieces] int32 slots of the table; spans: [pieces, 2] int64 where they are in the text.
        alphabet, keys, values: of ``Merges``.
        entries: [slots, 4] int32 of the table, written: first id and number of ids.
        ids: [room] uint32 of all entries, written from ``used`` on.
        used: of the room.
    Returns:
        What is used of the room then; -1 where it does not suffice.
    """
    for i in range(len(new)):
        at, behind = spans[i, 0], spans[i, 1]
        if behind - at > LONGEST:
            continue
        if used + behind - at > len(ids):
            return -1
        count = merged(text, at, behind, alphabet, keys, values, ids[used:])
        if count == UNKNOWN:
            continue
        entries[new[i], 0], entries[new[i], 1] = used, count
        used += count
    return used
