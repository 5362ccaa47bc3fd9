"""A Gaussian process over one root of a mixture's weights, for all targets at once: what it is, and how it is
learnt.

Lengths, height and noise maximise the posterior, all targets in one batch of Adam steps on a part of the
runs; all runs then serve for predictions. A run may be unknown of a target, which then learns nothing of it,
and runs may differ in their noise by factors that are known beforehand.
"""

from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np

from mashbill.regression.state import State
from mashbill.regression.threads import one_thread

LENGTH, LENGTH_SPREAD = (
    3.0,
    2.0,
)  # of log lengths, in standard deviations of the root: wide, as most domains matter little to a target
NOISE, NOISE_SPREAD = -5.0, 2.0  # of the noise's log variance, in the target's variance
HEIGHT_SPREAD = 2.0
STEPS, RATE = 100, 0.1
RUNS_FOR_LENGTHS = 128
JITTER = 1e-7
UNKNOWN = 1e6  # variance, in the target's, of the noise of what is unknown
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

    def draw(self, weights: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
        """[count, mixtures, targets] standardised losses drawn together from the posterior."""
        values, vectors = np.linalg.eigh(self.covariance(weights))
        scaled = vectors * np.sqrt(np.maximum(values, 0))[:, None, :]
        normal = random.standard_normal((count, len(values), len(weights)))
        return self.mean(weights) + np.einsum("tmk,stk->smt", scaled, normal, optimize=True)


def kernel(one: Any, other: Any, lengths: Any, *, heights: Any) -> Any:
    """[targets, mixtures, mixtures] inverse multiquadric kernel, with a length a domain."""
    scale = (-lengths).exp()[:, None]
    a, b = one[None] * scale, other[None] * scale
    squared = (a * a).sum(-1)[:, :, None] + (b * b).sum(-1)[:, None] - 2 * a @ b.transpose(1, 2)
    return heights.exp()[:, None, None] * (1 + squared.clamp_min(0)).rsqrt()


def learn(
    weights: np.ndarray,
    targets: np.ndarray,
    root: float,
    *,
    offsets: np.ndarray | None = None,
    noise: float | None = None,
) -> Process:
    """Fit a process.

    Args:
        weights: [runs, domains] mixtures.
        targets: [runs, targets] standardised losses; NaN where one is unknown.
        root: exponent of the weights.
        offsets: [runs, targets] logarithms of how many times the target's a run's noise variance is; None
            means that all have the same.
        noise: logarithm of the targets' noise variance; None means that it is learnt.
    """
    import torch

    roots = torch.as_tensor(weights, dtype=torch.float64) ** root
    middle, spread = roots.mean(0), roots.std(0).clamp_min(1e-6)
    points, values = (roots - middle) / spread, torch.as_tensor(targets.T.copy())
    known = ~values.isnan()
    values = values.nan_to_num()
    times = torch.ones_like(values) if offsets is None else torch.as_tensor(offsets.T.copy()).exp()
    some = torch.as_tensor(np.random.default_rng(0).permutation(len(weights))[:RUNS_FOR_LENGTHS])
    with one_thread():
        lengths, heights, noises = _lengths(
            points[some], values[:, some], times=times[:, some], known=known[:, some], noise=noise
        )
        factor = _factor(
            kernel(points, points, lengths, heights=heights), noises.exp()[:, None] * times, known
        )
        coefficients = torch.cholesky_solve(values[:, :, None], factor)[:, :, 0]
    return Process(root, middle, spread, points, lengths, heights, noises, factor, coefficients)


def leave_one_out(process: Process, targets: np.ndarray, offsets: np.ndarray | None = None) -> Any:
    """What a process believes of each of its runs without it.

    Args:
        process: the process.
        targets, offsets: what it learnt from.
    Returns:
        [runs, targets] mean, and [runs, targets] standard deviation of a measured loss, noise and all.
    Source: Rasmussen and Williams (2006), equations 5.10 to 5.12.
    """
    import torch

    with one_thread():
        precision = torch.cholesky_inverse(process.factor).diagonal(dim1=1, dim2=2)
    known, values = ~np.isnan(targets), np.nan_to_num(targets)
    mean = values - (process.coefficients / precision).numpy().T
    noise = np.exp(process.noises.numpy()) * (1.0 if offsets is None else np.exp(offsets)) + JITTER
    variance = (1 / precision).numpy().T - np.where(known, 0.0, UNKNOWN)
    return mean, np.sqrt(np.where(known, variance, np.maximum(variance, 0) + noise))


def evidence(process: Process, targets: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """[targets] nats by which a process makes its targets more likely than noise around zero does.

    Args:
        process: the process, of noise variance 1.
        targets, offsets: [runs, targets] what it learnt from.
    """
    known, values = ~np.isnan(targets), np.nan_to_num(targets)
    noise = np.exp(offsets) + JITTER
    alone = 0.5 * np.where(known, values**2 / noise + np.log(noise), np.log(UNKNOWN + JITTER)).sum(axis=0)
    fit = 0.5 * (values.T * process.coefficients.numpy()).sum(axis=1)
    return alone - fit - process.factor.diagonal(dim1=1, dim2=2).log().sum(1).numpy()


def _lengths(
    points: Any, values: Any, *, times: Any, known: Any, noise: float | None
) -> tuple[Any, Any, Any]:
    """Lengths, heights and noises with the greatest posterior density."""
    import torch

    targets = len(values)
    lengths = torch.full((targets, points.shape[1]), LENGTH, dtype=torch.float64, requires_grad=True)
    heights = torch.zeros(targets, dtype=torch.float64, requires_grad=True)
    noises = torch.full((targets,), NOISE + 1 if noise is None else noise, dtype=torch.float64)
    learnt = [lengths, heights, *([noises.requires_grad_()] if noise is None else [])]
    optimizer = torch.optim.Adam(learnt, lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for _ in range(STEPS):
        optimizer.zero_grad()
        factor = _factor(
            kernel(points, points, lengths, heights=heights), noises.exp()[:, None] * times, known
        )
        solved = torch.cholesky_solve(values[:, :, None], factor)[:, :, 0]
        fit = 0.5 * (values * solved).sum() + factor.diagonal(dim1=1, dim2=2).log().sum()
        prior = ((lengths - LENGTH) / LENGTH_SPREAD).square().sum() + (heights / HEIGHT_SPREAD).square().sum()
        prior = 0.5 * (prior + ((noises - NOISE) / NOISE_SPREAD).square().sum())
        (fit + prior).backward()
        optimizer.step()
        schedule.step()
    return lengths.detach(), heights.detach(), noises.detach()


def _factor(covariance: Any, noise: Any, known: Any) -> Any:
    """[targets, runs, runs] Cholesky factor of the covariance with [targets, runs] noise."""
    import torch

    return torch.linalg.cholesky(covariance + torch.diag_embed(noise.where(known, UNKNOWN) + JITTER))
