"""A stand-in for proxies: Gaussian processes fitted to all 768 of RegMix's published runs.

What they predict counts as the truth, and a run is that and noise of the size that they estimate. They
know most where those runs lie.
"""

import numpy as np
from regression import DATA, published

from mashbill.mixtures import MixtureTable
from mashbill.regression.laws.gaussian_process import GaussianProcess
from mashbill.regression.limits import no_limits
from mashbill.regression.objective import Objective
from mashbill.regression.simplex import SearchSpace, minimise

STARTS, SEARCHES = 10_000, 2


def natural_of_the_pile() -> np.ndarray:
    """[17] proportions of the Pile's domains, as RegMix's script has them."""
    return MixtureTable.read(DATA / "natural.csv").weights[0]


class Separate:
    """A Gaussian process for each loss, which together are what one for all is; each can be asked alone.

    Attributes:
        processes: one a loss.
    """

    def __init__(self, weights: np.ndarray, losses: np.ndarray) -> None:
        self.processes = [GaussianProcess().fit(weights, column[:, None]) for column in losses.T]

    def predict(self, weights: np.ndarray) -> np.ndarray:
        """[mixtures, losses]."""
        return np.concatenate([process.predict(weights) for process in self.processes], axis=1)

    def deviation(self, weights: np.ndarray) -> np.ndarray:
        """[mixtures, losses] standard deviations."""
        return np.concatenate([process.deviation(weights) for process in self.processes], axis=1)

    def objective(self, target: int | None, caution: float = 0.0) -> Objective:
        """A loss alone, or all evenly."""
        if target is not None:
            alone = self.processes[target]
            return Objective(alone, np.ones(1), alone, caution)
        evenly = np.full(len(self.processes), 1 / len(self.processes))
        return Objective(self, evenly, self, caution)


class Simulator:
    """Losses of any mixture of the Pile's 17 domains.

    Attributes:
        natural: [17] proportions of the Pile, as RegMix's script has them.
        published, unseen: [512, 17] and [256, 17] mixtures that RegMix trained and tested on.
        targets: each of the 13 losses alone, then None, which is all evenly.
    """

    def __init__(self) -> None:
        parts = [published(kind) for kind in ("train", "test")]
        self.weights, losses = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
        self.truth = Separate(self.weights, losses)
        self.natural = natural_of_the_pile()
        self.published, self.unseen = parts[0][0], parts[1][0]
        self.targets: tuple[int | None, ...] = (*range(losses.shape[1]), None)
        self.lowest = {target: self._lowest(self.truth.objective(target)) for target in self.targets}

    @property
    def space(self) -> SearchSpace:
        """All mixtures."""
        return SearchSpace(self.natural, no_limits(len(self.natural)))

    def losses(self, weights: np.ndarray) -> np.ndarray:
        """[mixtures, 13] without noise."""
        return self.truth.predict(weights)

    def train(self, weights: np.ndarray, seed: int) -> np.ndarray:
        """[mixtures, 13] losses of runs, with noise."""
        random, columns = np.random.default_rng([seed, len(weights)]), []
        for process in self.truth.processes:
            standardised = np.mean([part.mean(weights) for part in process.processes], axis=0)
            variance = np.mean([part.noises.exp().numpy() for part in process.processes], axis=0)
            noise = np.sqrt(variance) * random.standard_normal(standardised.shape)
            columns.append(process.unwarp(standardised + noise))
        return np.concatenate(columns, axis=1)

    def regret(self, mixture: np.ndarray, target: int | None) -> float:
        """Loss of a mixture above the lowest."""
        return float(self.truth.objective(target)(mixture[None])[0] - self.lowest[target])

    def _lowest(self, loss: Objective) -> float:
        """The lowest loss that searches from several starts find."""
        free, found = no_limits(len(self.natural)), []
        for seed in range(SEARCHES):
            starts = np.concatenate([self.space.draw(STARTS, seed), self.weights])
            found.append(minimise(loss, starts[int(loss(starts).argmin())], free, seed=seed))
        return float(loss(np.stack(found)).min())
