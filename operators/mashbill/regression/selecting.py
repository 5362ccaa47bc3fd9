"""Choosing a mixture from a fitted table model, under floors, ceilings and a limit on repeats: RegMix's simulation."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mashbill.config import PlanConfig
from mashbill.errors import ConfigError
from mashbill.mixtures import MixtureTable, epoch_ceiling, within_ceiling
from mashbill.regression.choice import simulate
from mashbill.regression.tables import COVERAGE, TableModel, ordered
from mashbill.regression.validation import conformal_half_width

CANDIDATES, BEST = 100_000, 128


def bounds(
    domains: Sequence[str],
    least: Mapping[str, float],
    most: Mapping[str, float],
    *,
    available: Mapping[str, float] | None = None,
    tokens: float | None = None,
    max_epochs: float = 4.0,
) -> tuple[np.ndarray, np.ndarray]:
    """[domains] floors and [domains] ceilings.

    Args:
        domains: names, in order.
        least, most: weights of some domains.
        available: tokens of each domain; with tokens, they limit repeats.
        tokens: tokens of the run.
        max_epochs: times a domain may be repeated.
    Raises:
        ConfigError: a name is unknown, or no mixture keeps to the bounds.
    """
    for option, given in (("--min", least), ("--max", most), ("--available", available or {})):
        unknown = [name for name in given if name not in domains]
        if unknown:
            raise ConfigError(f"{option} {unknown[0]}", "is no domain of the model", f"choose among {', '.join(domains)}")
    floor = np.array([least.get(name, 0.0) for name in domains])
    ceiling = np.array([most.get(name, 1.0) for name in domains])
    if available and tokens:
        ceiling = np.minimum(ceiling, epoch_ceiling(np.array([available.get(d, 0.0) for d in domains]), tokens, max_epochs))
    crossed = [d for d, low, high in zip(domains, floor, ceiling, strict=True) if low > high + 1e-12]
    if crossed:
        raise ConfigError(f"--min {crossed[0]}", "is over what its ceiling allows", "lower it, or raise --max or --max-epochs")
    if floor.sum() > 1 + 1e-9:
        raise ConfigError("--min", f"asks for {floor.sum():g} in all", "let the floors sum to at most 1")
    if ceiling.sum() < 1 - 1e-9:
        raise ConfigError("--max", f"allows {ceiling.sum():g} in all", "let the ceilings sum to at least 1")
    return floor, ceiling


def between(weights: np.ndarray, floor: np.ndarray, ceiling: np.ndarray) -> np.ndarray:
    """[mixtures, domains] mixtures brought between floors and ceilings: each has its floor, the rest is shared as it was."""
    free = 1 - floor.sum()
    if free <= 1e-12:
        return np.repeat(floor[None] / floor.sum(), len(weights), axis=0)
    result: np.ndarray = floor + free * within_ceiling(weights, (ceiling - floor) / free)
    return result


def select_mixture(
    model: TableModel, floor: np.ndarray, ceiling: np.ndarray, prior: np.ndarray | None = None, seed: int = 0
) -> dict[str, Any]:
    """The mean of the best simulated mixtures.

    Args:
        model: the regression and its target.
        floor, ceiling: [domains].
        prior: [domains] natural proportions; None means the mean of the runs' mixtures.
        seed: seed of the simulation.
    Returns:
        mixture by domain, predicted (loss and interval_90), baselines (natural, uniform, the best run), limits in force, and whether the
        choice lies outside what was sampled. Losses are of the target, lower is better.
    """
    fitted = model.fitted
    natural = fitted.weights.mean(axis=0) if prior is None else prior
    candidates = between(simulate(natural, np.ones(len(natural)), CANDIDATES, PlanConfig(), seed), floor, ceiling)
    predicted = fitted.regressor.predict(candidates) @ model.weights
    chosen = between(candidates[np.argsort(predicted, kind="stable")[:BEST]].mean(axis=0)[None], floor, ceiling)[0]
    names = fitted.domains
    best_run = fitted.weights[int(np.argmin(fitted.losses @ model.weights))]
    baselines = {"natural": natural, "uniform": np.full(len(names), 1 / len(names)), "best run": best_run}
    entries = compare_mixtures(model, {"chosen": chosen, **baselines})
    spacing = np.abs(fitted.weights[:, None] - fitted.weights[None]).sum(axis=2)
    np.fill_diagonal(spacing, np.inf)
    outside = np.abs(fitted.weights - chosen).sum(axis=1).min() > spacing.min(axis=1).max()
    limits = [
        f"{d} is at its ceiling of {high:.4g}" for d, w, high in zip(names, chosen, ceiling, strict=True) if high < 1 and w > high - 1e-6
    ]
    limits += [f"{d} is at its floor of {low:.4g}" for d, w, low in zip(names, chosen, floor, strict=True) if low > 0 and w < low + 1e-6]
    return {
        "mixture": dict(zip(names, chosen.tolist(), strict=True)),
        "predicted": entries["chosen"],
        "baselines": {name: entries[name] for name in baselines},
        "limits": limits,
        "outside_sampled": bool(outside),
    }


def compare_mixtures(model: TableModel, mixtures: Mapping[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    """Predicted target loss and its 90% interval of named mixtures, in the model's order of domains."""
    residuals = (model.fitted.losses - model.fitted.out_of_fold) @ model.weights
    half = conformal_half_width(residuals, COVERAGE)
    losses = model.fitted.regressor.predict(np.stack(list(mixtures.values()))) @ model.weights
    return {
        name: {"loss": float(loss), "interval_90": [float(loss) - half, float(loss) + half]}
        for name, loss in zip(mixtures, losses, strict=True)
    }


def read_mixture(model: TableModel, table: MixtureTable) -> np.ndarray:
    """[domains] the first mixture of a table, in the model's order."""
    row: np.ndarray = ordered(table, model.fitted.domains)[0]
    return row
