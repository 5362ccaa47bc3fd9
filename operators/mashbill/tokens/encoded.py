"""Texts as ids, one array for all of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np


@dataclass(frozen=True)
class Encoded:
    """The ids of some texts.

    Attributes:
        ids: [ids] uint32 of all texts, one after another.
        bounds: [texts + 1] int64 where each begins.
    """

    ids: np.ndarray
    bounds: np.ndarray

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]]) -> Self:
        """Texts of which each one's ids are a list."""
        bounds = np.zeros(len(rows) + 1, np.int64)
        np.cumsum([len(row) for row in rows], out=bounds[1:])
        ids = np.fromiter((one for row in rows for one in row), np.uint32, int(bounds[-1]))
        return cls(ids, bounds)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Texts of several, in order."""
        if len(parts) == 1:
            return parts[0]
        sizes = [np.diff(part.bounds) for part in parts]
        bounds = np.concatenate([[0], np.cumsum(np.concatenate([np.zeros(0, np.int64), *sizes]))])
        return cls(np.concatenate([np.zeros(0, np.uint32), *(part.ids for part in parts)]), bounds)

    @property
    def lengths(self) -> np.ndarray:
        """[texts] ids of each."""
        return np.diff(self.bounds)

    def row(self, text: int) -> np.ndarray:
        """[ids] of one text."""
        return self.ids[self.bounds[text] : self.bounds[text + 1]]

    def taken(self, chosen: np.ndarray, after: int) -> np.ndarray:
        """[ids] of some texts, each followed by one more.

        Args:
            chosen: [chosen] which.
            after: the id that follows each.
        """
        from mashbill.tokens.bpe_kernels import take_texts

        out = np.empty(int(self.lengths[chosen].sum()) + len(chosen), np.uint32)
        take_texts(self.ids, self.bounds, chosen.astype(np.int64), after, out)
        return out
