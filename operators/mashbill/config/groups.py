"""Weights by pattern: a group of validation sets, or of loss columns, that shares one weight evenly."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase


def share_weights(given: Mapping[str, float], names: Sequence[str]) -> dict[str, float]:
    """The weight of each name that is given or matched.

    Args:
        given: weights by name or by pattern (``*``, ``?``, ``[abc]``), each shared evenly among the names
            that match.
        names: what there is; a name that is spelt out matches itself alone.
    Returns:
        Weights by name, in the order of the patterns; a name that several match gets the sum.
    Raises:
        KeyError: a pattern matches nothing.
    """
    weights: dict[str, float] = {}
    for pattern, weight in given.items():
        matched = [pattern] if pattern in names else [name for name in names if fnmatchcase(name, pattern)]
        if not matched:
            raise KeyError(pattern)
        for name in matched:
            weights[name] = weights.get(name, 0.0) + weight / len(matched)
    return weights
