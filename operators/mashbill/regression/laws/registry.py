"""Regressors from mixtures to losses, behind one small interface; each predicts all targets at once.

A regressor is a class in a module of this package; it gives its name, which ``regression.regressor`` lists.
"""

from functools import cache
from typing import Protocol, Self

import numpy as np

from mashbill.discovery import classes_in, modules_in

MIN_RUNS = 8


class Regressor(Protocol):
    """Learns losses from mixtures."""

    name: str

    @staticmethod
    def least_runs(domains: int) -> int:
        """The fewest runs that it can bear; a law has a parameter a domain and some more."""

    def fit(self, weights: np.ndarray, losses: np.ndarray) -> Self:
        """Learn from [runs, domains] mixtures and [runs, targets] losses."""

    def predict(self, weights: np.ndarray) -> np.ndarray:
        """[mixtures, targets] losses."""


def regressor_named(name: str) -> type[Regressor]:
    """The regressor of that name."""
    return _laws()[name]


def least_runs(name: str, domains: int) -> int:
    """The fewest runs of so many domains that a regressor can bear; the least of all for auto."""
    return MIN_RUNS if name == "auto" else max(MIN_RUNS, regressor_named(name).least_runs(domains))


@cache
def _laws() -> dict[str, type[Regressor]]:
    from mashbill.regression import laws

    found: dict[str, type[Regressor]] = {}
    for module in modules_in(laws):
        found.update(classes_in(module, "name"))
    return found
