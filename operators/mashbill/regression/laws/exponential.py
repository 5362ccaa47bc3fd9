"""The data mixing laws' exponential: a domain's loss falls exponentially in the weights of what helps it.

    loss(w) = c + exp(b + sum_d t_d w_d)

Fitted with a Huber loss from several starts. Source: data mixing laws (yegcjs/mixinglaws); olmix
(allenai/olmix) uses the same form.
"""

from typing import Self

import numpy as np

from mashbill.regression.regressor import known_runs
from mashbill.regression.state import State

STARTS = 6
HUBER = 0.02
PENALTY = 1e-3  # times a coefficient, in the spread of the losses
LARGEST = 30.0  # exponent
BEYOND = float(np.log(2))  # an unseen mixture's exponential is trusted up to twice the largest of the runs
START_TAG = 504


class Exponential:
    """One exponential law a target."""

    name = "exponential"

    @staticmethod
    def least_runs(domains: int) -> int:
        """A coefficient a domain, the floor and the height."""
        return domains + 2

    def fit(self, weights: np.ndarray, losses: np.ndarray) -> Self:
        """Learn from [runs, domains] mixtures and [runs, targets] losses, NaN where one is unknown."""
        known = known_runs(weights, losses)
        self.parameters = np.stack([_fit_target(*runs, i) for i, runs in enumerate(known)])
        self.highest = (self.parameters[:, 1:2] + self.parameters[:, 2:] @ weights.T).max(axis=1) + BEYOND
        return self

    def predict(self, weights: np.ndarray) -> np.ndarray:
        """[mixtures, targets] losses."""
        columns = [
            _evaluate(parameters, weights, highest)
            for parameters, highest in zip(self.parameters, self.highest, strict=True)
        ]
        return np.stack(columns, 1)

    def state(self) -> State:
        """Parameters, and how far each exponential is trusted."""
        return {"parameters": self.parameters, "highest": self.highest}

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The fitted law again."""
        made = cls()
        made.parameters, made.highest = state["parameters"], state["highest"]
        return made


def _evaluate(parameters: np.ndarray, weights: np.ndarray, highest: float = LARGEST) -> np.ndarray:
    return parameters[0] + np.exp(np.clip(parameters[1] + weights @ parameters[2:], -LARGEST, highest))


def _fit_target(weights: np.ndarray, target: np.ndarray, tag: int) -> np.ndarray:
    from scipy.optimize import least_squares

    random = np.random.default_rng([START_TAG, tag])
    spread = max(float(np.ptp(target)), 1e-9)

    def residuals(parameters: np.ndarray) -> np.ndarray:
        return np.concatenate([(_evaluate(parameters, weights) - target) / spread, PENALTY * parameters[2:]])

    def slopes(parameters: np.ndarray) -> np.ndarray:
        value = np.exp(np.clip(parameters[1] + weights @ parameters[2:], -LARGEST, LARGEST))[:, None] / spread
        fit = np.concatenate([np.full((len(target), 1), 1 / spread), value, value * weights], axis=1)
        penalty = np.concatenate(
            [np.zeros((len(parameters) - 2, 2)), PENALTY * np.eye(len(parameters) - 2)], axis=1
        )
        return np.concatenate([fit, penalty])

    best, lowest = None, np.inf
    for _ in range(STARTS):
        first = np.concatenate(
            [[float(target.min()) - 0.3 * spread, np.log(spread)], random.normal(-0.5, 1.0, weights.shape[1])]
        )
        found = least_squares(residuals, first, jac=slopes, loss="huber", f_scale=HUBER, max_nfev=400)
        if found.cost < lowest:
            best, lowest = found.x, found.cost
    assert best is not None
    return np.asarray(best)
