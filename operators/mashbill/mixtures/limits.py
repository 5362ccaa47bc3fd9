"""Limits on mixtures: how much of a domain there is, and how often it may be repeated."""

import numpy as np

from mashbill.errors import ConfigError


def epoch_ceiling(
    train_tokens: np.ndarray, tokens: float, max_epochs: float, *, where: str = "max_epochs"
) -> np.ndarray:
    """The largest weight of each domain under the epoch limit.

    Args:
        train_tokens: [domains] tokens there are.
        tokens: tokens of the run.
        max_epochs: times a domain may be repeated.
        where: what errors call that limit.
    Returns:
        [domains] in [0, 1].
    Raises:
        ConfigError: even with every domain at its ceiling the run lacks tokens.
    """
    ceiling = np.minimum(1.0, np.asarray(train_tokens, np.float64) * max_epochs / tokens)
    if ceiling.sum() < 1:
        have, need = float(np.sum(train_tokens)) * max_epochs, tokens
        raise ConfigError(
            where,
            f"allows {have:,.0f} tokens where the run needs {need:,.0f}",
            "raise it, add text, or train on fewer tokens",
        )
    return ceiling


def within_ceiling(weights: np.ndarray, ceiling: np.ndarray) -> np.ndarray:
    """Mixtures brought under a ceiling: what is above is given to the other domains in proportion.

    Args:
        weights: [mixtures, domains], rows sum to 1.
        ceiling: [domains], sums to at least 1.
    Returns:
        [mixtures, domains] under the ceiling, rows sum to 1.
    """
    result = np.asarray(weights, np.float64).copy()
    for _ in range(len(ceiling) + 1):
        over = result > ceiling + 1e-12
        if not over.any():
            break
        result = np.where(over, ceiling, result)
        missing = 1 - result.sum(axis=1, keepdims=True)
        free = result < ceiling - 1e-12
        base = np.where(free, result, 0.0)
        room = np.where(free, ceiling - result, 0.0)
        base = np.where(base.sum(axis=1, keepdims=True) > 1e-12, base, room)
        total = base.sum(axis=1, keepdims=True)
        result += np.divide(base * missing, total, out=np.zeros_like(base), where=total > 0)
    result /= result.sum(axis=1, keepdims=True)
    return result
