"""How fast the cluster's time goes: what takes minutes there takes as long here as a test lets it."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Pace:
    """Waits of the cluster, in its own seconds, and how long such a second is.

    Attributes:
        second: how many real seconds one of the cluster's takes; deadlines, grace and TTLs are in these.
        backoff: before a Job's first replacement of a failed pod; doubles with each (10 on a real one).
        restart: before a container's first restart in place, and between tries to pull an image or to make
            a container (10 on a real one).
        unreachable: from a node's loss until its pods are deleted (300 on a real one).
        now: a clock that only goes on, in real seconds.
    """

    second: float = 1.0
    backoff: float = 0.1
    restart: float = 0.3
    unreachable: float = 0.5
    now: Callable[[], float] = time.monotonic
    _first: dict[str, float] = field(default_factory=dict)

    def since(self, what: str) -> float:
        """The cluster's seconds since this was first asked of the same thing."""
        return (self.now() - self._first.setdefault(what, self.now())) / self.second

    def forget(self, what: str) -> None:
        """Begin anew when it is asked of next."""
        self._first.pop(what, None)
