"""Gaussian processes over mixtures, all targets at once: lengths by domain, learnt under priors so that few
runs suffice.

A loss bends where a weight is near zero, so the processes see roots of the weights, and learn the logarithm
of the loss above a floor. Three of them, over square, cube and fourth roots, are averaged. The kernel is the
inverse multiquadric, ``1 / sqrt(1 + r^2)``, with a length a domain: as good as Matern's here, and one
instruction where that takes a root and an exponential, which counts for a million candidates.
"""

from typing import Self

import numpy as np

from mashbill.regression.process import Process, learn
from mashbill.regression.seed_noise import noise_offsets
from mashbill.regression.state import State, part_of, within
from mashbill.regression.threads import one_thread

ROOTS = (1 / 2, 1 / 3, 1 / 4)
FLOOR = 1.0  # standard deviations between the lowest loss and the floor


class GaussianProcess:
    """Mean of processes over several roots of the weights."""

    name = "gp"

    @staticmethod
    def least_runs(domains: int) -> int:
        """None: the priors bear any number."""
        del domains
        return 0

    def fit(self, weights: np.ndarray, losses: np.ndarray) -> Self:
        """Learn from [runs, domains] mixtures and [runs, targets] losses; NaN where one is unknown."""
        spread = np.maximum(np.nanstd(losses, axis=0), 1e-9)
        self.floor = np.nanmin(losses, axis=0) - FLOOR * spread
        warped = np.log(losses - self.floor)
        self.middle, self.spread = np.nanmean(warped, axis=0), np.maximum(np.nanstd(warped, axis=0), 1e-9)
        targets = (warped - self.middle) / self.spread
        offsets = noise_offsets(weights, targets)
        self.processes = [learn(weights, targets, root, offsets=offsets) for root in ROOTS]
        return self

    def predict(self, weights: np.ndarray) -> np.ndarray:
        """[mixtures, targets] losses."""
        with one_thread():
            return np.mean([self.unwarp(process.mean(weights)) for process in self.processes], axis=0)

    def state(self) -> State:
        """How losses are warped, and the processes."""
        state = {"floor": self.floor, "middle": self.middle, "spread": self.spread}
        for i, process in enumerate(self.processes):
            state |= within(f"process{i}", process.state())
        return {**state, "processes": len(self.processes)}

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The fitted process again."""
        made = cls()
        made.floor, made.middle, made.spread = state["floor"], state["middle"], state["spread"]
        parts = [part_of(state, f"process{i}") for i in range(state["processes"])]
        made.processes = [Process.from_state(part) for part in parts]
        return made

    def unwarp(self, standardised: np.ndarray) -> np.ndarray:
        """Losses of [..., targets] standardised ones."""
        return np.exp(standardised * self.spread + self.middle) + self.floor

    def deviation(self, weights: np.ndarray) -> np.ndarray:
        """[mixtures, targets] standard deviation of the losses, noise left out: the processes' own and
        between them."""
        with one_thread():
            means = np.stack([process.mean(weights) for process in self.processes])
            within = np.mean([process.variance(weights) for process in self.processes], axis=0)
        slope = np.exp(means.mean(axis=0) * self.spread + self.middle) * self.spread
        return np.sqrt(within + means.var(axis=0)) * slope

    def draw(self, weights: np.ndarray, count: int, seed: int) -> np.ndarray:
        """[count, mixtures, targets] losses drawn together from the posterior, in equal parts from each
        process."""
        random = np.random.default_rng(seed)
        draws = []
        for i, process in enumerate(self.processes):
            share = (count * (i + 1)) // len(self.processes) - (count * i) // len(self.processes)
            with one_thread():
                draws.append(process.draw(weights, share, random))
        return self.unwarp(np.concatenate(draws))
