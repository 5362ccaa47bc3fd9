"""What schedules keep to: floors and ceilings of each phase, and repeats of all phases together.

An epoch limit is about amounts, so it binds on the mean over the phases: a domain of which there is little
may fill one phase and be missing from the others. Floors and ceilings bind in every phase.
"""

from dataclasses import dataclass

import numpy as np

from mashbill.mixtures import within_ceiling
from mashbill.regression.limits import Limits

TOLERANCE = 1e-9


@dataclass(frozen=True)
class ScheduleLimits:
    """What schedules keep to.

    Attributes:
        shares: [phases]; they sum to 1.
        limits: floors and ceilings of every phase, and repeats of all phases together.
    """

    shares: np.ndarray
    limits: Limits

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
        floor, limits = self.limits.floor, self.limits
        room = 1 - floor.sum()
        if room < TOLERANCE:
            return np.broadcast_to(floor / floor.sum(), weights.shape).copy()
        above = np.maximum(weights - floor, 0)
        above /= np.maximum(above.sum(axis=2, keepdims=True), 1e-300)
        highest, most = (limits.ceiling - floor) / room, (limits.highest - floor) / room
        fitted = _scale_down(above, self.shares, highest, most=most)
        mean = np.einsum("p,spd->sd", self.shares, fitted)
        wrong = (np.abs(fitted.sum(axis=2) - 1).max(axis=1) > TOLERANCE) | (mean > most + TOLERANCE).any(
            axis=1
        )
        wrong |= (fitted > highest + TOLERANCE).any(axis=(1, 2))
        if wrong.any():
            even = np.einsum("p,spd->sd", self.shares, above[wrong])
            fitted[wrong] = within_ceiling(even / even.sum(axis=1, keepdims=True), most)[:, None]
        return floor + room * fitted


def _scale_down(
    above: np.ndarray, shares: np.ndarray, highest: np.ndarray, *, most: np.ndarray
) -> np.ndarray:
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
