"""Limits on a choice: floors, ceilings and repeats, and which of them it touches."""

from collections.abc import Mapping, Sequence

import numpy as np

from mashbill.errors import ConfigError


def bounds(
    domains: Sequence[str],
    least: Mapping[str, float],
    most: Mapping[str, float],
    *,
    repeats: np.ndarray | None = None,
    named: tuple[str, str] = ("--min", "--max"),
) -> tuple[np.ndarray, np.ndarray]:
    """[domains] floors and [domains] ceilings.

    Args:
        domains: names, in order.
        least, most: weights of some domains.
        repeats: [domains] ceilings from a limit on repeats.
        named: what errors call floors and ceilings.
    Raises:
        ConfigError: a name is unknown, or no mixture keeps to the bounds.
    """
    for option, given in ((named[0], least), (named[1], most)):
        unknown = [name for name in given if name not in domains]
        if unknown:
            raise ConfigError(
                f"{option} {unknown[0]}", "is no domain of the model", f"choose among {', '.join(domains)}"
            )
    floor = np.array([least.get(name, 0.0) for name in domains])
    ceiling = np.array([most.get(name, 1.0) for name in domains])
    if repeats is not None:
        ceiling = np.minimum(ceiling, repeats)
    crossed = [d for d, low, high in zip(domains, floor, ceiling, strict=True) if low > high + 1e-12]
    if crossed:
        raise ConfigError(
            f"{named[0]} {crossed[0]}",
            "is over what its ceiling allows",
            f"lower it, or raise {named[1]} or the epochs",
        )
    if floor.sum() > 1 + 1e-9:
        raise ConfigError(named[0], f"asks for {floor.sum():g} in all", "let the floors sum to at most 1")
    if ceiling.sum() < 1 - 1e-9:
        raise ConfigError(named[1], f"allows {ceiling.sum():g} in all", "let the ceilings sum to at least 1")
    return floor, ceiling


def limits_in_force(
    domains: Sequence[str], chosen: np.ndarray, floor: np.ndarray, ceiling: np.ndarray
) -> list[str]:
    """A line for each limit that the choice touches."""
    rows = list(zip(domains, chosen.tolist(), floor.tolist(), ceiling.tolist(), strict=True))
    at_ceiling = [
        f"{d} is at its ceiling of {high:.4g}" for d, w, _, high in rows if high < 1 and w > high - 1e-6
    ]
    return at_ceiling + [
        f"{d} is at its floor of {low:.4g}" for d, w, low, _ in rows if low > 0 and w < low + 1e-6
    ]
