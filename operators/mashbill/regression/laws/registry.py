"""Regressors by name.

A regressor is a class in a module of this package; it gives its name, which ``regression.regressor`` lists.
"""

from functools import cache

from mashbill.discovery import classes_in, modules_in
from mashbill.regression.regressor import Regressor

MIN_RUNS = 8


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
