"""Limits on a choice: floors, ceilings and repeats, mixtures brought within them, and which of them it
touches."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from mashbill.errors import ConfigError, DataError
from mashbill.mixtures import epoch_ceiling, within_ceiling

CONFIGURED, OPTIONS = ("mix.floors", "mix.ceilings"), ("--min", "--max")
"""What errors call floors and ceilings that a config gives, and those of the shell."""


@dataclass(frozen=True)
class Limits:
    """What mixtures keep to.

    Attributes:
        floor, ceiling: [domains] least and greatest weights.
        repeats: [domains] greatest weights under a limit on repeats; None means no such limit.
    """

    floor: np.ndarray
    ceiling: np.ndarray
    repeats: np.ndarray | None = None

    @property
    def highest(self) -> np.ndarray:
        """[domains] greatest weights under the ceiling and the limit on repeats."""
        return self.ceiling if self.repeats is None else np.minimum(self.ceiling, self.repeats)

    def applied(self, weights: np.ndarray) -> np.ndarray:
        """[mixtures, domains] mixtures brought within the limits; those that keep to them stay as they are.

        What is above its limit goes to the others in proportion; what lifts a domain to its floor is taken
        from what the others have above theirs.
        """
        lifted = np.maximum(within_ceiling(weights, self.highest), self.floor)
        above = lifted - self.floor
        total = above.sum(axis=1, keepdims=True)
        over = lifted.sum(axis=1, keepdims=True) - 1
        return lifted - above * np.divide(over, total, out=np.zeros_like(total), where=total > 0)

    def left(self, spent: np.ndarray, share: float, domains: Sequence[str]) -> Self:
        """What the limits still allow in the rest of a run.

        Args:
            spent: [domains] read so far, as weights of the whole run.
            share: of the run that is left.
            domains: names.
        Raises:
            ConfigError: nothing keeps to what is left.
        """
        repeats = np.ones(len(domains)) if self.repeats is None else self.repeats
        left = type(self)(self.floor, self.ceiling, np.clip((repeats - spent) / share, 0, 1))
        left.check(domains, OPTIONS)
        return left

    def check(self, domains: Sequence[str], named: tuple[str, str]) -> None:
        """Raise ConfigError where no mixture keeps to the limits; ``named`` is what it calls floors and
        ceilings."""
        crossed = [
            d for d, low, high in zip(domains, self.floor, self.highest, strict=True) if low > high + 1e-12
        ]
        if crossed:
            mend = f"lower it, or raise {named[1]} or the epochs"
            raise ConfigError(f"{named[0]} {crossed[0]}", "is over what its ceiling allows", mend)
        if self.floor.sum() > 1 + 1e-9:
            raise ConfigError(
                named[0], f"asks for {self.floor.sum():g} in all", "let the floors sum to at most 1"
            )
        if self.highest.sum() < 1 - 1e-9:
            raise ConfigError(
                named[1], f"allows {self.highest.sum():g} in all", "let the ceilings sum to at least 1"
            )

    def in_force(self, domains: Sequence[str], chosen: np.ndarray) -> tuple[str, ...]:
        """A line for each limit that a choice touches."""
        rows = list(zip(domains, chosen.tolist(), self.floor.tolist(), self.highest.tolist(), strict=True))
        at_ceiling = [
            f"{d} is at its ceiling of {high:.4g}" for d, w, _, high in rows if high < 1 and w > high - 1e-6
        ]
        at_floor = [
            f"{d} is at its floor of {low:.4g}" for d, w, low, _ in rows if low > 0 and w < low + 1e-6
        ]
        return (*at_ceiling, *at_floor)


@dataclass(frozen=True)
class Repeats:
    """A limit on how often a domain may be repeated.

    Attributes:
        available: tokens there are of each domain.
        tokens: of the run.
        max_epochs: times that a domain may be read.
        where: what errors call the limit, and table: what they call the tokens there are.
    """

    available: Mapping[str, float]
    tokens: float
    max_epochs: float
    where: str
    table: str = "the tokens"

    def ceiling(self, domains: Sequence[str]) -> np.ndarray:
        """[domains] greatest weights.

        Raises:
            ConfigError: the limit leaves the run without enough tokens.
            DataError: a domain's tokens are unknown, or there is one more.
        """
        for name in domains:
            if name not in self.available:
                raise DataError(f"{self.table}: domain {name}", "is missing", "add its tokens")
        unknown = [name for name in self.available if name not in domains]
        if unknown:
            where = f"{self.table}: domain {unknown[0]}"
            raise DataError(where, "is no domain of the model", f"choose among {', '.join(domains)}")
        amounts = np.array([self.available[name] for name in domains])
        return epoch_ceiling(amounts, self.tokens, self.max_epochs, where=self.where)


def no_limits(domains: int) -> Limits:
    """Limits that hold nothing back."""
    return Limits(np.zeros(domains), np.ones(domains))


def bounds(
    domains: Sequence[str],
    least: Mapping[str, float],
    most: Mapping[str, float],
    *,
    repeats: Repeats | None = None,
    named: tuple[str, str] = OPTIONS,
) -> Limits:
    """Limits from weights by name.

    Args:
        domains: names, in order.
        least, most: weights of some domains.
        repeats: how often each may be repeated.
        named: what errors call floors and ceilings.
    Raises:
        ConfigError: a name is unknown, or no mixture keeps to the bounds.
        DataError: the tokens of a domain are unknown.
    """
    for option, given in ((named[0], least), (named[1], most)):
        unknown = [name for name in given if name not in domains]
        if unknown:
            what = "is no domain of the model"
            raise ConfigError(f"{option} {unknown[0]}", what, f"choose among {', '.join(domains)}")
    floor = np.array([least.get(name, 0.0) for name in domains])
    ceiling = np.array([most.get(name, 1.0) for name in domains])
    limits = Limits(floor, ceiling, repeats.ceiling(domains) if repeats else None)
    limits.check(domains, named)
    return limits
