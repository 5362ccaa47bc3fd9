"""Waiting for what another process does."""

import time
from collections.abc import Callable

LOOK_SECONDS = 0.2


def wait_until(reached: Callable[[], bool], patience_seconds: float) -> None:
    """Look until it is so.

    Raises:
        AssertionError: it took too long.
    """
    deadline = time.monotonic() + patience_seconds
    while not reached():
        assert time.monotonic() < deadline, f"it took longer than {patience_seconds} s"
        time.sleep(LOOK_SECONDS)
