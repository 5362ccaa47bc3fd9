"""Compiled kernels: numba, by way of which it is told that ours are compiled.

A kernel is compiled at its first use and kept beside its module (in the user's cache where nothing may be
written there), so the first run after an installation or an upgrade takes longer than all that follow.
Whoever waits is told why, once a process.
"""

import logging
from typing import Any

import numba
from numba.core import event

log = logging.getLogger(__name__)


class Told(event.Listener):  # type: ignore[misc]  # numba has no types
    """Hears what numba compiles because no cache has it, and tells of the first kernel that is ours."""

    def __init__(self) -> None:
        self.told = False

    def on_start(self, event: Any) -> None:
        """The compiling of a function begins."""
        ours = event.data["dispatcher"].py_func.__module__.startswith("mashbill.")
        if ours and not self.told:
            self.told = True
            log.info("compiling kernels, which are kept: the first use of a stage takes longer")

    def on_end(self, event: Any) -> None:
        """It has ended."""


event.register("numba:compile", Told())

__all__ = ["numba"]
