"""The loader: which tokens a model reads at position i, as a pure function of (seed, i).

The domains' turns are interleaved by largest remainder, so that every prefix follows the mixture as closely
as whole sequences can; under a schedule, every prefix of a phase that phase's. A domain is read without
replacement within an epoch, each epoch in another order, and goes on where the phase before left it. Nothing
is kept between calls: any number of workers, and any restart, reads the same sequences.
"""

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from mashbill.errors import DataError
from mashbill.mixtures.schedule import Schedule

LOADER_TAG = 202


class Tokens(Protocol):
    """Tokens that are read by slices, wherever they lie."""

    def __len__(self) -> int:
        """How many there are."""

    def __getitem__(self, part: slice, /) -> np.ndarray:
        """[tokens] some of them."""


class MixtureLoader:
    """Sequences of tokens in the proportions of a mixture, or of a schedule's mixtures one after the other.

    Args:
        train_tokens: [tokens] training tokens of each domain.
        mixture: weight of each domain, the weights sum to 1; or a schedule.
        context: tokens a model reads at once; a sequence has one more, the last target.
        sequences: sequences of the whole run.
        seed: seed of the order.
    Raises:
        DataError: a domain with weight has fewer tokens than one sequence.
    """

    def __init__(
        self,
        train_tokens: Mapping[str, Tokens],
        mixture: Mapping[str, float] | Schedule,
        *,
        context: int,
        sequences: int,
        seed: int,
    ) -> None:
        self.context, self.sequences, self.seed = context, sequences, seed
        schedule = mixture if isinstance(mixture, Schedule) else Schedule.constant(mixture)
        read = schedule.weights.max(axis=0) > 0
        self.domains = [name for name, some in zip(schedule.domains, read, strict=True) if some]
        self.tokens = [train_tokens[name] for name in self.domains]
        self.windows = [(len(tokens) - 1) // context for tokens in self.tokens]
        for name, windows in zip(self.domains, self.windows, strict=True):
            if windows < 1:
                raise DataError(
                    f"domain {name}",
                    f"has fewer than {context + 1} training tokens",
                    "add text or shorten the context",
                )
        self.turn, visit = _turns(schedule.weights[:, read], np.diff([0, *schedule.ends(sequences)]))
        self.window = self._windows_of(visit)

    def sequences_at(self, indices: np.ndarray) -> np.ndarray:
        """[n, context + 1] int64 tokens at the given positions of the run."""
        batch = np.empty((len(indices), self.context + 1), np.int64)
        for row, (domain, window) in enumerate(zip(self.turn[indices], self.window[indices], strict=True)):
            start = int(window) * self.context
            batch[row] = self.tokens[domain][start : start + self.context + 1]
        return batch

    def domain_counts(self) -> dict[str, int]:
        """Sequences of the whole run by domain."""
        counts = np.bincount(self.turn, minlength=len(self.domains))
        return {name: int(count) for name, count in zip(self.domains, counts, strict=True)}

    def epochs(self) -> dict[str, float]:
        """Times each domain is read in the whole run."""
        return {
            name: self.domain_counts()[name] / windows
            for name, windows in zip(self.domains, self.windows, strict=True)
        }

    def _windows_of(self, visit: np.ndarray) -> np.ndarray:
        """[sequences] which window of its domain is read at each position.

        An epoch's order is drawn for as many windows as are read of it: a run that reads little of a large
        domain costs little. It is the domain's own, whatever else is read.
        """
        window = np.empty(len(visit), np.int64)
        for domain, (name, windows) in enumerate(zip(self.domains, self.windows, strict=True)):
            places = np.flatnonzero(self.turn == domain)
            for epoch in range(-(-len(places) // windows)):
                part = places[(visit[places] >= epoch * windows) & (visit[places] < (epoch + 1) * windows)]
                generator = np.random.default_rng([self.seed, LOADER_TAG, epoch, *name.encode()])
                window[part] = generator.choice(windows, len(part), replace=False)[
                    visit[part] - epoch * windows
                ]
        return window


def _turns(weights: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which domain has the turn at each position, and how often it has had it before.

    Args:
        weights: [phases, domains].
        lengths: [phases] sequences.
    Returns:
        [sequences] domain and [sequences] visit.
    """
    turns, visits, had = [], [], np.zeros(weights.shape[1], np.int64)
    for row, length in zip(weights, lengths, strict=True):
        turn, visit = _interleaved(row / row.sum(), int(length))
        turns.append(turn)
        visits.append(visit + had[turn])
        had += np.bincount(turn, minlength=len(had))
    return np.concatenate(turns), np.concatenate(visits)


def _interleaved(weights: np.ndarray, sequences: int) -> tuple[np.ndarray, np.ndarray]:
    """The turns of one phase: a domain's k-th is due at (k + 1/2) / weight, and they are taken in the order
    they are due.

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
