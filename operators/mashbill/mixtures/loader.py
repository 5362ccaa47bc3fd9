"""The loader: which tokens a model reads at position i, as a pure function of (seed, i).

The domains take turns so that every prefix follows the mixture to within one sequence of each; under a
schedule, every prefix of a phase that phase's. A domain is read without replacement within an epoch, each
epoch in another order, and goes on where the phase before left it. Turns and orders are computed where they
are asked for, in memory that does not grow with the run: any number of workers, and any restart, reads the
same sequences.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import lru_cache
from typing import Protocol, runtime_checkable

import numpy as np

from mashbill.errors import ConfigError, DataError
from mashbill.mixtures.reading_order import ReadingOrder
from mashbill.mixtures.schedule import Schedule
from mashbill.mixtures.turns import Turns

KEPT_FRAMES = 16

log = logging.getLogger(__name__)


class Tokens(Protocol):
    """Tokens that are read by slices, wherever they lie."""

    def __len__(self) -> int:
        """How many there are."""

    def __getitem__(self, part: slice, /) -> np.ndarray:
        """[tokens] some of them."""


@runtime_checkable
class Sharded(Protocol):
    """Tokens that lie in shards, which are fetched before they are read and may go afterwards."""

    @property
    def ends(self) -> np.ndarray:
        """[shards] tokens up to the end of each."""

    @property
    def room(self) -> int | None:
        """Tokens that there is room for where they are fetched to; None where they are there."""

    def hold(self, shard: int) -> None:
        """Fetch a shard, unless it is there, and keep it until it is let go as often as it was held."""

    def let_go(self, shard: int) -> None:
        """Need a shard no longer."""


class MixtureLoader:
    """Sequences of tokens in the proportions of a mixture, or of a schedule's mixtures one after the other.

    Args:
        train_tokens: [tokens] training tokens of each domain.
        mixture: weight of each domain, the weights sum to 1; or a schedule.
        context: tokens a model reads at once; a sequence has one more, the last target.
        sequences: sequences of the whole run.
        seed: seed of the order.
        shuffle_tokens: tokens of a domain that are shuffled among one another, whole shards of it; None means
            all of them. It bounds what must be there at once of shards that are fetched.
    Raises:
        ConfigError: ``shuffle_tokens`` is no number of tokens.
        DataError: the mixture is none, or names a domain that there is not; a domain with weight has fewer
            tokens than one sequence.
    """

    def __init__(
        self,
        train_tokens: Mapping[str, Tokens],
        mixture: Mapping[str, float] | Schedule,
        *,
        context: int,
        sequences: int,
        seed: int,
        shuffle_tokens: int | None = None,
    ) -> None:
        if shuffle_tokens is not None and shuffle_tokens < 1:
            raise ConfigError(
                "shuffle_tokens", f"is {shuffle_tokens}", "give a number of at least 1, or none"
            )
        self.context, self.sequences, self.seed = context, sequences, seed
        schedule = mixture if isinstance(mixture, Schedule) else Schedule.constant(mixture)
        column = _read_domains(schedule, train_tokens)
        self.domains = list(column)
        self.tokens = [train_tokens[name] for name in self.domains]
        self.orders = [self._order(name, tokens, shuffle_tokens) for name, tokens in self._named()]
        self.turns = [Turns(row) for row in schedule.weights[:, list(column.values())]]
        self.phases = np.array([0, *schedule.ends(sequences)])
        counts = [turns.counts(int(n)) for turns, n in zip(self.turns, np.diff(self.phases), strict=True)]
        self.had = np.concatenate([np.zeros((1, len(column)), np.int64), np.cumsum(counts, axis=0)])
        self._frame = lru_cache(KEPT_FRAMES)(self._places_of)

    def sequences_at(self, indices: np.ndarray) -> np.ndarray:
        """[n, context + 1] int64 tokens at the given positions of the run.

        Raises:
            IndexError: a position is not in the run.
        """
        batch = np.empty((len(indices), self.context + 1), np.int64)
        domains, windows = self.places_at(indices)
        for row, (domain, window) in enumerate(zip(domains.tolist(), windows.tolist(), strict=True)):
            start = window * self.context
            batch[row] = self.tokens[domain][start : start + self.context + 1]
        return batch

    def places_at(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """[n] which of ``domains`` has its turn at each position, and [n] which of its windows is read.

        Raises:
            IndexError: a position is not in the run.
        """
        indices = np.asarray(indices, np.int64)
        if len(indices) and not 0 <= indices.min() <= indices.max() < self.sequences:
            raise IndexError(f"positions {indices.min()} to {indices.max()} of {self.sequences} sequences")
        phases = np.searchsorted(self.phases, indices, side="right") - 1
        domains, windows = np.empty(len(indices), np.int64), np.empty(len(indices), np.int64)
        for phase in np.unique(phases).tolist():
            turns, of_phase = self.turns[phase], np.flatnonzero(phases == phase)
            positions = indices[of_phase] - self.phases[phase]
            frames = turns.frames_at(positions)
            for frame in np.unique(frames).tolist():
                there, places = of_phase[frames == frame], positions[frames == frame] - turns.begins(frame)
                domains[there], windows[there] = (found[places] for found in self._frame(phase, frame))
        return domains, windows

    def hold(self, indices: np.ndarray) -> ExitStack:
        """Fetch the shards that the sequences at some positions begin in; they are kept until what is
        returned is closed."""
        domains, windows = self.places_at(indices)
        with ExitStack() as held:
            for domain, tokens in enumerate(self.tokens):
                if isinstance(tokens, Sharded):
                    starts = windows[domains == domain] * self.context
                    for shard in np.unique(np.searchsorted(tokens.ends, starts, side="right")).tolist():
                        tokens.hold(shard)
                        held.callback(tokens.let_go, shard)
            return held.pop_all()

    def warn_of_little_room(self) -> None:
        """Say where shards that are read at once don't have room at once, and will be fetched again."""
        of_shards = [(o, t) for o, t in zip(self.orders, self.tokens, strict=True) if isinstance(t, Sharded)]
        rooms = [tokens.room for _, tokens in of_shards if tokens.room is not None]
        needed = sum(o.at_once * self.context for o, tokens in of_shards if tokens.room is not None)
        if rooms and needed > min(rooms):
            words = (
                "shards of %s tokens are read at once, and their copies have room for %s, so that they are"
            )
            mend = "fetched again and again; lower shuffle_tokens, or raise scratch_bytes"
            log.warning(f"{words} {mend}", f"{needed:,}", f"{min(rooms):,}")

    def domain_counts(self) -> dict[str, int]:
        """Sequences of the whole run by domain."""
        return dict(zip(self.domains, self.had[-1].tolist(), strict=True))

    def epochs(self) -> dict[str, float]:
        """Times each domain is read in the whole run."""
        counts = self.domain_counts()
        return {name: counts[name] / o.windows for name, o in zip(self.domains, self.orders, strict=True)}

    def _named(self) -> Iterator[tuple[str, Tokens]]:
        return zip(self.domains, self.tokens, strict=True)

    def _order(self, name: str, tokens: Tokens, shuffle_tokens: int | None) -> ReadingOrder:
        """How a domain's windows are read: those that begin in a shard go with it."""
        windows = (len(tokens) - 1) // self.context
        if windows < 1:
            what = (
                f"has fewer than {self.context + 1} training tokens"
                if len(tokens)
                else "has weight and no training tokens"
            )
            raise DataError(f"domain {name}", what, "add text, give it no weight, or shorten model.context")
        ends = tokens.ends if isinstance(tokens, Sharded) else np.array([len(tokens)])
        firsts = np.minimum(-(-np.concatenate([[0], ends]) // self.context), windows)
        firsts[-1] = windows
        buffer = windows if shuffle_tokens is None else max(1, shuffle_tokens // self.context)
        return ReadingOrder(name, firsts, buffer, seed=self.seed)

    def _places_of(self, phase: int, frame: int) -> tuple[np.ndarray, np.ndarray]:
        """[positions] domain and [positions] window of a frame of a phase."""
        turns = self.turns[phase]
        left = int(self.phases[phase + 1] - self.phases[phase]) - turns.begins(frame)
        domains, visits = turns.frame(frame, min(left, turns.length(frame)))
        windows = np.empty(len(domains), np.int64)
        for domain, order in enumerate(self.orders):
            there = np.flatnonzero(domains == domain)
            windows[there] = order.windows_at(self.had[phase, domain] + visits[there])
        return domains, windows


def _read_domains(schedule: Schedule, train_tokens: Mapping[str, Tokens]) -> dict[str, int]:
    """The column of each domain that is read, by name: in what order a mixture names them is no matter.

    Raises:
        DataError: a weight is no share, or a domain with weight is not there.
    """
    for name, weights in zip(schedule.domains, schedule.weights.T, strict=True):
        wrong = weights[~(np.isfinite(weights) & (weights >= 0))]
        if len(wrong):
            raise DataError(
                f"mixture, domain {name}", f"has the weight {wrong[0]}", "give a number of at least 0"
            )
    for number, total in enumerate(schedule.weights.sum(axis=1).tolist()):
        if total <= 0:
            raise DataError(
                f"mixture, phase {number + 1}", "gives weight to no domain", "give it to one at least"
            )
    column = {name: i for i, name in enumerate(schedule.domains) if schedule.weights[:, i].max() > 0}
    unknown = sorted(column.keys() - train_tokens.keys())
    if unknown:
        what = (
            f"gives weight to {', '.join(unknown)}, and the shards have {', '.join(train_tokens) or 'none'}"
        )
        raise DataError("mixture", what, "name domains that were tokenized, or rerun tokenize")
    return dict(sorted(column.items()))
