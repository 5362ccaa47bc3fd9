"""What a choice of mixture minimises."""

from dataclasses import dataclass

import numpy as np

from mashbill.regression.posterior import Posterior
from mashbill.regression.regressor import Regressor


@dataclass(frozen=True)
class Objective:
    """Predicted target loss, with a price on doubt and on distance from the prior.

    Attributes:
        regressor: predicts the losses.
        target: [sets] weights of the losses.
        posterior: the regressor's, which knows its doubt; needed where caution is not 0.
        caution: standard deviations of doubt that are added to the loss.
        prior: [domains] mixture; needed where closeness is not 0.
        closeness: loss added for each nat of the Kullback-Leibler divergence from the prior.
    """

    regressor: Regressor
    target: np.ndarray
    posterior: Posterior | None = None
    caution: float = 0.0
    prior: np.ndarray | None = None
    closeness: float = 0.0

    def __call__(self, mixtures: np.ndarray) -> np.ndarray:
        """[mixtures] what is minimised."""
        value: np.ndarray = self.regressor.predict(mixtures) @ self.target
        if self.posterior is not None and self.caution:
            value = value + self.caution * np.sqrt(self.posterior.deviation(mixtures) ** 2 @ self.target**2)
        if self.prior is not None and self.closeness:
            ratio = np.log(np.maximum(mixtures, 1e-12)) - np.log(np.maximum(self.prior, 1e-9))
            value = value + self.closeness * (mixtures * ratio).sum(axis=1)
        return value
