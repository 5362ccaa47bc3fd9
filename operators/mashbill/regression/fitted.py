"""A fitted regression: the regressor, the runs it learnt from, and what it predicts of runs it never saw."""

from dataclasses import dataclass

import numpy as np

from mashbill.errors import DataError
from mashbill.regression.laws.registry import Regressor


@dataclass(frozen=True)
class FittedRegression:
    """What ``regression.joblib`` holds.

    Attributes:
        name: name of the regressor.
        regressor: fitted on all finished runs.
        domains, sets: names of the weights' and of the losses' columns.
        weights, losses: the runs it was fitted on.
        out_of_fold: [runs, sets] predictions by models that had not seen the run.
    """

    name: str
    regressor: Regressor
    domains: tuple[str, ...]
    sets: tuple[str, ...]
    weights: np.ndarray
    losses: np.ndarray
    out_of_fold: np.ndarray

    def target_weights(self, target: dict[str, float]) -> np.ndarray:
        """[sets] weights of a target."""
        missing = [name for name in target if name not in self.sets]
        if missing:
            raise DataError(
                f"mix.target.{missing[0]}",
                "is no set the sweep measured",
                f"choose among {', '.join(self.sets)}",
            )
        return np.array([target.get(name, 0.0) for name in self.sets])
