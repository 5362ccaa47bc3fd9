"""The loader: which tokens a model reads at position i, as a pure function of (seed, i).

The domains' turns are interleaved by largest remainder, so that every prefix follows the mixture as closely as whole
sequences can. A domain is read without replacement within an epoch, each epoch in another order. Nothing is kept between
calls: any number of workers, and any restart, reads the same sequences.
"""

from collections.abc import Mapping

import numpy as np

from mashbill.errors import DataError

LOADER_TAG = 202


class MixtureLoader:
    """Sequences of tokens in the proportions of a mixture.

    Args:
        train_tokens: [tokens] training tokens of each domain.
        mixture: weight of each domain; the weights sum to 1.
        context: tokens a model reads at once; a sequence has one more, the last target.
        sequences: sequences of the whole run.
        seed: seed of the order.
    Raises:
        DataError: a domain with weight has fewer tokens than one sequence.
    """

    def __init__(
        self, train_tokens: Mapping[str, np.ndarray], mixture: Mapping[str, float], *, context: int, sequences: int, seed: int
    ) -> None:
        self.context, self.sequences, self.seed = context, sequences, seed
        self.domains = [name for name, weight in mixture.items() if weight > 0]
        self.tokens = [train_tokens[name] for name in self.domains]
        self.windows = [(len(tokens) - 1) // context for tokens in self.tokens]
        for name, windows in zip(self.domains, self.windows, strict=True):
            if windows < 1:
                raise DataError(f"domain {name}", f"has fewer than {context + 1} training tokens", "add text or shorten the context")
        weights = np.array([mixture[name] for name in self.domains])
        self.turn, self.visit = _schedule(weights / weights.sum(), sequences)
        self.orders: dict[tuple[int, int], np.ndarray] = {}

    def sequences_at(self, indices: np.ndarray) -> np.ndarray:
        """[n, context + 1] int64 tokens at the given positions of the run."""
        batch = np.empty((len(indices), self.context + 1), np.int64)
        for row, index in enumerate(indices):
            domain = int(self.turn[index])
            epoch, place = divmod(int(self.visit[index]), self.windows[domain])
            start = int(self._order(domain, epoch)[place]) * self.context
            batch[row] = self.tokens[domain][start : start + self.context + 1]
        return batch

    def domain_counts(self) -> dict[str, int]:
        """Sequences of the whole run by domain."""
        counts = np.bincount(self.turn, minlength=len(self.domains))
        return {name: int(count) for name, count in zip(self.domains, counts, strict=True)}

    def epochs(self) -> dict[str, float]:
        """Times each domain is read in the whole run."""
        return {name: self.domain_counts()[name] / windows for name, windows in zip(self.domains, self.windows, strict=True)}

    def _order(self, domain: int, epoch: int) -> np.ndarray:
        if (domain, epoch) not in self.orders:
            generator = np.random.default_rng([self.seed, LOADER_TAG, domain, epoch])
            self.orders[domain, epoch] = generator.permutation(self.windows[domain])
        return self.orders[domain, epoch]


def _schedule(weights: np.ndarray, sequences: int) -> tuple[np.ndarray, np.ndarray]:
    """Which domain has the turn at each position, and how often it has had it before.

    A domain's k-th turn is due at (k + 1/2) / weight; turns are taken in the order they are due.

    Returns:
        [sequences] domain and [sequences] visit.
    """
    exact = weights * sequences
    counts = np.floor(exact).astype(np.int64)
    short = sequences - int(counts.sum())
    counts[np.argsort(-(exact - counts), kind="stable")[:short]] += 1
    domain = np.repeat(np.arange(len(weights)), counts)
    visit = np.concatenate([np.arange(count) for count in counts]) if len(counts) else np.empty(0, np.int64)
    due = (visit + 0.5) / np.maximum(counts[domain], 1)
    order = np.lexsort((domain, due))
    return domain[order], visit[order]
