"""What every regressor from mixtures to losses can do; each predicts all targets at once."""

from typing import Protocol, Self

import numpy as np


class Regressor(Protocol):
    """Learns losses from mixtures."""

    name: str

    @staticmethod
    def least_runs(domains: int) -> int:
        """The fewest runs that it can bear; a law has a parameter a domain and some more."""

    def fit(self, weights: np.ndarray, losses: np.ndarray) -> Self:
        """Learn from [runs, domains] mixtures and [runs, targets] losses."""

    def predict(self, weights: np.ndarray) -> np.ndarray:
        """[mixtures, targets] losses."""
