"""Choosing a mixture from a fitted regression: the search, and what is expected of what it finds."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from mashbill.config import MixConfig
from mashbill.mixtures import Choice, MixtureTable, PredictedMixture, Prediction
from mashbill.mixtures.bundle import Bundle, bundle_domains
from mashbill.mixtures.choice import CHOSEN, NATURAL
from mashbill.regression.fitted import FittedRegression, TargetModel
from mashbill.regression.objective import Objective
from mashbill.regression.runs import ordered
from mashbill.regression.sensitivity import sensitivity
from mashbill.regression.simplex import CANDIDATE_TAG, SearchSpace
from mashbill.regression.threads import one_thread

STARTS = 10_000  # simulated mixtures that a direct search starts from the best of
PAIRS = 2_000


@dataclass(frozen=True)
class Beside:
    """What a choice is compared with.

    Attributes:
        mixtures: [domains] of each by name, ``natural`` among them.
        tokens: [domains] there are of each domain, and budget: tokens of the final run, where they are known.
    """

    mixtures: Mapping[str, np.ndarray]
    tokens: np.ndarray | None = None
    budget: float = 0.0

    @classmethod
    def of_runs(cls, model: TargetModel, natural: np.ndarray) -> Self:
        """Natural, uniform, and the best of the runs."""
        fitted = model.fitted
        best = fitted.weights[int(np.nanargmin(model.known_losses))]
        return cls({NATURAL: natural, "uniform": np.full(len(natural), 1 / len(natural)), "best run": best})

    def epochs(self, mixture: np.ndarray) -> np.ndarray | None:
        """[domains] times the final run reads each domain on a mixture; None where that is unknown."""
        return None if self.tokens is None else mixture * self.budget / self.tokens


def choose_mixture(
    model: TargetModel, space: SearchSpace, beside: Beside, *, config: MixConfig, seed: int
) -> Choice:
    """The mixture with the lowest predicted target loss, and what speaks for it.

    Args:
        model: the regression and its target.
        space: the mixtures that may be chosen.
        beside: what the choice is compared with.
        config: method, candidates, caution, closeness and the coverage of intervals.
        seed: seed of the search.
    """
    chosen = search(model, space, config, seed=seed)
    fitted = model.fitted
    with one_thread():
        around = sensitivity(
            model.loss, fitted.domains, chosen, limits=space.limits, slack=model.noise, seed=seed
        )
    epochs = beside.epochs(chosen)
    nearest, outside = outside_sampled(fitted, chosen)
    mixtures = {CHOSEN: chosen, **beside.mixtures}
    predicted = model.predictions(mixtures, config.interval)
    gain = predicted[NATURAL].loss - predicted[CHOSEN].loss
    half = _half_width_of_differences(model, config.interval, seed)
    known = {} if epochs is None else {"epochs": _by_domain(fitted, epochs)}
    return Choice(
        mixture=_by_domain(fitted, chosen),
        predicted=predicted[CHOSEN],
        baselines={n: _entry(fitted, w, predicted[n]) for n, w in beside.mixtures.items()},
        regressor=fitted.name,
        gain=gain,
        gain_interval=(gain - half, gain + half),
        sets=_losses_by_set(fitted, mixtures),
        nearest_sampled=nearest,
        outside_sampled=outside,
        target=dict(model.target),
        limits=space.limits.in_force(fitted.domains, chosen),
        sensitivity=around,
        **known,
    )


def search(model: TargetModel, space: SearchSpace, config: MixConfig, *, seed: int) -> np.ndarray:
    """[domains] the mixture with the lowest objective in a space, by the config's method, caution and
    closeness."""
    direct = config.method == "direct"
    posterior = model.fitted.posterior if config.caution and direct else None
    objective = Objective(
        model.fitted.regressor, model.weights, posterior, config.caution, space.natural, config.closeness
    )
    with one_thread():
        if direct:
            return space.minimise(objective, min(config.candidates, STARTS), seed=seed)
        return space.mean_of_best(objective, config.candidates, config.best, seed=seed)


def outside_sampled(fitted: FittedRegression, chosen: np.ndarray) -> tuple[float, bool]:
    """How far the choice is from the nearest run (sum of absolute differences), and whether runs lie closer
    to one another than that."""
    nearest = float(np.abs(fitted.weights - chosen).sum(axis=1).min())
    spacing = np.abs(fitted.weights[:, None] - fitted.weights[None]).sum(axis=2)
    np.fill_diagonal(spacing, np.inf)
    return nearest, bool(nearest > spacing.min(axis=1).max())


def read_mixture(model: TargetModel, table: MixtureTable) -> np.ndarray:
    """[domains] the first mixture of a table, in the model's order."""
    return ordered(table, model.fitted.domains)[0]


def read_ratios(model: TargetModel, table: MixtureTable) -> Bundle:
    """The domains that a table gives weight as a bundle, the others free.

    Raises:
        ConfigError: fewer than two domains have weight.
    """
    weights = _by_domain(model.fitted, read_mixture(model, table))
    held = {name: weight for name, weight in weights.items() if weight > 0}
    return bundle_domains(model.fitted.domains, held, where=f"--ratios {table.source}")


def _half_width_of_differences(model: TargetModel, coverage: float, seed: int) -> float:
    """Half the width of a difference's interval, from pairs of runs: what two predictions have wrong alike
    drops out."""
    residuals = model.residuals
    random = np.random.default_rng([seed, CANDIDATE_TAG, 1])
    pairs = random.integers(0, len(residuals), (2, PAIRS))
    pairs = pairs[:, pairs[0] != pairs[1]]
    return float(np.quantile(np.abs(residuals[pairs[0]] - residuals[pairs[1]]), coverage))


def _losses_by_set(
    fitted: FittedRegression, mixtures: Mapping[str, np.ndarray]
) -> dict[str, dict[str, float]]:
    """Predicted loss of each set under each mixture."""
    losses = {name: fitted.regressor.predict(weights[None])[0] for name, weights in mixtures.items()}
    return {s: {name: float(row[i]) for name, row in losses.items()} for i, s in enumerate(fitted.sets)}


def _entry(fitted: FittedRegression, weights: np.ndarray, predicted: Prediction) -> PredictedMixture:
    return PredictedMixture(
        mixture=_by_domain(fitted, weights), loss=predicted.loss, interval=predicted.interval
    )


def _by_domain(fitted: FittedRegression, weights: np.ndarray) -> dict[str, float]:
    return dict(zip(fitted.domains, weights.tolist(), strict=True))
