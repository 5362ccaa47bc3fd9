"""The search for the best schedule: the cross-entropy method over phases, within floors and ceilings of each
and repeats of all together.

An epoch limit is about amounts, so it binds on the mean over the phases: a domain of which there is little
may fill one phase and be missing from the others. Floors and ceilings bind in every phase.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mashbill.mixtures import within_ceiling
from mashbill.regression.simplex import LEAST_SHARE, LOOSEST, TIGHTEST, draw_around

SCHEDULE_TAG = 508
ROUNDS, DRAWS, ELITES = 12, 800, 30
TOLERANCE = 1e-9


@dataclass(frozen=True)
class Limits:
    """What schedules keep to.

    Attributes:
        shares: [phases]; they sum to 1.
        floor, ceiling: [domains] of every phase.
        repeats: [domains] greatest mean weights.
    """

    shares: np.ndarray
    floor: np.ndarray
    ceiling: np.ndarray
    repeats: np.ndarray

    @property
    def constant_ceiling(self) -> np.ndarray:
        """[domains] greatest weights of a mixture that stays the same."""
        return np.minimum(self.ceiling, self.repeats)

    def apply(self, weights: np.ndarray) -> np.ndarray:
        """Schedules brought within the limits; those that keep to them stay as they are.

        What lies above the floors is scaled down where a ceiling or the repeats bind, and then stays; what a
        phase lacks goes to the domains that nothing binds, in proportion. A schedule for which that leads
        nowhere becomes its mean, brought within the limits.

        Args:
            weights: [schedules, phases, domains], rows sum to 1.
        Returns:
            [schedules, phases, domains] the same within the limits.
        """
        room = 1 - self.floor.sum()
        if room < TOLERANCE:
            return np.broadcast_to(self.floor / self.floor.sum(), weights.shape).copy()
        above = np.maximum(weights - self.floor, 0)
        above /= np.maximum(above.sum(axis=2, keepdims=True), 1e-300)
        highest, most = (self.ceiling - self.floor) / room, (self.constant_ceiling - self.floor) / room
        fitted = _scale_down(above, self.shares, highest, most)
        mean = np.einsum("p,spd->sd", self.shares, fitted)
        wrong = (np.abs(fitted.sum(axis=2) - 1).max(axis=1) > TOLERANCE) | (mean > most + TOLERANCE).any(
            axis=1
        )
        wrong |= (fitted > highest + TOLERANCE).any(axis=(1, 2))
        if wrong.any():
            even = np.einsum("p,spd->sd", self.shares, above[wrong])
            fitted[wrong] = within_ceiling(even / even.sum(axis=1, keepdims=True), most)[:, None]
        return self.floor + room * fitted


def _scale_down(above: np.ndarray, shares: np.ndarray, highest: np.ndarray, most: np.ndarray) -> np.ndarray:
    """[schedules, phases, domains] under [domains] ceilings of every phase and of the mean, as far as one
    pass after the other gets."""
    result, bound = above.copy(), np.zeros(above.shape, bool)
    for _ in range(above.shape[1] * above.shape[2] + 1):
        over = result > highest + 1e-12
        result = np.minimum(result, highest)
        mean = np.einsum("p,spd->sd", shares, result)
        too_much = mean > most + 1e-12
        if not (over.any() or too_much.any()):
            break
        result *= np.where(too_much, most / np.maximum(mean, 1e-300), 1.0)[:, None]
        bound |= over | too_much[:, None]
        free = np.where(bound, 0.0, result)
        free = np.where(free.sum(axis=2, keepdims=True) > 1e-12, free, np.where(bound, 0.0, highest - result))
        total = free.sum(axis=2, keepdims=True)
        result += np.divide(
            free * (1 - result.sum(axis=2, keepdims=True)), total, out=np.zeros_like(free), where=total > 0
        )
    return result


def minimise_schedule(
    objective: Callable[[np.ndarray], np.ndarray], starts: np.ndarray, limits: Limits, seed: int
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
            drawn = limits.apply(
                draw_around(random, concentrations.reshape(-1, mean.shape[1])).reshape(concentrations.shape)
            )
            found = objective(drawn)
            order = np.argsort(found, kind="stable")[:ELITES]
            mean = drawn[order].mean(axis=0)
            if found[order[0]] < lowest:
                best, lowest = drawn[order[0]], float(found[order[0]])
    return best
