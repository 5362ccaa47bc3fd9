"""Words on work that goes partition by partition: how much is done, how fast, and how long the rest will
take."""

import time
from collections.abc import Callable

MEGABYTE = 1e6


class Pace:
    """What is told of work while it goes on.

    Args:
        partitions: how many there are.
        clock: seconds, from any beginning.
    """

    def __init__(self, partitions: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.partitions, self.clock = partitions, clock
        self.begun, self.done, self.bytes = clock(), 0, 0

    def after(self, size: int) -> str:
        """What to say once another partition is done.

        Args:
            size: bytes of its text.
        """
        self.done, self.bytes = self.done + 1, self.bytes + size
        seconds = max(self.clock() - self.begun, 1e-9)
        left = seconds / self.done * (self.partitions - self.done)
        fast = f"{self.bytes / seconds / MEGABYTE:.3g} MB/s"
        return f"{self.done:,} of {self.partitions:,} partitions, {fast}, {duration(left)} left"


def duration(seconds: float) -> str:
    """A time as a person says it: ``40 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5_400 else f"{seconds / 3_600:.1f} h"
