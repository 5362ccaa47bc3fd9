"""Regressors from mixtures to losses, behind one small interface; each predicts all targets at once."""

from typing import Any, Protocol, Self

import numpy as np

from mashbill.regression.exponential import Exponential
from mashbill.regression.power_law import PowerLaw

RUNS_PER_LENGTH, RUNS_FOR_TREES, RUNS_FOR_LENGTHS = 3, 48, 160


class Regressor(Protocol):
    """Learns losses from mixtures."""

    def fit(self, weights: np.ndarray, losses: np.ndarray) -> Self:
        """Learn from [runs, domains] mixtures and [runs, targets] losses."""

    def predict(self, weights: np.ndarray) -> np.ndarray:
        """[mixtures, targets] losses."""


class Linear:
    """Ridge regression with a very small penalty, as the weights of a mixture are collinear (they sum to 1)."""

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

    Source: sail-sg/regmix: gbdt, 1000 iterations, learning rate 1e-2. With few runs a leaf may hold fewer of them than
    LightGBM's default of 20, or no tree could be grown at all. No early stopping: theirs is on the reported test set.
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


class GaussianProcess:
    """Gaussian process over square-rooted mixtures, whose Euclidean distance is Hellinger's between mixtures.

    One kernel a target: a smooth function, a linear trend and noise, lengths by maximum likelihood; a length a domain where there are
    runs enough to tell (mean rank correlation on RegMix's sweep from 64 runs: 0.966, with one length 0.932).
    """

    def fit(self, weights: np.ndarray, losses: np.ndarray) -> Self:
        """Learn from mixtures and losses."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct, Matern, WhiteKernel
        from sklearn.utils._testing import ignore_warnings

        features = np.sqrt(weights)
        self.models: list[Any] = []
        runs, domains = features.shape
        by_domain = runs >= RUNS_PER_LENGTH * domains
        some = np.random.default_rng(0).permutation(runs)[:RUNS_FOR_LENGTHS] if runs > RUNS_FOR_LENGTHS else np.arange(runs)
        for target in losses.T:
            smooth = RBF(np.ones(domains), (0.05, 100.0)) if by_domain else Matern(1.0, (0.05, 50.0), nu=2.5)
            kernel = (
                ConstantKernel(1.0, (1e-3, 1e4)) * smooth
                + ConstantKernel(0.1, (1e-5, 1e3)) * DotProduct(1.0, (1e-3, 1e3))
                + WhiteKernel(1e-3, (1e-7, 1e0))
            )
            restarts = 0 if by_domain else 1
            model = GaussianProcessRegressor(kernel, normalize_y=True, n_restarts_optimizer=restarts, random_state=0)
            model = ignore_warnings(category=ConvergenceWarning)(model.fit)(features[some], target[some])
            if len(some) < runs:  # lengths learnt on some runs serve for all
                model = GaussianProcessRegressor(model.kernel_, normalize_y=True, optimizer=None).fit(features, target)
            self.models.append(model)
        return self

    def predict(self, weights: np.ndarray) -> np.ndarray:
        """[mixtures, targets] losses."""
        features = np.sqrt(weights)
        blocks = [features[i : i + 20_000] for i in range(0, len(features), 20_000)]
        return np.stack([np.concatenate([model.predict(block) for block in blocks]) for model in self.models], 1)


class Ensemble:
    """Mean of power law and Gaussian process, and of LightGBM where there are runs enough for its trees."""

    def fit(self, weights: np.ndarray, losses: np.ndarray) -> Self:
        """Learn from mixtures and losses."""
        self.members: list[Regressor] = [PowerLaw().fit(weights, losses), GaussianProcess().fit(weights, losses)]
        if len(weights) >= RUNS_FOR_TREES:
            self.members.append(LightGBM().fit(weights, losses))
        return self

    def predict(self, weights: np.ndarray) -> np.ndarray:
        """[mixtures, targets] losses."""
        mean: np.ndarray = np.mean([member.predict(weights) for member in self.members], axis=0)
        return mean


REGRESSORS: dict[str, type[Any]] = {
    "linear": Linear,
    "lightgbm": LightGBM,
    "exponential": Exponential,
    "power": PowerLaw,
    "gp": GaussianProcess,
    "ensemble": Ensemble,
}


def new_regressor(name: str) -> Regressor:
    """A regressor by its name in the config, not fitted yet."""
    made: Regressor = REGRESSORS[name]()
    return made
