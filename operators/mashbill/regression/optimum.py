"""Choosing a mixture from a fitted regression, under floors, ceilings and a limit on repeats, and advice on
what to train next."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from mashbill.config import MixConfig, PlanConfig
from mashbill.mixtures import MixtureTable
from mashbill.mixtures.bundle import Bundle, bundle_domains
from mashbill.regression.advice import advise
from mashbill.regression.cross_validation import conformal_half_width
from mashbill.regression.fitted import FittedRegression
from mashbill.regression.laws.gaussian_process import GaussianProcess
from mashbill.regression.limits import limits_in_force
from mashbill.regression.objective import Objective
from mashbill.regression.runs import ordered
from mashbill.regression.sensitivity import sensitivity
from mashbill.regression.simplex import between, minimise, simulate
from mashbill.regression.tables import COVERAGE, TableModel
from mashbill.regression.threads import one_thread

STARTS = 10_000  # simulated mixtures that a direct search starts from the best of


def choose(
    fitted: FittedRegression,
    target: np.ndarray,
    natural: np.ndarray,
    floor: np.ndarray,
    ceiling: np.ndarray,
    config: MixConfig,
    seed: int,
    kept: Bundle | None = None,
) -> np.ndarray:
    """[domains] the mixture with the lowest objective within the limits.

    Args:
        fitted: the regression.
        target: [sets] weights.
        natural: [domains] proportions, around which candidates are drawn.
        floor, ceiling: [domains] limits.
        config: method, candidates, caution and closeness.
        seed: seed of the search.
        kept: domains whose ratios stay; None means that all are free.
    """
    process = process_of(fitted) if config.caution and config.method == "direct" else None
    objective = Objective(fitted.regressor, target, process, config.caution, natural, config.closeness)
    with one_thread():
        if kept is None:
            return _search(objective, natural, floor, ceiling, config, seed)
        bundle = kept

        def reduced(mixtures: np.ndarray) -> np.ndarray:
            return objective(bundle.expand(mixtures))

        found = _search(reduced, bundle.reduce(natural), *bundle.limits(floor, ceiling), config, seed)
        return bundle.expand(found[None])[0]


def _search(
    objective: Callable[[np.ndarray], np.ndarray],
    natural: np.ndarray,
    floor: np.ndarray,
    ceiling: np.ndarray,
    config: MixConfig,
    seed: int,
) -> np.ndarray:
    """[domains] the mean of the best candidates, or where a search on from them ends."""
    count = config.candidates if config.method == "simulation" else min(config.candidates, STARTS)
    candidates = between(simulate(natural, np.ones(len(natural)), count, PlanConfig(), seed), floor, ceiling)
    if config.method == "simulation":
        best = candidates[np.argsort(objective(candidates), kind="stable")[: config.best]]
        return between(best.mean(axis=0)[None], floor, ceiling)[0]
    return minimise(objective, candidates[int(objective(candidates).argmin())], floor, ceiling, seed)


def process_of(fitted: FittedRegression) -> GaussianProcess:
    """The regression's Gaussian process, or one fitted to the same runs."""
    return (
        fitted.regressor
        if isinstance(fitted.regressor, GaussianProcess)
        else GaussianProcess().fit(fitted.weights, fitted.losses)
    )


def outside_sampled(fitted: FittedRegression, chosen: np.ndarray) -> tuple[float, bool]:
    """How far the choice is from the nearest run (sum of absolute differences), and whether runs lie closer
    to one another than that."""
    nearest = float(np.abs(fitted.weights - chosen).sum(axis=1).min())
    spacing = np.abs(fitted.weights[:, None] - fitted.weights[None]).sum(axis=2)
    np.fill_diagonal(spacing, np.inf)
    return nearest, bool(nearest > spacing.min(axis=1).max())


def select_mixture(
    model: TableModel,
    floor: np.ndarray,
    ceiling: np.ndarray,
    prior: np.ndarray | None = None,
    seed: int = 0,
    config: MixConfig | None = None,
    kept: Bundle | None = None,
) -> dict[str, Any]:
    """The mixture with the lowest predicted loss, and what speaks for it.

    Args:
        model: the regression and its target.
        floor, ceiling: [domains].
        prior: [domains] natural proportions; None means the mean of the runs' mixtures.
        seed: seed of the search.
        config: method, caution and closeness.
        kept: domains whose ratios stay.
    Returns:
        mixture by domain, predicted (loss and interval_90), baselines (natural, uniform, the best run),
        limits in force, sensitivity by domain, and whether the choice lies outside what was sampled. Losses
        are of the target, lower is better.
    """
    fitted = model.fitted
    natural = fitted.weights.mean(axis=0) if prior is None else prior
    chosen = choose(fitted, model.weights, natural, floor, ceiling, config or MixConfig(), seed, kept)
    best_run = fitted.weights[int(np.argmin(fitted.losses @ model.weights))]
    baselines = {"natural": natural, "uniform": np.full(len(natural), 1 / len(natural)), "best run": best_run}
    entries = compare_mixtures(model, {"chosen": chosen, **baselines})
    return {
        "mixture": dict(zip(fitted.domains, chosen.tolist(), strict=True)),
        "predicted": entries["chosen"],
        "baselines": {name: entries[name] for name in baselines},
        "limits": limits_in_force(fitted.domains, chosen, floor, ceiling),
        "sensitivity": sensitivity_of(fitted, model.weights, chosen, floor, ceiling, seed),
        "outside_sampled": outside_sampled(fitted, chosen)[1],
    }


def sensitivity_of(
    fitted: FittedRegression,
    target: np.ndarray,
    chosen: np.ndarray,
    floor: np.ndarray,
    ceiling: np.ndarray,
    seed: int,
) -> dict[str, dict[str, Any]]:
    """The sensitivity of a choice; as good is what lies within the median error of the regression."""
    slack = float(np.median(np.abs((fitted.losses - fitted.out_of_fold) @ target)))

    def loss(mixtures: np.ndarray) -> np.ndarray:
        return fitted.regressor.predict(mixtures) @ target

    with one_thread():
        return sensitivity(loss, fitted.domains, chosen, floor, ceiling, slack=slack, seed=seed)


def advise_on(
    model: TableModel,
    floor: np.ndarray,
    ceiling: np.ndarray,
    *,
    count: int,
    seed: int = 0,
    prior: np.ndarray | None = None,
) -> dict[str, Any]:
    """Which mixtures to train next, and whether more runs can still change the choice.

    Args:
        model: the regression and its target.
        floor, ceiling: [domains].
        count: mixtures to propose.
        seed: seed of the search.
        prior: [domains] natural proportions; None means the mean of the runs' mixtures.
    Returns:
        next (mixtures by domain, each with its chance to be the best), choice, gain (what more runs can win
        at most, on average), gain_90, noise (the regression's median error), and worth_it: whether gain_90 is
        above the noise.
    """
    fitted = model.fitted
    natural = fitted.weights.mean(axis=0) if prior is None else prior
    advice = advise(process_of(fitted), model.weights, natural, floor, ceiling, count=count, seed=seed)
    noise = float(np.median(np.abs((fitted.losses - fitted.out_of_fold) @ model.weights)))
    return {
        "next": [
            {"mixture": dict(zip(fitted.domains, row.tolist(), strict=True)), "chance": float(chance)}
            for row, chance in zip(advice.mixtures, advice.chances, strict=True)
        ],
        "choice": dict(zip(fitted.domains, advice.choice.tolist(), strict=True)),
        "gain": advice.gain,
        "gain_90": advice.gain_90,
        "noise": noise,
        "worth_it": bool(advice.gain_90 > noise),
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
    return ordered(table, model.fitted.domains)[0]


def read_ratios(model: TableModel, table: MixtureTable) -> Bundle:
    """The domains that a table gives weight as a bundle, the others free.

    Raises:
        ConfigError: fewer than two domains have weight.
    """
    weights = dict(zip(model.fitted.domains, read_mixture(model, table).tolist(), strict=True))
    return bundle_domains(
        model.fitted.domains, {d: w for d, w in weights.items() if w > 0}, where=f"--ratios {table.source}"
    )
