"""Errors on tasks from losses: Err = eps - k exp(-gamma L), where enough pairs of both are known.

Source: Gadre et al. (arXiv 2403.08540), equation 5. The average error of many tasks follows it; that of a
single task often does not, which its interval then shows.
"""

from dataclasses import dataclass

import numpy as np

from mashbill.errors import DataError
from mashbill.mixtures.forecast import FinalLoss

MIN_PAIRS = 5
DRAWS = 200
STARTS = tuple((chance, steep) for chance in (0.05, 0.3) for steep in (0.3, 1.0, 3.0))


@dataclass(frozen=True)
class TaskLaw:
    """A law of errors: highest - scale exp(-steepness L).

    Attributes:
        highest: eps, the error of a model that knows nothing; scale: k; steepness: gamma.
        noise: deviation of errors from it.
    """

    highest: float
    scale: float
    steepness: float
    noise: float

    def errors(self, losses: np.ndarray) -> np.ndarray:
        """[losses] errors, within 0 and 1."""
        return np.clip(self.highest - self.scale * np.exp(-self.steepness * np.asarray(losses)), 0, 1)


def fit_tasks(losses: np.ndarray, errors: np.ndarray) -> TaskLaw:
    """Fit the law to [pairs] losses and errors.

    Raises:
        DataError: there are too few pairs, or a value is none.
    """
    losses, errors = np.asarray(losses, np.float64), np.asarray(errors, np.float64)
    if not (np.isfinite(losses).all() and (losses > 0).all() and ((errors >= 0) & (errors <= 1)).all()):
        raise DataError("tasks", "a loss is not above 0, or an error not from 0 to 1", "correct it")
    if len(np.unique(losses)) < MIN_PAIRS:
        what = (
            f"{len(np.unique(losses))} different losses have an error, and the law needs {MIN_PAIRS}: unknown"
        )
        raise DataError("tasks", what, "add models that were measured on both")
    terms = _fit(losses, errors)
    off = errors - _errors(terms, losses)
    noise = float(np.sqrt((off**2).sum() / (len(losses) - 3)))
    return TaskLaw(*_known(terms), noise)


def spread(final: FinalLoss, *, seed: int) -> np.ndarray:
    """[draws] log losses that a final model may end with: normal to each side of what is expected."""
    from scipy.stats import norm

    drawn = np.random.default_rng([seed, 3]).standard_normal(DRAWS)
    middle, (low, high) = np.log(final.loss), np.log(final.interval)
    sides = np.where(drawn < 0, middle - low, high - middle)
    return np.asarray(middle + drawn * sides / norm.ppf((1 + final.coverage) / 2))


def forecast_error(
    losses: np.ndarray, errors: np.ndarray, *, log_losses: np.ndarray, coverage: float, seed: int
) -> tuple[float, tuple[float, float]]:
    """The error expected of a final model, and what it lies between.

    Args:
        losses, errors: [pairs] that are known.
        log_losses: [draws] what its log loss may be; their median is what is expected.
        coverage: of the interval.
        seed: of the draws.
    Raises:
        DataError: too few pairs are known.
    """
    law = fit_tasks(losses, errors)
    generator = np.random.default_rng([seed, 2])
    expected = law.errors(losses)
    freedom = len(losses) - 3
    found = []
    for at in np.exp(generator.choice(log_losses, DRAWS)):
        deviation = law.noise * np.sqrt(freedom / generator.chisquare(freedom))
        again = np.clip(expected + deviation * generator.standard_normal(len(losses)), 0, 1)
        terms = _fit(np.asarray(losses, np.float64), again, begin=law)
        found.append(float(_errors(terms, at)) + deviation * generator.standard_normal())
    low, high = np.clip(np.quantile(found, [(1 - coverage) / 2, (1 + coverage) / 2]), 0, 1)
    middle = float(law.errors(np.exp(np.median(log_losses))))
    return middle, (min(float(low), middle), max(float(high), middle))


def _errors(terms: np.ndarray, losses: np.ndarray) -> np.ndarray:
    highest, scale, steepness = terms[0], np.exp(terms[1]), np.exp(terms[2])
    return np.asarray(highest - scale * np.exp(-steepness * losses))


def _known(terms: np.ndarray) -> tuple[float, float, float]:
    return float(terms[0]), float(np.exp(terms[1])), float(np.exp(terms[2]))


def _fit(losses: np.ndarray, errors: np.ndarray, begin: TaskLaw | None = None) -> np.ndarray:
    from scipy.optimize import least_squares

    middle = float(np.median(losses))
    if begin is None:
        starts = [
            [
                errors.max() + chance,
                np.log(chance + 0.05) + np.exp(np.log(steep / middle)) * middle,
                np.log(steep / middle),
            ]
            for chance, steep in STARTS
        ]
    else:
        starts = [[begin.highest, np.log(begin.scale), np.log(begin.steepness)]]
    found = [
        least_squares(
            lambda terms: _errors(terms, losses) - errors,
            np.clip(start, [1e-3, -19.9, np.log(0.011 / middle)], [1.49, 39.9, np.log(29 / middle)]),
            bounds=([0.0, -20.0, np.log(0.01 / middle)], [1.5, 40.0, np.log(30 / middle)]),
            x_scale="jac",
            loss="soft_l1",
            f_scale=0.05,
        )
        for start in starts
    ]
    terms: np.ndarray = min(found, key=lambda one: float(one.cost)).x
    return terms
