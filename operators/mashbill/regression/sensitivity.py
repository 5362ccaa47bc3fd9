"""Which domains a choice hangs on, and how flat the optimum is."""

from collections.abc import Callable, Sequence

import numpy as np

from mashbill.mixtures import Sensitivity
from mashbill.mixtures.dirichlet import draw_around
from mashbill.regression.limits import Limits

FLAT_TAG = 506
DRAWS = 4_000


def sensitivity(
    loss: Callable[[np.ndarray], np.ndarray],
    domains: Sequence[str],
    chosen: np.ndarray,
    *,
    limits: Limits,
    slack: float,
    seed: int = 0,
) -> dict[str, Sensitivity]:
    """What each domain does to the predicted loss of a choice.

    Args:
        loss: [mixtures, domains] to [mixtures] predicted target losses.
        domains: names.
        chosen: [domains] the choice.
        limits: of mixtures that may be as good.
        slack: a loss so much above the choice's counts as good.
        seed: seed of the mixtures around the choice.
    """
    changed = []
    for i in range(len(domains)):
        for factor in (0.0, 0.5, 2.0):
            weight = min(chosen[i] * factor, 1.0)
            others = np.delete(chosen, i)
            rest = others / others.sum() if others.sum() > 0 else np.full(len(others), 1 / len(others))
            changed.append(np.insert((1 - weight) * rest, i, weight))
    losses = loss(np.stack([chosen, *changed]))
    deltas = (losses[1:] - losses[0]).reshape(len(domains), 3)
    around = _around(chosen, limits, seed)
    good = np.concatenate([chosen[None], around[loss(around) <= losses[0] + slack]])
    return {
        name: Sensitivity(
            weight=float(chosen[i]),
            without=float(deltas[i, 0]),
            halved=float(deltas[i, 1]),
            doubled=float(deltas[i, 2]),
            as_good=(float(good[:, i].min()), float(good[:, i].max())),
        )
        for i, name in enumerate(domains)
    }


def _around(chosen: np.ndarray, limits: Limits, seed: int) -> np.ndarray:
    """[draws, domains] mixtures near and far around the choice."""
    random = np.random.default_rng([seed, FLAT_TAG])
    strength = np.exp(random.uniform(np.log(10), np.log(1_000), (DRAWS, 1)))
    return limits.applied(draw_around(random, (chosen + 0.1 / len(chosen)) * strength))
