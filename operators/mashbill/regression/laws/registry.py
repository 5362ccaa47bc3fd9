"""Regressors from mixtures to losses, behind one small interface; each predicts all targets at once."""

from typing import Any, Protocol, Self

import numpy as np

from mashbill.regression.laws.exponential import Exponential
from mashbill.regression.laws.gaussian_process import GaussianProcess
from mashbill.regression.laws.power import PowerLaw

MIN_RUNS = 8


class Regressor(Protocol):
    """Learns losses from mixtures."""

    def fit(self, weights: np.ndarray, losses: np.ndarray) -> Self:
        """Learn from [runs, domains] mixtures and [runs, targets] losses."""

    def predict(self, weights: np.ndarray) -> np.ndarray:
        """[mixtures, targets] losses."""


class Linear:
    """Ridge regression with a very small penalty, as the weights of a mixture are collinear (they sum to
    1)."""

    def fit(self, weights: np.ndarray, losses: np.ndarray) -> Self:
        """Learn from mixtures and losses."""
        from sklearn.linear_model import Ridge

        self.model: Any = Ridge(alpha=1e-3).fit(weights, losses)
        return self

    def predict(self, weights: np.ndarray) -> np.ndarray:
        """[mixtures, targets] losses."""
        predicted: np.ndarray = self.model.predict(weights)
        return predicted.reshape(len(weights), -1)


class LightGBM:
    """Gradient boosting with RegMix's hyper-parameters, one model a target.

    Source: sail-sg/regmix: gbdt, 1000 iterations, learning rate 1e-2. With few runs a leaf may hold fewer of
    them than LightGBM's default of 20, or no tree could be grown at all. No early stopping: theirs is on the
    reported test set.
    """

    def fit(self, weights: np.ndarray, losses: np.ndarray) -> Self:
        """Learn from mixtures and losses."""
        import lightgbm

        leaf = min(20, max(2, len(weights) // 10))
        self.models: list[Any] = []
        for target in losses.T:
            model = lightgbm.LGBMRegressor(
                boosting_type="gbdt",
                n_estimators=1_000,
                learning_rate=1e-2,
                min_child_samples=leaf,
                n_jobs=1,
                verbosity=-1,
                deterministic=True,
                random_state=42,
            )
            self.models.append(model.fit(np.asarray(weights), target))
        return self

    def predict(self, weights: np.ndarray) -> np.ndarray:
        """[mixtures, targets] losses."""
        return np.stack([model.booster_.predict(weights) for model in self.models], 1)


LIGHTGBM_RUNS = 16
"""Fewer leave folds with so few runs that their trees have next to no splits."""


def least_runs(name: str, domains: int) -> int:
    """The fewest runs that a regressor can bear: the laws have a parameter a domain and some more; the
    process has priors."""
    law = {"linear": domains + 1, "exponential": domains + 2, "power": domains + 4, "lightgbm": LIGHTGBM_RUNS}
    law["ensemble"] = max(law["power"], LIGHTGBM_RUNS)
    return max(MIN_RUNS, law.get(name, 0))


SINGLE: dict[str, type[Any]] = {
    "linear": Linear,
    "lightgbm": LightGBM,
    "exponential": Exponential,
    "power": PowerLaw,
    "gp": GaussianProcess,
}
