"""How a loss falls on the way to its end: forms of a curve, compared where they were not fitted.

A form gives the log of the loss on the way over the loss at the end, so that whichever is taken ends where
the law of final losses says. Every run warms up and decays by the same cosine, so shares of runs compare.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mashbill.errors import DataError
from mashbill.forecast.step_laws import annealed, by_steps
from mashbill.forecast.trajectory import Trajectory
from mashbill.mixtures.forecast import Band, CurveForm

BAND_POINTS = 60
FEWEST_SIZES = 3
DEVIATIONS = 1.645  # nine of ten
Form = Callable[[Sequence[Trajectory]], Callable[[Trajectory, np.ndarray], np.ndarray]]


@dataclass(frozen=True)
class Curve:
    """The form that was taken, fitted to all runs.

    Attributes:
        form: its name and the errors of all.
        falls: gives [steps] log losses over that at the end, for a run and [steps] of it.
        shares: [shares] of a run, rising; errors: [shares] by how much the log loss was off there.
    """

    form: CurveForm
    falls: Callable[[Trajectory, np.ndarray], np.ndarray]
    shares: np.ndarray
    errors: np.ndarray

    def band(self, run: Trajectory, loss: float, interval: tuple[float, float]) -> Band:
        """The band of a run that ends with a loss in an interval."""
        begun = max(1, int(np.ceil(self.shares[0] * run.steps)))
        steps = np.unique(np.geomspace(begun, run.steps, BAND_POINTS).round().astype(int))
        off = DEVIATIONS * np.interp(steps / run.steps, self.shares, self.errors)
        middle = np.log(loss) + self.falls(run, steps)
        below, above = (
            np.hypot(np.log(loss) - np.log(interval[0]), off),
            np.hypot(np.log(interval[1] / loss), off),
        )
        return Band(
            steps=tuple(steps.tolist()),
            expected=tuple(np.exp(middle).tolist()),
            low=tuple(np.exp(middle - below).tolist()),
            high=tuple(np.exp(middle + above).tolist()),
        )


def collapsed(runs: Sequence[Trajectory]) -> Callable[[Trajectory, np.ndarray], np.ndarray]:
    """The mean over runs at the same share: curves that share a schedule collapse onto one another."""
    shares = runs[0].shares
    mean = np.mean([run.falls_at(shares) for run in runs], axis=0)
    return lambda run, steps: np.interp(np.log(steps / run.steps), np.log(shares), mean)


def trending(runs: Sequence[Trajectory]) -> Callable[[Trajectory, np.ndarray], np.ndarray]:
    """At each share, straight in the logarithms of parameters and tokens."""
    shares = runs[0].shares
    falls = np.array([run.falls_at(shares) for run in runs])  # [runs, shares]
    seen = np.array([[1.0, np.log(run.parameters), np.log(run.tokens)] for run in runs])
    middle = np.append(0.0, seen[:, 1:].mean(axis=0))
    slopes = np.linalg.lstsq(seen - middle, falls, rcond=1e-6)[0]  # [3, shares]

    def fall(run: Trajectory, steps: np.ndarray) -> np.ndarray:
        at = np.array([1.0, np.log(run.parameters), np.log(run.tokens)]) - middle
        return np.interp(np.log(steps / run.steps), np.log(shares), at @ slopes)

    return fall


FORMS: Mapping[str, Form] = {"share": collapsed, "trend": trending, "steps": by_steps, "annealing": annealed}
"""share: the mean curve by share of the run; trend: that, with slopes by size and budget; steps: arXiv
2403.06563; annealing: arXiv 2408.11029. Of equals the first is taken."""


def fit_curve(runs: Sequence[Trajectory]) -> Curve | None:
    """Take the form that is least off on the curves of sizes and of budgets that it has not seen; None where
    too few runs were measured on the way."""
    usable = [run for run in runs if len(run.steps_measured) > 1]
    if len({run.parameters for run in usable}) < FEWEST_SIZES:
        return None
    shares = usable[0].shares
    off = {}
    for name, form in FORMS.items():
        found = [_errors(form, usable, held, shares=shares) for held in _left_out(usable)]
        off[name] = np.sqrt(np.mean(np.concatenate(found) ** 2, axis=0))
    errors = {name: float(np.sqrt(np.mean(values[:-1] ** 2))) for name, values in off.items()}
    errors = {name: error for name, error in errors.items() if np.isfinite(error)}
    best = min(errors, key=lambda name: round(errors[name], 6))
    return Curve(CurveForm(name=best, errors=errors), FORMS[best](usable), shares, off[best])


def _left_out(runs: Sequence[Trajectory]) -> list[np.ndarray]:
    """Places of the runs of each size, and of each budget where there are several."""
    sizes = np.array([run.parameters for run in runs])
    budgets = np.round(np.log([run.tokens for run in runs]), 1)
    groups = [np.flatnonzero(values == one) for values in (sizes, budgets) for one in np.unique(values)]
    return [places for places in groups if len(places) < len(runs)]


def _errors(form: Form, runs: Sequence[Trajectory], held: np.ndarray, *, shares: np.ndarray) -> np.ndarray:
    """[runs held out, shares] errors of log losses over that at the end, by a form fitted to the others."""
    try:
        falls = form([run for place, run in enumerate(runs) if place not in held])
    except DataError:
        return np.full((1, len(shares)), np.inf)
    return np.array(
        [runs[place].falls_at(shares) - falls(runs[place], shares * runs[place].steps) for place in held]
    )
