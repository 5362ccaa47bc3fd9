"""Ridge regression: what a straight line makes of mixtures."""

from typing import Self

import numpy as np

from mashbill.regression.regressor import known_runs
from mashbill.regression.state import State


class Linear:
    """Ridge regression with a very small penalty, as the weights of a mixture are collinear (they sum to
    1)."""

    name = "linear"

    @staticmethod
    def least_runs(domains: int) -> int:
        """A coefficient a domain, and the constant."""
        return domains + 1

    def fit(self, weights: np.ndarray, losses: np.ndarray) -> Self:
        """Learn from [runs, domains] mixtures and [runs, targets] losses, NaN where one is unknown."""
        from sklearn.linear_model import Ridge

        models = [Ridge(alpha=1e-3).fit(*runs) for runs in known_runs(weights, losses)]
        self.slopes = np.stack([model.coef_ for model in models])
        self.constants = np.array([model.intercept_ for model in models])
        return self

    def predict(self, weights: np.ndarray) -> np.ndarray:
        """[mixtures, targets] losses."""
        predicted: np.ndarray = weights @ self.slopes.T + self.constants
        return predicted

    def state(self) -> State:
        """[targets, domains] slopes and [targets] constants."""
        return {"slopes": self.slopes, "constants": self.constants}

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The fitted line again."""
        made = cls()
        made.slopes, made.constants = state["slopes"], state["constants"]
        return made
