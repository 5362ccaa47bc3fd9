"""Choosing a schedule from runs in phases, before a run or while one is under way, and whether it is worth
more than one mixture.

The search is the cross-entropy method over phases, within the limits of each and the repeats of all together.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from mashbill.artifacts import Progress
from mashbill.mixtures import Prediction, Schedule, ScheduleChoice
from mashbill.mixtures.dirichlet import draw_around
from mashbill.mixtures.schedule_choice import phases_of
from mashbill.regression.cross_validation import conformal_half_width
from mashbill.regression.simplex import LEAST_SHARE, LOOSEST, TIGHTEST, candidates, minimise
from mashbill.regression.trajectories.limits import ScheduleLimits
from mashbill.regression.trajectories.runs import PhasedRuns
from mashbill.regression.trajectories.transitions import (
    Compared,
    FittedTrajectories,
    MeanRegression,
    ScheduleRegression,
    fit_trajectories,
)
from mashbill.regression.trajectories.under_way import UnderWay

SCHEDULE_TAG = 508
STARTS = 2_000
ROUNDS, DRAWS, ELITES = 12, 800, 30


@dataclass(frozen=True)
class Terms:
    """What a schedule is chosen for, and on which terms.

    Attributes:
        target: weight of each set.
        natural: [domains] proportions around which schedules are drawn; None means the mean of the runs'
            mixtures.
        caution: standard errors of its gain that count against a schedule.
        coverage: coverage of the intervals.
        folds, seed: of the cross-validation and the search.
        fallback: weight by domain where order does not count; None means the best by the mean mixture.
    """

    target: Mapping[str, float]
    natural: np.ndarray | None = None
    caution: float = 1.0
    coverage: float = 0.9
    folds: int = 5
    seed: int = 0
    fallback: Mapping[str, float] | None = None


def choose_schedule(
    runs: PhasedRuns,
    limits: ScheduleLimits,
    terms: Terms,
    *,
    under_way: UnderWay | None = None,
    progress: Progress = lambda share, words: None,
) -> ScheduleChoice:
    """The best schedule within limits, and whether it is worth more than one mixture.

    For a run under way: than going on as it was.

    Args:
        runs: finished runs in phases.
        limits: of the phases that are left.
        terms: target, caution and the like.
        under_way: the run that is being continued; None means before it.
        progress: told of folds and of the search.
    Raises:
        DataError: too few runs, or fewer than two phases.
    """
    fitted = fit_trajectories(
        runs, folds=terms.folds, seed=terms.seed, progress=lambda done, words: progress(0.6 * done, words)
    )
    natural = runs.means.mean(axis=0) if terms.natural is None else terms.natural
    target = np.array([terms.target.get(name, 0.0) for name in runs.sets])
    search = _Search(fitted, target, natural, limits, terms, under_way)
    return search.choice(lambda done, words: progress(0.6 + 0.4 * done, words))


@dataclass(frozen=True)
class RollOut:
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
        folds = self.fitted.partial
        gains = np.stack([self._by(one, instead[None]) - self._by(one, weights) for one in folds])
        return np.sqrt((len(gains) - 1) * gains.var(axis=0))

    def _by(self, regression: ScheduleRegression, weights: np.ndarray) -> np.ndarray:
        return regression.predict(weights, self.observed) @ self.target


@dataclass(frozen=True)
class _Search:
    """The search for one schedule.

    Attributes:
        limits: of the phases that are left.
    """

    fitted: FittedTrajectories
    target: np.ndarray
    natural: np.ndarray
    limits: ScheduleLimits
    terms: Terms
    under_way: UnderWay | None

    def choice(self, progress: Progress) -> ScheduleChoice:
        """Search, and say what is followed and why."""
        left, seed, under_way = len(self.limits.shares), self.terms.seed, self.under_way
        roll_out = RollOut(self.fitted, self.target, under_way.observed if under_way else None)
        constant = self._best_constant(lambda rows: roll_out.loss(np.repeat(rows[:, None], left, axis=1)))
        progress(0.2, "searching for a schedule")
        flat = np.repeat(constant[None], left, axis=0)
        instead = (
            self.limits.apply(under_way.schedule.weights[None, under_way.done :])[0] if under_way else flat
        )

        def cautious(weights: np.ndarray) -> np.ndarray:
            value, caution = roll_out.loss(weights), self.terms.caution
            return value + caution * roll_out.gain_doubt(weights, instead) if caution else value

        random = np.random.default_rng([seed, SCHEDULE_TAG])
        drawn = random.permutation(candidates(self.natural, STARTS * left, seed)).reshape(STARTS, left, -1)
        starts = np.concatenate([instead[None], flat[None], self.limits.apply(drawn)])
        found = minimise_schedule(cautious, starts, self.limits, seed=seed)
        progress(0.9, "measuring the schedule")
        return self._weighed(roll_out, found, flat, instead=instead)

    def _weighed(
        self, roll_out: RollOut, found: np.ndarray, flat: np.ndarray, *, instead: np.ndarray
    ) -> ScheduleChoice:
        """The choice between [phases left, domains] schedules: the best found, the best constant, what was so
        far."""
        coverage, compared = self.terms.coverage, self.fitted.compared(self.target)
        gain = float(roll_out.loss(instead[None])[0] - roll_out.loss(found[None])[0])
        doubt = float(roll_out.gain_doubt(found[None], instead)[0])
        noise = doubt * _quantile(coverage, len(self.fitted.partial))
        taken = compared.order_counts and gain > noise
        stays, candidate = self._constant_instead(), self._whole(found)
        schedule = candidate if taken else stays
        ahead = found if taken else _left_of(stays, len(self.limits.shares))
        half = conformal_half_width(
            (self.fitted.runs.losses[:, -1] - self.fitted.out_of_fold) @ self.target, coverage
        )
        return ScheduleChoice(
            phases=len(self.fitted.runs.shares),
            schedule=phases_of(schedule),
            mean=schedule.mean,
            candidate=phases_of(candidate),
            constant=dict(zip(self.fitted.runs.domains, flat[0].tolist(), strict=True)),
            predicted=_with_interval(float(roll_out.loss(ahead[None])[0]), half),
            predicted_constant=_with_interval(float(roll_out.loss(flat[None])[0]), half),
            gain=gain,
            noise=noise,
            above_noise=bool(gain > noise),
            order_counts=compared.order_counts,
            taken=bool(taken),
            cross_validation=compared.errors,
            reason=_reason(compared, gain, noise, under_way=self.under_way is not None),
        )

    def _best_constant(self, loss: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """[domains] the mixture with the lowest loss among those that stay the same."""
        limits, seed = self.limits.limits, self.terms.seed
        drawn = limits.applied(candidates(self.natural, STARTS, seed))
        return minimise(loss, drawn[int(loss(drawn).argmin())], limits, seed=seed)

    def _constant_instead(self) -> Schedule:
        """What is followed where a schedule is not worth it: a run under way goes on as it was."""
        if self.under_way is not None:
            return self.under_way.schedule
        runs, fallback = self.fitted.runs, self.terms.fallback
        if fallback is not None:
            return Schedule.constant({name: fallback[name] for name in runs.domains})
        process = MeanRegression(np.ones(1)).fit(runs.means[:, None], runs.losses)
        best = self._best_constant(lambda rows: process.predict(rows[:, None]) @ self.target)
        return Schedule.constant(dict(zip(runs.domains, best.tolist(), strict=True)))

    def _whole(self, found: np.ndarray) -> Schedule:
        """The schedule of the whole run: phases that are done, then those found."""
        if self.under_way is None:
            return Schedule(self.fitted.runs.domains, self.limits.shares, found)
        before = self.under_way.schedule
        done = before.weights[: self.under_way.done]
        return Schedule(before.domains, before.shares, np.concatenate([done, found]))


def minimise_schedule(
    objective: Callable[[np.ndarray], np.ndarray], starts: np.ndarray, limits: ScheduleLimits, *, seed: int
) -> np.ndarray:
    """The best schedule met by the cross-entropy method, from the best of the starts and from the first of
    them.

    Args:
        objective: [schedules, phases, domains] to [schedules], lower is better.
        starts: [starts, phases, domains] within the limits; the answer is never worse than any of them.
        limits: of the schedules.
        seed: seed of the draws.
    Returns:
        [phases, domains].
    """
    values = objective(starts)
    best, lowest = starts[int(values.argmin())], float(values.min())
    for turn, start in enumerate((starts[0], best)):
        random = np.random.default_rng([seed, SCHEDULE_TAG, turn])
        mean = start
        for strength in np.geomspace(LOOSEST, TIGHTEST, ROUNDS):
            concentrations = np.repeat(np.maximum(mean, LEAST_SHARE)[None] * strength, DRAWS, axis=0)
            drawn = draw_around(random, concentrations.reshape(-1, mean.shape[1]))
            drawn = limits.apply(drawn.reshape(concentrations.shape))
            found = objective(drawn)
            order = np.argsort(found, kind="stable")[:ELITES]
            mean = drawn[order].mean(axis=0)
            if found[order[0]] < lowest:
                best, lowest = drawn[order[0]], float(found[order[0]])
    return best


def _left_of(schedule: Schedule, left: int) -> np.ndarray:
    """[phases left, domains] of a schedule; one phase stands for all."""
    one = len(schedule.weights) == 1
    return np.repeat(schedule.weights, left, axis=0) if one else schedule.weights[-left:]


def _quantile(coverage: float, folds: int) -> float:
    """Standard errors within which a mean of so many folds lies, by Student's t."""
    from scipy.stats import t

    return float(t.ppf((1 + coverage) / 2, folds - 1))


def _with_interval(loss: float, half: float) -> Prediction:
    return Prediction(loss=loss, interval=(loss - half, loss + half))


def _reason(compared: Compared, gain: float, noise: float, *, under_way: bool) -> str:
    """Why the schedule is what it is, in a sentence."""
    stays = "the run goes on as it was" if under_way else "one mixture"
    if not compared.order_counts:
        with_order, without = compared.errors.trajectories.rmse, compared.errors.static.rmse
        errors = f"out of fold the error is {with_order:.4f} with it and {without:.4f} without"
        return f"order does not count: {errors}; {stays}"
    if gain <= 0:
        return f"no schedule within the limits is predicted to be better; {stays}"
    if gain <= noise:
        return f"the gain of {gain:.4f} is within its noise of {noise:.4f}; {stays}"
    over = "going on as it was" if under_way else "the best single mixture"
    return f"a gain of {gain:.4f} on {over}, above its noise of {noise:.4f}"
