"""Prints how many bytes a loader of a run of a trillion tokens takes: ``python -m builders.loading_far``.

Its tokens are numbers that are computed where they are read, in as many shards as a store of them has.
"""

import numpy as np

from builders.memory import peak_bytes
from mashbill.mixtures import MixtureLoader, Schedule

DOMAINS, CONTEXT, SEQUENCES = 50, 4_096, 244_140_625
SHARD, BUFFER = 16_000_000, 500_000_000


class Computed:
    """Tokens that are their places, in shards."""

    def __init__(self, tokens: int) -> None:
        self.ends = np.append(np.arange(SHARD, tokens, SHARD), tokens)

    room = None

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getitem__(self, part: slice) -> np.ndarray:
        return np.arange(part.stop - part.start, dtype=np.uint16)

    def hold(self, shard: int) -> None:
        """Nothing to fetch."""

    def let_go(self, shard: int) -> None:
        """Nothing was fetched."""


def main() -> None:
    """Read batches from the beginning, the middle and the end, and print the bytes they took."""
    weights = np.random.default_rng(0).dirichlet(np.ones(DOMAINS), size=2)
    names = tuple(f"domain{d:02}" for d in range(DOMAINS))
    schedule = Schedule(names, np.array([0.8, 0.2]), weights)
    amounts = weights.mean(axis=0) * SEQUENCES * CONTEXT / np.linspace(0.3, 4, DOMAINS)
    MixtureLoader({"d": np.arange(99)}, {"d": 1.0}, context=4, sequences=9, seed=0).sequences_at(np.arange(9))
    before = peak_bytes()
    tokens = {name: Computed(int(amount) + SHARD) for name, amount in zip(names, amounts, strict=True)}
    for shuffle_tokens in (BUFFER, None):
        loader = MixtureLoader(
            tokens, schedule, context=CONTEXT, sequences=SEQUENCES, seed=1, shuffle_tokens=shuffle_tokens
        )
        assert sum(loader.domain_counts().values()) == SEQUENCES
        for start in (0, SEQUENCES // 2, int(0.8 * SEQUENCES) - 6_000, SEQUENCES - 12_288):
            for first in range(start, start + 12_288, 512):
                loader.hold(np.arange(first, first + 512)).close()
                loader.sequences_at(np.arange(first, first + 64))
    print(peak_bytes() - before)


if __name__ == "__main__":
    main()
