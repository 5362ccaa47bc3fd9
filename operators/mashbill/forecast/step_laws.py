"""Laws of the loss at every step: by steps and critical batch, and by the area under the learning rate.

Sources: Unraveling the Mystery of Scaling Laws, part I (arXiv 2403.06563): L(N, S) = (Nc / N)^aN + (Sc /
Smin)^aS, Smin = S / (1 + Bcrit / B), Bcrit = B* / L^(1/aB), where aB is Kaplan's 0.21 (arXiv 2001.08361), as
few batch sizes do not determine it. Scaling law with learning rate annealing (arXiv 2408.11029): L = L0 + A
S1^-a - C S2, to which a term in N is added.
"""

from collections.abc import Callable, Sequence
from itertools import product

import numpy as np

from mashbill.errors import DataError
from mashbill.forecast.trajectory import Trajectory

BATCH_EXPONENT = 0.21
MOMENTUM = 0.999  # of annealing
ROUNDS = 40  # in which a loss and its critical batch settle on one another
Fall = Callable[[Trajectory, np.ndarray], np.ndarray]
LossLaw = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""[points] losses by the terms and by what a point is known by."""


def by_steps(runs: Sequence[Trajectory]) -> Fall:
    """Fit the law of steps and critical batch."""
    sizes, steps, batches, losses = (
        np.concatenate(rows)
        for rows in zip(*[(*_of_steps(run, run.steps_measured), run.losses) for run in runs], strict=True)
    )
    middle, unit = np.exp([np.log(losses).mean(), np.log(steps).mean()])
    size_unit = np.exp(np.log(sizes).mean())

    def law(terms: np.ndarray, at: np.ndarray) -> np.ndarray:
        n, s, b, seen = at
        fewest = s / unit / (1 + np.exp(terms[4] - np.log(b) - np.log(seen / middle) / BATCH_EXPONENT))
        by_size = np.exp(terms[0] - np.exp(terms[1]) * np.log(n / size_unit))
        return middle * (by_size + np.exp(terms[2] - np.exp(terms[3]) * np.log(fewest)))

    rates = np.log([0.08, 0.3])
    wide = float(np.log(batches).mean())
    starts = [np.array([np.log(0.5), a, np.log(0.5), c, wide]) for a, c in product(rates, rates)]
    least = np.array([-6.0, np.log(0.01), -6.0, np.log(0.02), wide - 12])
    most = np.array([1.0, np.log(1.5), 1.0, np.log(1.5), wide + 5])
    terms = _fit(law, np.stack([sizes, steps, batches, losses]), losses, starts=starts, bounds=(least, most))

    def fall(run: Trajectory, at: np.ndarray) -> np.ndarray:
        places = np.append(at, run.steps)
        known, seen = _of_steps(run, places), np.full(len(places), middle)
        for _ in range(ROUNDS):
            seen = np.sqrt(seen * law(terms, np.stack([*known, seen])))
        return np.log(seen[:-1] / seen[-1])

    return fall


def annealed(runs: Sequence[Trajectory]) -> Fall:
    """Fit the law of areas under the learning rate."""
    known = [_areas(run, run.steps_measured) for run in runs]
    sizes, areas, decays = (np.concatenate(rows) for rows in zip(*known, strict=True))
    losses = np.concatenate([run.losses for run in runs])
    middle, size_unit, area_unit = (float(np.exp(np.log(v).mean())) for v in (losses, sizes, areas))
    decay_unit = max(float(decays.max()), 1e-12)

    def law(terms: np.ndarray, at: np.ndarray) -> np.ndarray:
        n, area, decay = at
        by_size = np.exp(terms[1] - np.exp(terms[2]) * np.log(n / size_unit))
        by_area = np.exp(terms[3] - np.exp(terms[4]) * np.log(area / area_unit))
        whole = np.exp(terms[0]) + by_size + by_area - np.exp(terms[5]) * decay / decay_unit
        return middle * np.maximum(whole, 1e-6)

    rates = np.log([0.1, 0.4])
    starts = [
        np.array([np.log(0.3), np.log(0.3), a, np.log(0.3), c, np.log(0.02)])
        for a, c in product(rates, rates)
    ]
    low = np.log(0.02)
    least = np.array([-6.0, -6.0, low, -6.0, low, -12.0])
    most = np.array([0.5, 1.0, np.log(1.5), 1.0, np.log(1.5), np.log(0.5)])
    terms = _fit(law, np.stack([sizes, areas, decays]), losses, starts=starts, bounds=(least, most))

    def fall(run: Trajectory, at: np.ndarray) -> np.ndarray:
        found = law(terms, np.stack(_areas(run, np.append(at, run.steps))))
        return np.log(found[:-1] / found[-1])

    return fall


def _fit(
    law: LossLaw,
    at: np.ndarray,
    losses: np.ndarray,
    *,
    starts: Sequence[np.ndarray],
    bounds: tuple[np.ndarray, np.ndarray],
) -> np.ndarray:
    """The terms whose log losses are least off, from several starts.

    Raises:
        DataError: there are fewer points than terms.
    """
    from scipy.optimize import least_squares

    if len(losses) <= len(starts[0]):
        raise DataError("forecast", f"{len(losses)} losses on the way", "raise forecast.evaluations")
    found = [
        least_squares(
            lambda terms: np.log(law(terms, at) / losses),
            start,
            bounds=bounds,
            loss="soft_l1",
            f_scale=0.01,
            max_nfev=200,
        )
        for start in starts
    ]
    terms: np.ndarray = min(found, key=lambda one: float(one.cost)).x
    return terms


def _of_steps(run: Trajectory, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """[points] parameters, steps and tokens of a batch."""
    ones = np.ones(len(steps))
    return ones * run.parameters, np.asarray(steps, np.float64), ones * run.batch_tokens


def _areas(run: Trajectory, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """[points] parameters, tokens weighed by the learning rate, and the area of its decay."""
    from scipy.signal import lfilter

    rates = run.rates()
    decays = np.maximum(0, -np.diff(rates, prepend=rates[0]))
    area = np.cumsum(lfilter([1.0], [1.0, -MOMENTUM], decays))
    tokens = np.cumsum(rates) * run.batch_tokens
    places = np.arange(1, run.steps + 1)
    return (
        np.full(len(steps), float(run.parameters)),
        np.interp(steps, places, tokens),
        np.interp(steps, places, area),
    )
