"""A stand-in for proxies: the Gaussian process fitted to all 768 of RegMix's published runs.

What it predicts counts as the truth, and a run is that and noise of the size that the process estimates. It
knows most where those runs lie.
"""

import numpy as np
from regression import DATA, published

from mashbill.mixtures import MixtureTable
from mashbill.regression.laws.gaussian_process import GaussianProcess
from mashbill.regression.limits import no_limits
from mashbill.regression.simplex import SearchSpace, minimise

STARTS, SEARCHES = 20_000, 2


def natural_of_the_pile() -> np.ndarray:
    """[17] proportions of the Pile's domains, as RegMix's script has them."""
    return MixtureTable.read(DATA / "natural.csv").weights[0]


class Simulator:
    """Losses of any mixture of the Pile's 17 domains.

    Attributes:
        natural: [17] proportions of the Pile, as RegMix's script has them.
        unseen: [256, 17] mixtures that RegMix tested on.
    """

    def __init__(self) -> None:
        parts = [published(kind) for kind in ("train", "test")]
        self.weights, losses = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
        self.process = GaussianProcess().fit(self.weights, losses)
        self.natural = natural_of_the_pile()
        self.published, self.unseen = parts[0][0], parts[1][0]
        singles = np.eye(losses.shape[1])
        self.targets = np.concatenate([singles, singles.mean(axis=0, keepdims=True)])
        self.lowest = np.array([self._lowest(target) for target in self.targets])

    @property
    def space(self) -> SearchSpace:
        """All mixtures."""
        return SearchSpace(self.natural, no_limits(len(self.natural)))

    def losses(self, weights: np.ndarray) -> np.ndarray:
        """[mixtures, 13] without noise."""
        return self.process.predict(weights)

    def train(self, weights: np.ndarray, seed: int) -> np.ndarray:
        """[mixtures, 13] losses of runs, with noise."""
        process = self.process
        standardised = np.mean([part.mean(weights) for part in process.processes], axis=0)
        deviation = np.sqrt(np.mean([part.noises.exp().numpy() for part in process.processes], axis=0))
        noise = np.random.default_rng([seed, len(weights)]).standard_normal(standardised.shape)
        return process.unwarp(standardised + deviation * noise)

    def regret(self, mixture: np.ndarray, target: int) -> float:
        """Loss of a mixture above the lowest, for one of the targets: each loss alone, then all evenly."""
        return float(self.losses(mixture[None])[0] @ self.targets[target] - self.lowest[target])

    def _lowest(self, target: np.ndarray) -> float:
        """The lowest loss that searches from several starts find."""

        def loss(rows: np.ndarray) -> np.ndarray:
            return self.losses(rows) @ target

        free, found = no_limits(len(self.natural)), []
        for seed in range(SEARCHES):
            starts = np.concatenate([self.space.draw(STARTS, seed), self.weights])
            found.append(minimise(loss, starts[int(loss(starts).argmin())], free, seed=seed))
        return float(loss(np.stack(found)).min())
