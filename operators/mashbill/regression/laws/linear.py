"""Ridge regression: what a straight line makes of mixtures."""

from typing import Self

import numpy as np

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
        """Learn from mixtures and losses."""
        from sklearn.linear_model import Ridge

        model = Ridge(alpha=1e-3).fit(weights, losses)
        self.slopes = np.ascontiguousarray(np.atleast_2d(model.coef_))
        self.constants = np.atleast_1d(np.asarray(model.intercept_))
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
