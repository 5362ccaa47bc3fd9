"""The forecast of a final model from runs of smaller ones: its last loss with an interval, its curve with a
band, and what neither can know."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mashbill.errors import DataError
from mashbill.forecast.curves import fit_curve
from mashbill.forecast.interval import draw_laws, hold_out, interval_of
from mashbill.forecast.law import PRIOR, Points
from mashbill.forecast.trajectory import Trajectory
from mashbill.mixtures.forecast import FinalLoss, SmallRun

FAR, TOO_FAR = 1.5, 2.5
"""Decades of parameters or tokens beyond the largest run: worth saying, and more than runs can say anything
of."""
UNKNOWN = (
    "a start from other weights, as of an imported model or a training that is continued: every run began "
    "from random ones",
    "another schedule of the learning rate than the runs' (linear warm-up, then a cosine to the end)",
    "losses on other text than the target's, the training loss among them",
)


@dataclass(frozen=True)
class LadderRun:
    """A run of the ladder.

    Attributes:
        run: what it was; curve: what was measured of it, None where it diverged or on the way is not known.
    """

    run: SmallRun
    curve: Trajectory | None


def predict(runs: Sequence[LadderRun], final: Trajectory, *, coverage: float, seed: int) -> FinalLoss:
    """Forecast a final model.

    Args:
        runs: the small ones; those that diverged, or are not to be fitted to, are passed over.
        final: what it will be; nothing measured yet.
        coverage: of the interval, and of the band.
        seed: of the draws.
    Raises:
        DataError: the runs do not say enough, or the final model is too far beyond them.
    """
    kept = [one.run for one in runs if one.run.fitted and one.run.loss is not None]
    points = Points(
        np.array([run.parameters for run in kept], np.float64),
        np.array([run.tokens for run in kept], np.float64),
        np.array([run.loss for run in kept], np.float64),
    )
    if not kept:
        raise DataError("forecast", "no run finished", "see why they diverged: lower training.learning_rate")
    points.check()
    factors = final.parameters / points.parameters.max(), final.tokens / points.tokens.max()
    _refuse_too_far(factors)
    drawn, held = draw_laws(points, seed=seed), hold_out(points, seed=seed)
    loss = float(drawn.law.losses(np.array([final.parameters]), np.array([final.tokens]))[0])
    log_losses = drawn.log_losses(final.parameters, final.tokens, seed=seed)
    widened = held.widened if held else 1.0
    interval = interval_of(log_losses, float(np.log(loss)), coverage=coverage, widened=widened)
    curve = fit_curve([one.curve for one in runs if one.curve is not None])
    return FinalLoss(
        loss=loss,
        interval=interval,
        coverage=coverage,
        constants=drawn.law.constants(),
        prior=PRIOR if points.leans else "",
        noise=drawn.noise,
        held_out=held,
        parameters_factor=float(factors[0]),
        tokens_factor=float(factors[1]),
        curve=curve.form if curve else None,
        band=curve.band(final, loss, interval) if curve else None,
    )


def cautions(final: FinalLoss, runs: Sequence[LadderRun]) -> list[str]:
    """What weakens a forecast, a sentence each."""
    found = []
    for factor, what in ((final.parameters_factor, "parameters"), (final.tokens_factor, "tokens")):
        if np.log10(factor) >= FAR:
            found.append(
                f"the final model has {factor:,.0f} times the {what} of the largest run, "
                f"{np.log10(factor):.1f} decades: the interval grows with the distance"
            )
    if final.prior:
        found.append(final.prior)
    if final.held_out is None:
        found.append("too few sizes to forecast the largest from the others: nothing was held against fact")
    elif final.held_out.widened > 1:
        found.append(
            f"forecast from the smaller runs, the largest were {100 * final.held_out.error:.1f}% off: the "
            f"interval is {final.held_out.widened:.1f} times as wide for it"
        )
    failed = sum(one.run.loss is None for one in runs)
    if failed:
        found.append(f"{failed} of {len(runs)} runs diverged and count for nothing")
    return found


def _refuse_too_far(factors: tuple[float, float]) -> None:
    for factor, what, mend in (
        (factors[0], "parameters", "raise forecast.largest"),
        (factors[1], "tokens", "raise forecast.budgets"),
    ):
        if np.log10(factor) > TOO_FAR:
            words = (
                f"the final model has {factor:,.0f} times the {what} of the largest run, "
                f"{np.log10(factor):.1f} decades, and past {TOO_FAR} the runs say nothing"
            )
            raise DataError("forecast", words, mend)
