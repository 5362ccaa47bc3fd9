"""Gradient boosting, as RegMix uses it."""

from typing import Any, Self

import numpy as np

from mashbill.regression.state import State

FEWEST_RUNS = 16


class LightGBM:
    """Gradient boosting with RegMix's hyper-parameters, one model a target.

    Source: sail-sg/regmix: gbdt, 1000 iterations, learning rate 1e-2. With few runs a leaf may hold fewer of
    them than LightGBM's default of 20, or no tree could be grown at all. No early stopping: theirs is on the
    reported test set.
    """

    name = "lightgbm"

    @staticmethod
    def least_runs(domains: int) -> int:
        """Enough that the runs of a fold give trees with more than next to no splits."""
        del domains
        return FEWEST_RUNS

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
            self.models.append(model.fit(np.asarray(weights), target).booster_)
        return self

    def predict(self, weights: np.ndarray) -> np.ndarray:
        """[mixtures, targets] losses."""
        return np.stack([model.predict(weights) for model in self.models], 1)

    def state(self) -> State:
        """Each target's trees, as LightGBM's own text, whose numbers are exact."""
        texts = [model.model_to_string().encode() for model in self.models]
        named = {f"trees{i}": np.frombuffer(text, np.uint8) for i, text in enumerate(texts)}
        return {"targets": len(texts), **named}

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The fitted trees again."""
        import lightgbm

        made = cls()
        texts = [state[f"trees{i}"].tobytes().decode() for i in range(state["targets"])]
        try:
            made.models = [lightgbm.Booster(model_str=text) for text in texts]
        except lightgbm.basic.LightGBMError as error:
            raise ValueError(f"no trees of LightGBM: {error}") from error
        return made
