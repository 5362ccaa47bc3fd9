"""What is believed of the losses around a regressor's predictions: its doubt, which caution counts, and
surfaces drawn from it, which advice compares.

The Gaussian process has a posterior of its own. A law, trees or an ensemble have none, and a process fitted
beside them would doubt where it would be wrong, not where they are. For these a process learns the errors
that they made out of fold, as large as those of mixtures not seen: losses are believed to be the prediction
and such an error. So mean, caution and advice speak of the one regressor that was chosen.
"""

from typing import Protocol

import numpy as np

from mashbill.regression.process import learn
from mashbill.regression.regressor import Regressor
from mashbill.regression.threads import one_thread

ROOT = 1 / 3


class Posterior(Protocol):
    """Predictions, and what is believed around them."""

    def predict(self, weights: np.ndarray) -> np.ndarray:
        """[mixtures, targets] losses."""

    def deviation(self, weights: np.ndarray) -> np.ndarray:
        """[mixtures, targets] how far losses are believed to lie from the predictions: a root mean square,
        noise left out."""

    def draw(self, weights: np.ndarray, count: int, seed: int) -> np.ndarray:
        """[count, mixtures, targets] losses drawn together."""


class ErrorPosterior:
    """A regressor, and a Gaussian process over its errors out of fold.

    Args:
        regressor: fitted.
        weights: [runs, domains] mixtures.
        residuals: [runs, targets] measured less predicted, out of fold; NaN where unknown.
    """

    def __init__(self, regressor: Regressor, weights: np.ndarray, residuals: np.ndarray) -> None:
        self.regressor = regressor
        self.size = np.maximum(np.sqrt(np.nanmean(residuals**2, axis=0)), 1e-9)
        self.errors = learn(weights, residuals / self.size, ROOT)

    def predict(self, weights: np.ndarray) -> np.ndarray:
        """[mixtures, targets] losses, the regressor's own."""
        return self.regressor.predict(weights)

    def deviation(self, weights: np.ndarray) -> np.ndarray:
        """[mixtures, targets] root mean square of the error: the expected one, and the doubt about it."""
        with one_thread():
            return np.sqrt(self.errors.mean(weights) ** 2 + self.errors.variance(weights)) * self.size

    def draw(self, weights: np.ndarray, count: int, seed: int) -> np.ndarray:
        """[count, mixtures, targets] predictions with an error each, drawn together."""
        with one_thread():
            errors = self.errors.draw(weights, count, np.random.default_rng(seed))
        return self.predict(weights) + errors * self.size
