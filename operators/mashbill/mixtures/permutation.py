"""A keyed permutation of any number of things, of which any place is computed alone and nothing is kept.

A Feistel network mixes one half of a number's bits with a keyed function of the other half, round by round,
and so permutes the numbers of that many bits; a number that leads out of the range is permuted on until it
leads into it (Black and Rogaway, "Ciphers with arbitrary finite domains", 2002). Of a few things the whole
order is drawn, each by a random number of its own.
"""

import hashlib

import numpy as np

ROUNDS = 8
DRAWN_WHOLE = 4_096
GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class Permutation:
    """An order of ``size`` things, another for every key.

    Args:
        size: how many things.
        key: words and numbers; whoever has the same reads in the same order.
    """

    def __init__(self, size: int, *key: str | int) -> None:
        said = "".join(f"{len(str(word))}:{word}" for word in key)
        drawn = hashlib.blake2b(said.encode(), digest_size=8 * ROUNDS).digest()
        self.size, self.keys = size, np.frombuffer(drawn, "<u8").astype(np.uint64)
        bits = max(2, (size - 1).bit_length())
        self.low = np.uint64(bits // 2)
        self.masks = np.uint64((1 << (bits - bits // 2)) - 1), np.uint64((1 << (bits // 2)) - 1)
        self.order: np.ndarray | None = None
        if size <= DRAWN_WHOLE:
            numbers = scrambled(np.arange(size, dtype=np.uint64), self.keys[0])
            self.order = np.argsort(numbers, kind="stable")

    def at(self, places: np.ndarray) -> np.ndarray:
        """[places] int64 what stands at each place, from 0 to ``size``."""
        if self.order is not None:
            return self.order[places]
        found = self._permuted(places.astype(np.uint64))
        outside = np.flatnonzero(found >= self.size)
        while len(outside):
            found[outside] = self._permuted(found[outside])
            outside = outside[found[outside] >= self.size]
        return found.astype(np.int64)

    def _permuted(self, numbers: np.ndarray) -> np.ndarray:
        """[numbers] of a network over as many bits as the last has."""
        high, low = numbers >> self.low, numbers & self.masks[1]
        for even, odd in zip(self.keys[::2], self.keys[1::2], strict=True):
            high = high ^ (scrambled(low, even) & self.masks[0])
            low = low ^ (scrambled(high, odd) & self.masks[1])
        return (high << self.low) | low


def scrambled(numbers: np.ndarray, key: np.uint64) -> np.ndarray:
    """[numbers] uint64 of which every bit depends on every bit of the number and of the key.

    Source: the finaliser of SplitMix64 (Steele, Lea and Flood, 2014).
    """
    mixed = numbers * GOLDEN + key
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
