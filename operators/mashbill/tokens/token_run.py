"""Tokens of a set's split as one run, whatever shards they lie in."""

from collections.abc import Sequence

import numpy as np

from mashbill.artifacts import Place, file_in


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
        self.place, self.dtype = place, dtype
        self.files = [name for name, _ in shards]
        self.ends = np.cumsum([tokens for _, tokens in shards], dtype=np.int64)
        self.mapped: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    def __getitem__(self, part: slice) -> np.ndarray:
        """[tokens] some of the tokens, mapped where they lie in one shard.

        Args:
            part: a slice without a step.
        """
        start, stop, step = part.indices(len(self))
        if step != 1:
            raise ValueError(f"tokens are read in order, not by {part}")
        first, last = np.searchsorted(self.ends, [start, max(start, stop - 1)], side="right").tolist()
        if start >= stop:
            return np.empty(0, self.dtype)
        found = []
        for shard in range(first, last + 1):
            before = int(self.ends[shard - 1]) if shard else 0
            found.append(self._shard(shard)[max(0, start - before) : stop - before])
        return found[0] if len(found) == 1 else np.concatenate(found)

    def _shard(self, shard: int) -> np.ndarray:
        if shard not in self.mapped:
            path = file_in(self.place, self.files[shard])
            self.mapped[shard] = np.memmap(path, dtype=self.dtype, mode="r")
        return self.mapped[shard]
