"""The power law: each domain's loss falls as a power of how much of what helps it the mixture holds.

    loss(w) = c + k (e + sum_d a_d w_d) ^ -b          with c, k, e, b > 0 and a_d >= 0

Fitted in the parameters' logarithms with a Huber loss, from several starts, by L-BFGS with analytic
gradients. The form is the data mixing laws' (yegcjs/mixinglaws) with a power in place of the exponential: in
weights near zero, where sampled mixtures are, it bends as losses do.
"""

from typing import Self

import numpy as np

from mashbill.regression.state import State

STARTS = 6
HUBER = 0.02
PENALTY = 1e-4
POWER_TAG = 501


class PowerLaw:
    """One power law a target."""

    name = "power"

    @staticmethod
    def least_runs(domains: int) -> int:
        """A coefficient a domain, and the law's four parameters."""
        return domains + 4

    def fit(self, weights: np.ndarray, losses: np.ndarray) -> Self:
        """Learn from [runs, domains] mixtures and [runs, targets] losses."""
        self.parameters = np.stack([_fit_target(weights, target, i) for i, target in enumerate(losses.T)])
        self.scales = np.stack([_scale(target) for target in losses.T])
        return self

    def predict(self, weights: np.ndarray) -> np.ndarray:
        """[mixtures, targets] losses."""
        columns = [
            _evaluate(p, weights)[0] * s[1] + s[0] for p, s in zip(self.parameters, self.scales, strict=True)
        ]
        return np.stack(columns, 1)

    def state(self) -> State:
        """Parameters, and the scale of each target."""
        return {"parameters": self.parameters, "scales": self.scales}

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The fitted law again."""
        made = cls()
        made.parameters, made.scales = state["parameters"], state["scales"]
        return made


def _scale(target: np.ndarray) -> np.ndarray:
    """Offset and spread that bring a target to about 0..1."""
    low = float(target.min())
    return np.array([low, max(float(np.ptp(target)), 1e-9)])


def _fit_target(weights: np.ndarray, target: np.ndarray, tag: int) -> np.ndarray:
    from scipy.optimize import minimize

    low, spread = _scale(target)
    scaled = (target - low) / spread
    domains = weights.shape[1]
    random = np.random.default_rng([POWER_TAG, tag])
    best, lowest = np.zeros(domains + 4), np.inf
    for start in range(STARTS):
        first = np.concatenate(
            [[-1.0, -0.5, np.log(0.1), np.log(0.5)], random.normal(-1.0 if start else 0.0, 1.0, domains)]
        )
        bounds = [(-8, 2), (-8, 4), (-9, 3), (-3, 1.5)] + [(-12, 5)] * domains
        found = minimize(
            _objective,
            first,
            args=(weights, scaled),
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"maxiter": 600},
        )
        if found.fun < lowest:
            best, lowest = found.x, found.fun
    return best


def _evaluate(parameters: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scaled losses, the power's value and its base, each [mixtures]."""
    offset, height, floor, power = (
        parameters[0],
        np.exp(parameters[1]),
        np.exp(parameters[2]),
        np.exp(parameters[3]),
    )
    base = floor + weights @ np.exp(parameters[4:])
    value = height * base**-power
    return offset + value, value, base


def _objective(parameters: np.ndarray, weights: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray]:
    """Mean Huber loss with a slight penalty on the coefficients, and its gradient."""
    predicted, value, base = _evaluate(parameters, weights)
    residual = predicted - target
    small = np.abs(residual) <= HUBER
    loss = np.where(small, 0.5 * residual**2, HUBER * (np.abs(residual) - 0.5 * HUBER)).mean()
    slope = np.where(small, residual, HUBER * np.sign(residual)) / len(target)
    floor, power, coefficients = np.exp(parameters[2]), np.exp(parameters[3]), np.exp(parameters[4:])
    by_base = slope * value * -power / base
    gradient = np.concatenate(
        [
            [
                slope.sum(),
                (slope * value).sum(),
                by_base.sum() * floor,
                (slope * value * -np.log(base)).sum() * power,
            ],
            (weights.T @ by_base) * coefficients,
        ]
    )
    centred = parameters[4:] + 1.0
    gradient[4:] += PENALTY * 2 * centred / len(target)
    return float(loss + PENALTY * (centred**2).sum() / len(target)), gradient
