"""Gaussian processes over mixtures, all targets at once: lengths by domain, learnt under priors so that few
runs suffice.

A loss bends where a weight is near zero, so the processes see roots of the weights, and learn the logarithm
of the loss above a floor. Three of them, over square, cube and fourth roots, are averaged. The kernel is the
inverse multiquadric, ``1 / sqrt(1 + r^2)``, with a length a domain: as good as Matern's here, and one
instruction where that takes a root and an exponential, which counts for a million candidates. Lengths, height
and noise maximise the posterior, all targets in one batch of Adam steps on a part of the runs; all runs then
serve for predictions.
"""

from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np

from mashbill.regression.state import State, part_of, within
from mashbill.regression.threads import one_thread

ROOTS = (1 / 2, 1 / 3, 1 / 4)
LENGTH, LENGTH_SPREAD = (
    3.0,
    2.0,
)  # of log lengths, in standard deviations of the root: wide, as most domains matter little to a target
NOISE, NOISE_SPREAD = -5.0, 2.0  # of the noise's log variance, in the target's variance
HEIGHT_SPREAD = 2.0
STEPS, RATE = 100, 0.1
RUNS_FOR_LENGTHS = 128
FLOOR = 1.0  # standard deviations between the lowest loss and the floor
JITTER = 1e-7
BLOCK = 512  # mixtures whose kernel with all runs stays in a core's cache


@dataclass(frozen=True)
class Process:
    """One process a target, over one root of the weights.

    Attributes:
        root: exponent of the weights.
        middle, spread: [domains] of the roots.
        points: [runs, domains] standardised roots.
        lengths: [targets, domains] logarithms; heights, noises: [targets] logarithms of variances.
        factor: [targets, runs, runs] Cholesky factor of the kernel; coefficients: [targets, runs].
    """

    root: float
    middle: Any
    spread: Any
    points: Any
    lengths: Any
    heights: Any
    noises: Any
    factor: Any
    coefficients: Any

    def __post_init__(self) -> None:
        """Give tensors the layout of those that are read from a file: sums in another order end otherwise."""
        for name, value in self._tensors().items():
            object.__setattr__(self, name, value.contiguous())

    def _tensors(self) -> dict[str, Any]:
        import torch

        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in found.items() if isinstance(value, torch.Tensor)}

    def state(self) -> State:
        """The fields, tensors as arrays."""
        tensors = {name: value.numpy() for name, value in self._tensors().items()}
        return {field.name: getattr(self, field.name) for field in fields(self)} | tensors

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The process again."""
        import torch

        def field(value: Any) -> Any:
            return torch.tensor(value) if isinstance(value, np.ndarray) else value

        return cls(**{name: field(value) for name, value in state.items()})

    def features(self, weights: np.ndarray) -> Any:
        """[mixtures, domains] standardised roots."""
        import torch

        return (torch.as_tensor(weights) ** self.root - self.middle) / self.spread

    def mean(self, weights: np.ndarray) -> np.ndarray:
        """[mixtures, targets] of standardised losses; in single precision, which suffices for means."""
        import torch

        points, features = self.points.float(), self.features(weights).float()
        result = np.empty((len(weights), len(self.lengths)))
        for target in range(len(self.lengths)):
            scale = (-self.lengths[target]).exp().float()
            runs = points * scale
            ones = runs.new_ones(len(runs), 1)
            runs = torch.cat([-2 * runs, runs.square().sum(1, keepdim=True) + 1, ones], 1).T
            coefficients = (self.coefficients[target] * self.heights[target].exp()).float()
            for start in range(0, len(weights), BLOCK):
                block = features[start : start + BLOCK] * scale
                block = torch.cat(
                    [block, block.new_ones(len(block), 1), block.square().sum(1, keepdim=True)], 1
                )
                result[start : start + BLOCK, target] = (
                    (block @ runs).clamp_min_(1).rsqrt_() @ coefficients
                ).numpy()
        return result

    def variance(self, weights: np.ndarray) -> np.ndarray:
        """[mixtures, targets] posterior variance of standardised losses, noise left out."""
        import torch

        parts = []
        for start in range(0, len(weights), BLOCK):
            across = kernel(
                self.points, self.features(weights[start : start + BLOCK]), self.lengths, heights=self.heights
            )
            solved = torch.linalg.solve_triangular(self.factor, across, upper=False)
            parts.append((self.heights.exp()[:, None] - solved.square().sum(1)).clamp_min(0).T.numpy())
        return np.concatenate(parts)

    def covariance(self, weights: np.ndarray) -> np.ndarray:
        """[targets, mixtures, mixtures] posterior covariance of standardised losses, noise left out."""
        import torch

        features = self.features(weights)
        across = torch.linalg.solve_triangular(
            self.factor, kernel(self.points, features, self.lengths, heights=self.heights), upper=False
        )
        return (
            kernel(features, features, self.lengths, heights=self.heights) - across.transpose(1, 2) @ across
        ).numpy()


class GaussianProcess:
    """Mean of processes over several roots of the weights."""

    name = "gp"

    @staticmethod
    def least_runs(domains: int) -> int:
        """None: the priors bear any number."""
        del domains
        return 0

    def fit(self, weights: np.ndarray, losses: np.ndarray) -> Self:
        """Learn from [runs, domains] mixtures and [runs, targets] losses."""
        spread = np.maximum(losses.std(axis=0), 1e-9)
        self.floor = losses.min(axis=0) - FLOOR * spread
        warped = np.log(losses - self.floor)
        self.middle, self.spread = warped.mean(axis=0), np.maximum(warped.std(axis=0), 1e-9)
        targets = (warped - self.middle) / self.spread
        self.processes = [learn(weights, targets, root) for root in ROOTS]
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
                mean, covariance = process.mean(weights), process.covariance(weights)
                values, vectors = np.linalg.eigh(covariance)
                scaled = vectors * np.sqrt(np.maximum(values, 0))[:, None, :]
                normal = random.standard_normal((share, len(self.floor), len(weights)))
                draws.append(mean + np.einsum("tmk,stk->smt", scaled, normal, optimize=True))
        return self.unwarp(np.concatenate(draws))


def kernel(one: Any, other: Any, lengths: Any, *, heights: Any) -> Any:
    """[targets, mixtures, mixtures] inverse multiquadric kernel, with a length a domain."""
    scale = (-lengths).exp()[:, None]
    a, b = one[None] * scale, other[None] * scale
    squared = (a * a).sum(-1)[:, :, None] + (b * b).sum(-1)[:, None] - 2 * a @ b.transpose(1, 2)
    return heights.exp()[:, None, None] * (1 + squared.clamp_min(0)).rsqrt()


def learn(weights: np.ndarray, targets: np.ndarray, root: float) -> Process:
    """Fit a process to [runs, domains] mixtures and [runs, targets] standardised losses."""
    import torch

    roots = torch.as_tensor(weights, dtype=torch.float64) ** root
    middle, spread = roots.mean(0), roots.std(0).clamp_min(1e-6)
    points, values = (roots - middle) / spread, torch.as_tensor(targets.T.copy())
    some = torch.as_tensor(np.random.default_rng(0).permutation(len(weights))[:RUNS_FOR_LENGTHS])
    with one_thread():
        lengths, heights, noises = _lengths(points[some], values[:, some])
        factor = _factor(points, lengths, heights, noises=noises)
        coefficients = torch.cholesky_solve(values[:, :, None], factor)[:, :, 0]
    return Process(root, middle, spread, points, lengths, heights, noises, factor, coefficients)


def _lengths(points: Any, values: Any) -> tuple[Any, Any, Any]:
    """Lengths, heights and noises with the greatest posterior density."""
    import torch

    targets = len(values)
    lengths = torch.full((targets, points.shape[1]), LENGTH, dtype=torch.float64, requires_grad=True)
    heights = torch.zeros(targets, dtype=torch.float64, requires_grad=True)
    noises = torch.full((targets,), NOISE + 1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([lengths, heights, noises], lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for _ in range(STEPS):
        optimizer.zero_grad()
        factor = _factor(points, lengths, heights, noises=noises)
        solved = torch.cholesky_solve(values[:, :, None], factor)[:, :, 0]
        fit = 0.5 * (values * solved).sum() + factor.diagonal(dim1=1, dim2=2).log().sum()
        prior = ((lengths - LENGTH) / LENGTH_SPREAD).square().sum() + (heights / HEIGHT_SPREAD).square().sum()
        prior = 0.5 * (prior + ((noises - NOISE) / NOISE_SPREAD).square().sum())
        (fit + prior).backward()
        optimizer.step()
        schedule.step()
    return lengths.detach(), heights.detach(), noises.detach()


def _factor(points: Any, lengths: Any, heights: Any, *, noises: Any) -> Any:
    import torch

    noise = (noises.exp() + JITTER)[:, None, None] * torch.eye(len(points), dtype=torch.float64)
    return torch.linalg.cholesky(kernel(points, points, lengths, heights=heights) + noise)
