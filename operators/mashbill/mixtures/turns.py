"""Whose turn it is at a position, for any position of a run alone, so that every prefix holds each domain's
share to within one sequence.

Frames of positions begin about every ``FRAME``, each where the largest shares are nearest to whole numbers,
and there the counts of the domains are settled: midway between two frames whose counts are known stand the
shares rounded, and what whole numbers leave over goes to the largest remainders, as far as counts only rise.
So halving leads from the far end of all runs to any frame. Within it a domain's k-th turn may come once its
share passes k and must come before it passes k + 1; whoever must come soonest is next (Baruah et al.,
"Proportionate progress", 1996). All is counted in whole numbers: no position is too far.
"""

import heapq
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

FRAME = 4_096
HORIZON = 1 << 40
"""Frames up to the far end: none so far is read."""
PRECISION = 1 << 48
TRIED = 64
"""Positions at which a frame may begin."""
KEPT_FRAMES, KEPT_COUNTS = 4, 512


class Turns:
    """The turns of one mixture.

    Args:
        weights: [domains] at least 0, not all 0; ties go to the first.
    """

    def __init__(self, weights: np.ndarray) -> None:
        largest = float(weights.max())
        parts = [round(float(weight) / largest * PRECISION) for weight in weights]
        self.parts = [max(1, part) if weight > 0 else 0 for part, weight in zip(parts, weights, strict=True)]
        self.whole = sum(self.parts)
        self.frame = lru_cache(KEPT_FRAMES)(self._frame)
        self.begins = lru_cache(KEPT_COUNTS)(self._begins)
        self._settled = lru_cache(KEPT_COUNTS)(self._settle)

    def counts(self, position: int) -> np.ndarray:
        """[domains] turns of each before a position."""
        number = int(self.frames_at(np.array([position]))[0])
        turns, _ = self.frame(number, position - self.begins(number))
        return np.array(self._settled(number), np.int64) + np.bincount(turns, minlength=len(self.parts))

    def frames_at(self, positions: np.ndarray) -> np.ndarray:
        """[positions] the frame that each is in."""
        numbers = positions // FRAME
        for number in np.unique(numbers).tolist():
            numbers[(numbers == number) & (positions < self.begins(number))] -= 1
        return numbers

    def length(self, number: int) -> int:
        """Positions of a frame."""
        return self.begins(number + 1) - self.begins(number)

    def _begins(self, number: int) -> int:
        """The first position of a frame."""
        if number == 0:
            return 0
        parts = np.array(self.parts, np.int64)
        rests = np.array([number * FRAME * part % self.whole for part in self.parts], np.int64)
        passed = (rests + np.arange(TRIED)[:, None] * parts) % self.whole
        shift = max(0, self.whole.bit_length() - 24)  # products and their sums stay whole numbers
        from_whole = np.minimum(passed, self.whole - passed) >> shift
        return number * FRAME + int(np.argmin(from_whole @ (parts >> shift)))

    def _frame(self, number: int, length: int) -> tuple[np.ndarray, np.ndarray]:
        """[length] domain at each of the first positions of a frame, and [length] how many turns it has had
        before."""
        had, end = list(self._settled(number)), self._settled(number + 1)
        first = self.begins(number)
        waiting = [(had[d] * self.whole // part, d) for d, part in enumerate(self.parts) if had[d] < end[d]]
        heapq.heapify(waiting)
        ready: list[tuple[int, int]] = []
        turns, visits = np.empty(length, np.int64), np.empty(length, np.int64)
        for place in range(length):
            while waiting and (not ready or waiting[0][0] <= first + place):
                _, domain = heapq.heappop(waiting)
                latest = -(-(had[domain] + 1) * self.whole // self.parts[domain]) - 1
                heapq.heappush(ready, (latest, domain))
            _, domain = heapq.heappop(ready)
            turns[place], visits[place] = domain, had[domain]
            had[domain] += 1
            if had[domain] < end[domain]:
                heapq.heappush(waiting, (had[domain] * self.whole // self.parts[domain], domain))
        return turns, visits

    def _settle(self, number: int) -> Sequence[int]:
        """Turns of each domain before a frame."""
        if number == 0:
            return [0] * len(self.parts)
        step, position = number & -number, self.begins(number)
        below = self._settled(number - step)
        above = self._settled(number + step) if number < HORIZON else [position] * len(self.parts)
        shares = [position * part for part in self.parts]
        counts = [
            min(max(share // self.whole, least), most)
            for share, least, most in zip(shares, below, above, strict=True)
        ]
        while short := position - sum(counts):
            one, bound = (1, above) if short > 0 else (-1, below)
            free = [d for d, count in enumerate(counts) if count != bound[d]]
            free.sort(key=lambda d: one * (counts[d] * self.whole - shares[d]))
            for domain in free[: abs(short)]:
                counts[domain] += one
        return counts
