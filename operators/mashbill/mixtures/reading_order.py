"""The order in which a domain's windows are read: each once an epoch, every epoch in an order of its own.

A domain's shards stand in a shuffled order, neighbours in it share a buffer, and the windows of a buffer are
shuffled among one another. Who reads on needs the shards of one buffer, not all; a buffer that has room for
the whole domain is a shuffle of all its windows.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from mashbill.mixtures.permutation import Permutation

LOADER_TAG = "loader"
KEPT_EPOCHS = 2


@dataclass(frozen=True)
class Epoch:
    """How one epoch goes through the shards.

    Attributes:
        shards: [shards] in the order of the epoch.
        begins: [shards + 1] windows before each of them.
        buffers: [buffers + 1] windows before each buffer.
    """

    shards: np.ndarray
    begins: np.ndarray
    buffers: np.ndarray


class ReadingOrder:
    """Which window of a domain is read when it has its turn.

    Args:
        name: of the domain: its order is its own, whatever else is read.
        firsts: [shards + 1] the first window of each shard, and how many windows there are in all.
        buffer: windows that are shuffled among one another, and the rest of the last shard among them.
        seed: seed of the order.
    """

    def __init__(self, name: str, firsts: np.ndarray, buffer: int, *, seed: int) -> None:
        self.windows = int(firsts[-1])
        self.key = (LOADER_TAG, seed, name)
        if buffer >= self.windows:
            firsts = np.array([0, self.windows], np.int64)
        full = np.flatnonzero(np.diff(firsts))
        self.firsts, self.sizes, self.buffer = firsts[full], np.diff(firsts)[full], buffer
        self._epoch = lru_cache(KEPT_EPOCHS)(self._lay_out)
        self._shuffle = lru_cache(KEPT_EPOCHS)(self._shuffle_of)

    @property
    def at_once(self) -> int:
        """Windows of the shards that are read from at once, at the most: of a buffer, and of the next where
        there is one."""
        return int(np.sort(np.diff(self._epoch(0).buffers))[-2:].sum())

    def windows_at(self, visits: np.ndarray) -> np.ndarray:
        """[visits] the window that each visit reads.

        Args:
            visits: [visits] turns that the domain had before, epochs counted through.
        """
        epochs, places = np.divmod(visits, self.windows)
        windows = np.empty(len(visits), np.int64)
        for number in np.unique(epochs).tolist():
            there = np.flatnonzero(epochs == number)
            windows[there] = self._within(number, places[there])
        return windows

    def _within(self, number: int, places: np.ndarray) -> np.ndarray:
        """[places] windows that an epoch reads at its places."""
        epoch = self._epoch(number)
        buffers = np.searchsorted(epoch.buffers, places, side="right") - 1
        shuffled = np.empty(len(places), np.int64)
        for buffer in np.unique(buffers).tolist():
            there = np.flatnonzero(buffers == buffer)
            first = int(epoch.buffers[buffer])
            shuffled[there] = first + self._shuffle(number, buffer).at(places[there] - first)
        shard = np.searchsorted(epoch.begins, shuffled, side="right") - 1
        return self.firsts[epoch.shards[shard]] + shuffled - epoch.begins[shard]

    def _lay_out(self, number: int) -> Epoch:
        shards = Permutation(len(self.sizes), *self.key, number).at(np.arange(len(self.sizes)))
        begins = np.concatenate([[0], np.cumsum(self.sizes[shards])])
        fresh = np.diff(begins[:-1] // self.buffer, prepend=-1) > 0
        return Epoch(shards, begins, np.append(begins[:-1][fresh], begins[-1]))

    def _shuffle_of(self, number: int, buffer: int) -> Permutation:
        first, end = self._epoch(number).buffers[buffer : buffer + 2].tolist()
        return Permutation(end - first, *self.key, number, buffer)
