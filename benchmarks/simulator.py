"""A stand-in for proxies: the Gaussian process fitted to all 768 of RegMix's published runs.

What it predicts counts as the truth, and a run is that and noise of the size that it estimates. It
knows most where those runs lie.
"""

from dataclasses import replace

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


OF_EACH_LOSS = ("lengths", "heights", "noises", "factor", "coefficients")
"""Fields of a process that have a row a loss."""


class Learnt:
    """A Gaussian process of several losses, of which one can be asked alone, at its share of the work."""

    def __init__(self, weights: np.ndarray, losses: np.ndarray) -> None:
        self.together = GaussianProcess().fit(weights, losses)

    def predict(self, weights: np.ndarray) -> np.ndarray:
        """[mixtures, losses]."""
        return self.together.predict(weights)

    def objective(self, target: int | None, caution: float = 0.0) -> Objective:
        """A loss alone, or all evenly."""
        together = self.together
        if target is None:
            return Objective(
                together, np.full(len(together.floor), 1 / len(together.floor)), together, caution
            )
        rows, alone = slice(target, target + 1), GaussianProcess()
        alone.floor, alone.middle, alone.spread = (
            whole[rows] for whole in (together.floor, together.middle, together.spread)
        )
        alone.processes = [
            replace(process, **{name: getattr(process, name)[rows] for name in OF_EACH_LOSS})
            for process in together.processes
        ]
        return Objective(alone, np.ones(1), alone, caution)


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
        self.truth = Learnt(self.weights, losses)
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
        process = self.truth.together
        standardised = np.mean([part.mean(weights) for part in process.processes], axis=0)
        deviation = np.sqrt(np.mean([part.noises.exp().numpy() for part in process.processes], axis=0))
        noise = np.random.default_rng([seed, len(weights)]).standard_normal(standardised.shape)
        return process.unwarp(standardised + deviation * noise)

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
