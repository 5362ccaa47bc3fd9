"""What every regressor from mixtures to losses can do; each predicts all targets at once."""

from typing import Protocol, Self

import numpy as np

from mashbill.regression.state import State


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

    def state(self) -> State:
        """What a fitted one is: arrays of numbers and JSON values by name, which are written to a file."""

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The fitted one again, which predicts what it predicted, bit for bit.

        Raises:
            KeyError, TypeError, ValueError: the state is none of this regressor's.
        """
