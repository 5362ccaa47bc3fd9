"""The law that a final loss follows in parameters and tokens, fitted to runs of small models.

Chinchilla's form with one exponent, which holds for over-trained models too: L = E + alpha N^b +
beta 6^(b/2) (M N)^b, where M = D / N tokens a parameter. With all constants but b above 0 and b below it, a
loss is never negative and falls in both N and D.

Source: Gadre et al. (arXiv 2403.08540), equation 4 and their published constants; Huber loss on log losses
with many starts as in Hoffmann et al. (arXiv 2203.15556).
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from mashbill.errors import DataError
from mashbill.mixtures.forecast import LawConstants

MIN_SIZES, PLENTY_OF_SIZES, MIN_BUDGETS = 3, 4, 2
CONSTANTS = 4
NARROW, TUNING = 1e-3, 1.345
"""Where Huber's loss turns linear: Hoffmann's delta at least, else so many deviations (95% as good as
squares)."""
STARTS = tuple((floor, rate) for floor in (0.1, 0.5, 0.85) for rate in (0.1, 0.25, 0.5, 0.9))
"""Of a fit: the floor's share of the lowest loss, and minus the exponent."""
RATES = (0.02, 1.5)
PRIOR_RATE, PRIOR_WIDTH = 0.256, 0.25
"""Minus the exponent of the published fits (C4 0.242, RedPajama 0.273, RefinedWeb 0.254): its mean, and the
deviation of its logarithm that is allowed for, four times theirs, as small models and other text may well
differ."""
PRIOR = (
    "the exponent leans on that of C4, RedPajama and RefinedWeb (arXiv 2403.08540): too few sizes to do "
    "without"
)


@dataclass(frozen=True)
class Points:
    """Finished runs.

    Attributes:
        parameters: [runs]; tokens: [runs] trained on; losses: [runs] final ones, above 0.
    """

    parameters: np.ndarray
    tokens: np.ndarray
    losses: np.ndarray

    def __len__(self) -> int:
        return len(self.losses)

    def only(self, rows: np.ndarray) -> "Points":
        """Some of the runs."""
        return Points(self.parameters[rows], self.tokens[rows], self.losses[rows])

    @property
    def sizes(self) -> int:
        """How many different sizes there are."""
        return len(np.unique(self.parameters))

    @property
    def leans(self) -> bool:
        """Whether the exponent has to lean on published ones."""
        return self.sizes < PLENTY_OF_SIZES or len(self) <= CONSTANTS + 1

    def check(self) -> None:
        """Refuse runs that a law cannot be learnt from.

        Raises:
            DataError: a value is no number above 0, there are too few sizes, too few runs, or size and
                tokens cannot be told apart.
        """
        for name in ("parameters", "tokens", "losses"):
            values = getattr(self, name)
            wrong = ~(np.isfinite(values) & (values > 0))
            if wrong.any():
                what = f"run {int(np.flatnonzero(wrong)[0])} has {name} of {values[wrong][0]:g}"
                raise DataError("forecast", what, "give numbers above 0")
        if self.sizes < MIN_SIZES:
            what = f"{self.sizes} size{'s' * (self.sizes != 1)} finished, and a law needs {MIN_SIZES}"
            raise DataError("forecast", what, "raise forecast.sizes, or see why runs failed")
        distinct = len(np.unique(np.stack([self.parameters, self.tokens]), axis=1).T)
        if distinct <= CONSTANTS:
            what = f"{distinct} different runs finished, and the law has {CONSTANTS} constants"
            raise DataError("forecast", what, "add a size to forecast.sizes or a budget to forecast.budgets")
        if len(np.unique(np.round(np.log(self.tokens / self.parameters), 3))) < MIN_BUDGETS:
            what = "every run has as many tokens a parameter, so size and tokens cannot be told apart"
            raise DataError("forecast", what, "add a budget to forecast.budgets")


@dataclass(frozen=True)
class Law:
    """A fitted law: loss = exp(floor) + exp(size) (N / n)^-rate + exp(data) (D / d)^-rate, all times a scale.

    Attributes:
        terms: [4] the logarithms of floor, size, data and rate.
        scale: unit of the losses; parameters, tokens: those that the terms are given at.
    """

    terms: np.ndarray
    scale: float
    parameters: float
    tokens: float

    def losses(self, parameters: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        """[runs] losses at [runs] parameters and tokens."""
        with np.errstate(over="ignore"):
            return self.scale * np.exp(_log_losses(self.terms, *self.seen(parameters, tokens))[0])

    @property
    def lean(self) -> float:
        """Deviations of its exponent from the published ones."""
        return float((self.terms[3] - np.log(PRIOR_RATE)) / PRIOR_WIDTH)

    def constants(self) -> LawConstants:
        """The law in the form of its source."""
        floor, size, data, rate = np.exp(self.terms)
        return LawConstants(
            E=float(self.scale * floor),
            alpha=float(self.scale * size * self.parameters**rate),
            beta=float(self.scale * data * self.tokens**rate * 6 ** (rate / 2)),
            b=-float(rate),
        )

    @classmethod
    def of(cls, constants: LawConstants) -> Self:
        """The law of published constants."""
        c = constants
        terms = np.log([c.E, c.alpha, c.beta * 6 ** (c.b / 2), -c.b])
        return cls(terms, 1.0, 1.0, 1.0)

    def seen(self, parameters: np.ndarray, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Logarithms of parameters and tokens, in the law's units."""
        return np.log(np.asarray(parameters) / self.parameters), np.log(np.asarray(tokens) / self.tokens)


def fit_law(points: Points, start: Law | None = None, *, lean: float = 0.0) -> Law:
    """Fit the law to runs.

    Args:
        points: the runs.
        start: a law to start from, in place of many starts, for a refit to nearly the same runs.
        lean: deviations by which the published exponent is shifted, where the exponent leans on it.
    Raises:
        DataError: the runs do not determine a law.
    """
    if start is None:
        points.check()
    units = start or Law(
        np.zeros(CONSTANTS), *map(_middle, (points.losses, points.parameters, points.tokens))
    )
    sizes, tokens = units.seen(points.parameters, points.tokens)
    wanted = np.log(points.losses / units.scale)
    lowest = float(wanted.min())
    if start is not None:
        begun = [_inside(start.terms, lowest)]
    else:
        begun = [_guess(floor, rate, lowest) for floor, rate in STARTS]
    to = np.log(PRIOR_RATE) + PRIOR_WIDTH * lean if points.leans else None
    tries = [_least(t, sizes, tokens, wanted=wanted, to=to) for t in begun]
    terms = min(tries, key=lambda found: found[0])[1]
    if start is None:
        off = np.abs(_log_losses(terms, sizes, tokens)[0] - wanted)
        delta = max(NARROW, TUNING * 1.4826 * float(np.median(off)))
        tries = [_least(t, sizes, tokens, wanted=wanted, to=to, delta=delta) for _, t in tries]
        terms = min(tries, key=lambda found: found[0])[1]
    return replace(units, terms=terms)


def _middle(values: np.ndarray) -> float:
    """The geometric mean."""
    return float(np.exp(np.log(values).mean()))


def _log_losses(terms: np.ndarray, sizes: np.ndarray, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[runs] log losses at log sizes and tokens, and [runs, 4] their slopes by the terms."""
    floor, size, data, log_rate = terms
    rate = np.exp(log_rate)
    parts = np.stack([floor + 0 * sizes, size - rate * sizes, data - rate * tokens])
    highest = parts.max(axis=0)
    shares = np.exp(parts - highest)
    total = shares.sum(axis=0)
    shares /= total
    by_rate = -rate * (shares[1] * sizes + shares[2] * tokens)
    return highest + np.log(total), np.concatenate([shares, by_rate[None]]).T


def _least(
    terms: np.ndarray,
    sizes: np.ndarray,
    tokens: np.ndarray,
    *,
    wanted: np.ndarray,
    to: float | None,
    delta: float | None = None,
) -> tuple[float, np.ndarray]:
    """The cost and the terms of a fit from one start: least squares, or Huber's loss that turns linear at
    delta; the log exponent leans to a value, where one is given."""
    from scipy.optimize import least_squares

    weight = LEAN / PRIOR_WIDTH
    leaning = np.empty((0, CONSTANTS)) if to is None else np.array([[0.0, 0.0, 0.0, weight]])

    def off(given: np.ndarray) -> np.ndarray:
        beside = [] if to is None else [weight * (given[3] - to)]
        return np.concatenate([_log_losses(given, sizes, tokens)[0] - wanted, beside])

    def slopes(given: np.ndarray) -> np.ndarray:
        return np.concatenate([_log_losses(given, sizes, tokens)[1], leaning])

    least, most = _bounds(float(wanted.min()))
    robust = {"loss": "huber", "f_scale": delta} if delta else {}
    found = least_squares(off, terms, slopes, bounds=(least, most), x_scale="jac", max_nfev=200, **robust)
    return float(found.cost), found.x


LEAN = 5e-3
"""What the exponent's prior weighs against a run: a deviation from it counts like a log loss that is off by
so much, about what a seed does to a small model."""


def _bounds(lowest: float) -> tuple[np.ndarray, np.ndarray]:
    """Least and most of the terms, given the lowest log loss."""
    low, high = lowest + np.log([1e-4, 20.0])
    return np.array([low, low, low, np.log(RATES[0])]), np.array([lowest, high, high, np.log(RATES[1])])


def _guess(floor: float, rate: float, lowest: float) -> np.ndarray:
    """Terms to start from: the floor, and what is left of a loss in equal parts."""
    rest = np.log((1 - floor) / 2)
    return np.array([lowest + np.log(floor), lowest + rest, lowest + rest, np.log(rate)])


def _inside(terms: np.ndarray, lowest: float) -> np.ndarray:
    """Terms within the bounds, off their edges."""
    least, most = _bounds(lowest)
    room = 1e-6 * (most - least)
    return np.clip(terms, least + room, most - room)
