"""Choosing a schedule from fitted trajectories, before a run or while it is under way, and whether it is
worth more than one mixture."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mashbill.config import PlanConfig
from mashbill.errors import DataError
from mashbill.mixtures import Schedule
from mashbill.regression.cross_validation import conformal_half_width
from mashbill.regression.simplex import between, minimise, simulate
from mashbill.regression.trajectories.limits import Limits, minimise_schedule
from mashbill.regression.trajectories.transitions import (
    FittedTrajectories,
    MeanRegression,
    ScheduleRegression,
)

STARTS = 2_000


@dataclass(frozen=True)
class UnderWay:
    """A run of which some phases are done.

    Attributes:
        schedule: what it has followed and would go on with, in the phases of the regression.
        done: phases that are over.
        observed: [sets] losses at the end of the last of them.
    """

    schedule: Schedule
    done: int
    observed: np.ndarray


@dataclass(frozen=True)
class Forecast:
    """Predictions of the target for what is left of a run.

    Attributes:
        fitted: the regressions.
        target: [sets] weights.
        observed: [sets] losses so far; None before the run.
    """

    fitted: FittedTrajectories
    target: np.ndarray
    observed: np.ndarray | None = None

    def loss(self, weights: np.ndarray) -> np.ndarray:
        """[schedules] final target loss of [schedules, phases left, domains]."""
        return self._by(self.fitted.regression, weights)

    def gain_doubt(self, weights: np.ndarray, instead: np.ndarray) -> np.ndarray:
        """[schedules] standard error of what each gains on another [phases left, domains]: a jackknife over
        the folds' regressions."""
        gains = np.stack(
            [self._by(one, instead[None]) - self._by(one, weights) for one in self.fitted.partial]
        )
        return np.sqrt((len(gains) - 1) * gains.var(axis=0))

    def _by(self, regression: ScheduleRegression, weights: np.ndarray) -> np.ndarray:
        return regression.predict(weights, self.observed) @ self.target


def choose_schedule(
    fitted: FittedTrajectories,
    target: np.ndarray,
    natural: np.ndarray,
    limits: Limits,
    *,
    caution: float,
    coverage: float,
    seed: int,
    fallback: np.ndarray | None = None,
    under_way: UnderWay | None = None,
    told: Callable[[float, str], Any] = lambda share, message: None,
) -> dict[str, Any]:
    """The best schedule within the limits, and whether it is worth more than one mixture; for a run under
    way, than going on as it was.

    Args:
        fitted: the regressions.
        target: [sets] weights.
        natural: [domains] proportions around which schedules are drawn.
        limits: of the phases that are left.
        caution: standard errors of its gain that count against a schedule.
        coverage: coverage of the intervals.
        seed: seed of the search.
        fallback: [domains] mixture where order does not count; None means the best by the mean mixture.
        under_way: the run that is being continued; None means before it.
        told: hears the share done and what comes next.
    Returns:
        ``schedule`` (phases with share and mixture), ``candidate`` (the best schedule found, taken or not),
        ``constant`` (the best single mixture by the same regression), ``predicted`` and
        ``predicted_constant`` (loss and interval), ``gain``, ``noise``, ``above_noise``, ``order_counts``,
        ``validation`` and ``reason``.
    """
    left = len(limits.shares)
    forecast = Forecast(fitted, target, under_way.observed if under_way else None)
    constant = _best_constant(
        lambda rows: forecast.loss(np.repeat(rows[:, None], left, axis=1)), natural, limits, seed
    )
    told(0.2, "searching for a schedule")
    flat = np.repeat(constant[None], left, axis=0)
    instead = limits.apply(under_way.schedule.weights[None, under_way.done :])[0] if under_way else flat

    def cautious(weights: np.ndarray) -> np.ndarray:
        value = forecast.loss(weights)
        return value + caution * forecast.gain_doubt(weights, instead) if caution else value

    drawn = simulate(natural, np.ones(len(natural)), STARTS * left, PlanConfig(), seed).reshape(
        STARTS, left, -1
    )
    found = minimise_schedule(
        cautious, np.concatenate([instead[None], flat[None], limits.apply(drawn)]), limits, seed
    )
    gain = float(forecast.loss(instead[None])[0] - forecast.loss(found[None])[0])
    noise = float(forecast.gain_doubt(found[None], instead)[0]) * _quantile(coverage, len(fitted.partial))
    compared = fitted.compared(target)
    taken = compared["order_counts"] and gain > noise
    told(0.9, "measuring the schedule")
    half = conformal_half_width((fitted.runs.losses[:, -1] - fitted.out_of_fold) @ target, coverage)
    stays = _constant_instead(fitted, target, natural, limits, seed, fallback, under_way)
    schedule = _whole(fitted, limits, found, under_way) if taken else stays
    ahead = found if taken else _left_of(stays, left)
    return {
        "schedule": schedule.as_json(),
        "mean": schedule.mean,
        "candidate": _whole(fitted, limits, found, under_way).as_json(),
        "constant": dict(zip(fitted.runs.domains, constant.tolist(), strict=True)),
        "predicted": _with_interval(float(forecast.loss(ahead[None])[0]), half),
        "predicted_constant": _with_interval(float(forecast.loss(flat[None])[0]), half),
        "gain": gain,
        "noise": noise,
        "above_noise": bool(gain > noise),
        "order_counts": compared["order_counts"],
        "taken": bool(taken),
        "validation": {
            "runs": len(fitted.runs.index),
            **{name: compared[name] for name in ("trajectories", "static")},
        },
        "reason": _reason(compared, gain, noise, under_way),
    }


def left_after(limits: Limits, under_way: UnderWay) -> Limits:
    """The limits of what is left of a run: its phases, and what the repeats still allow.

    Raises:
        DataError: the schedule of the run has not the phases of the regression.
    """
    schedule, done = under_way.schedule, under_way.done
    if len(schedule.shares) != len(limits.shares) or np.abs(schedule.shares - limits.shares).max() > 1e-6:
        said = ", ".join(f"{share:.4g}" for share in limits.shares)
        raise DataError(
            "--running",
            f"has {len(schedule.shares)} phases",
            f"give the phases of --schedules, whose shares are {said}",
        )
    rest = limits.shares[done:]
    spent = limits.shares[:done] @ schedule.weights[:done]
    return Limits(
        rest / rest.sum(), limits.floor, limits.ceiling, np.clip((limits.repeats - spent) / rest.sum(), 0, 1)
    )


def _best_constant(
    loss: Callable[[np.ndarray], np.ndarray], natural: np.ndarray, limits: Limits, seed: int
) -> np.ndarray:
    """[domains] the mixture with the lowest loss among those that stay the same."""
    ceiling = limits.constant_ceiling
    drawn = between(
        simulate(natural, np.ones(len(natural)), STARTS, PlanConfig(), seed), limits.floor, ceiling
    )
    return minimise(loss, drawn[int(loss(drawn).argmin())], limits.floor, ceiling, seed)


def _constant_instead(
    fitted: FittedTrajectories,
    target: np.ndarray,
    natural: np.ndarray,
    limits: Limits,
    seed: int,
    fallback: np.ndarray | None,
    under_way: UnderWay | None,
) -> Schedule:
    """What is followed where a schedule is not worth it: a run under way goes on as it was."""
    if under_way is not None:
        return under_way.schedule
    domains = fitted.runs.domains
    if fallback is None:
        process = MeanRegression(np.ones(1)).fit(fitted.runs.means[:, None], fitted.runs.losses)
        fallback = _best_constant(lambda rows: process.predict(rows[:, None]) @ target, natural, limits, seed)
    return Schedule.constant(dict(zip(domains, fallback.tolist(), strict=True)))


def _whole(
    fitted: FittedTrajectories, limits: Limits, found: np.ndarray, under_way: UnderWay | None
) -> Schedule:
    """The schedule of the whole run: phases that are done, then those found."""
    if under_way is None:
        return Schedule(fitted.runs.domains, limits.shares, found)
    before = under_way.schedule
    return Schedule(before.domains, before.shares, np.concatenate([before.weights[: under_way.done], found]))


def _left_of(schedule: Schedule, left: int) -> np.ndarray:
    """[phases left, domains] of a schedule; one phase stands for all."""
    return (
        np.repeat(schedule.weights, left, axis=0) if len(schedule.weights) == 1 else schedule.weights[-left:]
    )


def _quantile(coverage: float, folds: int) -> float:
    """Standard errors within which a mean of so many folds lies, by Student's t."""
    from scipy.stats import t

    return float(t.ppf((1 + coverage) / 2, folds - 1))


def _with_interval(loss: float, half: float) -> dict[str, Any]:
    return {"loss": loss, "interval": [loss - half, loss + half]}


def _reason(compared: dict[str, Any], gain: float, noise: float, under_way: UnderWay | None) -> str:
    """Why the schedule is what it is, in a sentence."""
    stays = "one mixture" if under_way is None else "the run goes on as it was"
    if not compared["order_counts"]:
        with_order, without = (compared[name]["rmse"] for name in ("trajectories", "static"))
        return (
            f"order does not count: out of fold the error is {with_order:.4f} with it and "
            f"{without:.4f} without; {stays}"
        )
    if gain <= 0:
        return f"no schedule within the limits is predicted to be better; {stays}"
    if gain <= noise:
        return f"the gain of {gain:.4f} is within its noise of {noise:.4f}; {stays}"
    over = "the best single mixture" if under_way is None else "going on as it was"
    return f"a gain of {gain:.4f} on {over}, above its noise of {noise:.4f}"
