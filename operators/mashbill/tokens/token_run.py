"""Tokens of a set's split as one run, whatever shards they lie in."""

from collections.abc import Sequence

import numpy as np

from mashbill.artifacts import Place
from mashbill.tokens.open_shards import OpenShards


class TokenRun:
    """Tokens that are read by slices.

    Args:
        place: an artifact or a folder with the shards.
        dtype: of a token.
        shards: files and how many tokens each has, in order.
    """

    def __init__(
        self, place: Place, dtype: np.dtype[np.unsignedinteger], shards: Sequence[tuple[str, int]]
    ) -> None:
        self.dtype, self.shards = dtype, OpenShards(place, dtype, shards)
        self.ends = np.cumsum([tokens for _, tokens in shards], dtype=np.int64)

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    def __getitem__(self, part: slice) -> np.ndarray:
        """[tokens] some of the tokens, mapped where they lie in one shard. What lies in another than they
        begin in is read without fetching all of that.

        Args:
            part: a slice without a step.
        """
        start, stop, step = part.indices(len(self))
        if step != 1:
            raise ValueError(f"tokens are read in order, not by {part}")
        if start >= stop:
            return np.empty(0, self.dtype)
        first, last = np.searchsorted(self.ends, [start, stop - 1], side="right").tolist()
        before = int(self.ends[first - 1]) if first else 0
        found = [self.shards.tokens(first)[start - before : stop - before]]
        for shard in range(first + 1, last + 1):
            count = min(stop, int(self.ends[shard])) - int(self.ends[shard - 1])
            found.append(self.shards.head(shard, count))
        return found[0] if len(found) == 1 else np.concatenate(found)

    @property
    def room(self) -> int | None:
        """Tokens that copies of shards have room for; None where no copies are made."""
        return self.shards.room

    def hold(self, shard: int) -> None:
        """Fetch a shard, unless it is there, and keep it until it is let go as often as it was held."""
        self.shards.hold(shard)

    def let_go(self, shard: int) -> None:
        """Need a shard no longer."""
        self.shards.let_go(shard)
