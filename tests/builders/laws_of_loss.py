"""Runs whose losses follow laws with known constants."""

from collections.abc import Sequence

import numpy as np

from mashbill.forecast.law import Law, Points
from mashbill.forecast.trajectory import Trajectory
from mashbill.mixtures.forecast import LawConstants

C4 = LawConstants(E=1.50826, alpha=113.69, beta=189.52, b=-0.24247)
REDPAJAMA = LawConstants(E=1.83665, alpha=166.21, beta=366.69, b=-0.27285)
REFINEDWEB = LawConstants(E=1.73446, alpha=125.10, beta=246.21, b=-0.25439)
"""The published fits of arXiv 2403.08540."""
SIZES, BUDGETS = (10e6, 25e6, 60e6, 150e6), (2e8, 8e8)


def grid(sizes: Sequence[float] = SIZES, budgets: Sequence[float] = BUDGETS) -> tuple[np.ndarray, np.ndarray]:
    """[runs] parameters and tokens: every size at every budget."""
    parameters, tokens = np.meshgrid(sizes, budgets)
    return parameters.ravel(), tokens.ravel()


def by_hand(constants: LawConstants, parameters: float, tokens: float) -> float:
    """The loss, in the form of the paper: E + (a M^eta + b M^-eta) C^-eta, with C = 6 N D and M = D / N."""
    eta = -constants.b / 2
    compute, ratio = 6 * parameters * tokens, tokens / parameters
    both = constants.alpha * 6**eta * ratio**eta + constants.beta * ratio**-eta
    return float(constants.E + both * compute**-eta)


def runs_of(
    constants: LawConstants,
    sizes: Sequence[float] = SIZES,
    budgets: Sequence[float] = BUDGETS,
    *,
    noise: float = 0.0,
    seed: int = 0,
) -> Points:
    """Runs of every size at every budget, with noise of the log losses."""
    parameters, tokens = grid(sizes, budgets)
    losses = np.array([by_hand(constants, n, d) for n, d in zip(parameters, tokens, strict=True)])
    drawn = np.random.default_rng(seed).standard_normal(len(losses))
    return Points(parameters, tokens, losses * np.exp(noise * drawn))


def loss_of(law: Law, parameters: float, tokens: float) -> float:
    """The loss that a law says of one run."""
    return float(law.losses(np.array([parameters]), np.array([tokens]))[0])


def run_to_come(parameters: int, tokens: int, batch_tokens: int = 2_048) -> Trajectory:
    """A run of which nothing is measured yet."""
    return Trajectory(parameters, tokens, batch_tokens, 0.05, 0.1, np.empty(0), np.empty(0))


def measured(run: Trajectory, losses: np.ndarray) -> Trajectory:
    """A run that was measured as often as there are losses, evenly spaced."""
    steps = np.round(run.steps * (np.arange(len(losses)) + 1) / len(losses)).astype(int)
    return Trajectory(
        run.parameters, run.tokens, run.batch_tokens, run.warmup_share, run.last_rate, steps, losses
    )
