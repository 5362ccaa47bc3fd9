"""``mashbill forecast``: what the final model will come to, before it is trained."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.table import Table

from mashbill.artifacts import open_store
from mashbill.cli.answers import say, warn
from mashbill.cli.run import run_up_to
from mashbill.config import PipelineConfig, load_config, parse_overrides
from mashbill.errors import DataError, RunError
from mashbill.mixtures import Forecast
from mashbill.mixtures.forecast import FinalLoss
from mashbill.storage import LOCAL, scheme_of

SHOWN_STEPS = 8
TASK_COLUMNS = ("loss", "error")


def print_forecast(path: Path, assignments: list[str], tasks: Path | None, *, as_json: bool) -> None:
    """Run what a forecast needs, and print it; a forecast that was refused is an error of one line.

    Raises:
        DataError: there is no telling, or the table of tasks is wrong.
    """
    config = load_config(path, parse_overrides(assignments))
    pairs = read_pairs(tasks) if tasks else None
    found = Forecast.read(run_up_to("forecast", config)["forecast"])
    if found.final is None:
        where, _, rest = found.refused.partition(": ")
        what, _, mend = rest.partition("; ")
        raise DataError(where, what, mend)
    error = _error_on_tasks(found.final, pairs, config.seed) if pairs else None
    answer = found.as_json() if error is None else {**found.as_json(), "tasks": error}
    words = f"error on the tasks: {_of_tasks(error)}"
    say(as_json, answer, *forecast_words(found), words)


def forecast_words(found: Forecast) -> Iterator[Any]:
    """A forecast as tables and sentences."""
    final = found.final
    if final is None:
        yield f"no forecast: {found.refused}"
        return
    low, high = final.interval
    title = f"forecast of the final model on the mixture {found.mixture}"
    table = Table("figure", "value", title=title, title_justify="left")
    table.add_row("final loss, bits per byte of the target", f"{final.loss:.4f}")
    table.add_row(f"{final.coverage:.0%} interval", f"{low:.4f} to {high:.4f}")
    table.add_row(
        "parameters", f"{found.parameters:,}, {final.parameters_factor:.1f} times the largest run's"
    )
    table.add_row("tokens", f"{found.tokens:,}, {final.tokens_factor:.1f} times the longest run's")
    law = final.constants
    table.add_row(
        "law", f"{law.E:.4g} + {law.alpha:.4g} N^{law.b:.3f} + {law.beta:.4g} 6^{law.b / 2:.3f} D^{law.b:.3f}"
    )
    fitted = [run for run in found.runs if run.fitted]
    table.add_row("fitted to", f"{len(fitted)} runs, off by {100 * final.noise:.2f}%")
    yield table
    if final.band and final.curve:
        steps = Table(
            "step", "expected", "from", "to", title=f"by step ({final.curve.name})", title_justify="left"
        )
        band = final.band
        places = range(0, len(band.steps), max(1, len(band.steps) // SHOWN_STEPS))
        for i in [*places, len(band.steps) - 1]:
            values = (band.expected[i], band.low[i], band.high[i])
            steps.add_row(f"{band.steps[i]:,}", *(f"{value:.4f}" for value in values))
        yield steps
    yield from (f"caution: {words}" for words in found.cautions)
    yield from (f"unknown: {words}" for words in found.unknown)


def finished_forecast(config: PipelineConfig, parameters: int) -> Forecast | None:
    """The newest forecast of a model of this size and budget, where there are artifacts that can be looked
    at."""
    artifacts = config.resolve(config.artifacts)
    if scheme_of(artifacts) == LOCAL and not Path(artifacts).is_dir():
        return None
    try:
        made = open_store(config).newest("forecast")
    except RunError:
        return None
    if made is None:
        return None
    found, training = Forecast.read(made), config.training
    wanted = parameters, training.batch_sequences * training.model.context, training.learning_rate
    same = (found.parameters, found.batch_tokens, found.learning_rate) == wanted
    near = abs(found.tokens - training.tokens) <= found.batch_tokens
    if same and near:
        return found
    warn(f"{made.address} is a forecast of another model; run mashbill forecast for this one's")
    return None


def read_pairs(path: Path) -> list[tuple[float, float]]:
    """Losses and errors of models, from a CSV with the columns ``loss`` and ``error``.

    Raises:
        DataError: the file cannot be read, lacks a column, or a cell is no number.
    """
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(
            str(path), f"cannot be read ({error})", "give a CSV with columns loss,error"
        ) from error
    found = []
    for number, row in enumerate(rows, 2):
        try:
            found.append((float(row[TASK_COLUMNS[0]]), float(row[TASK_COLUMNS[1]])))
        except KeyError as error:
            raise DataError(str(path), f"has no column {error.args[0]}", "give columns loss,error") from error
        except (TypeError, ValueError) as error:
            raise DataError(f"{path}: line {number}", "holds no two numbers", "correct it") from error
    if not found:
        raise DataError(str(path), "has no row", "give a loss and an error a row")
    return found


def _error_on_tasks(final: FinalLoss, pairs: list[tuple[float, float]], seed: int) -> Any:
    """The error expected on tasks, and its interval; why it is unknown, where it is."""
    import numpy as np

    from mashbill.forecast.tasks import forecast_error, spread

    losses, errors = np.array(pairs).T
    try:
        drawn = spread(final, seed=seed)
        error, interval = forecast_error(losses, errors, log_losses=drawn, coverage=final.coverage, seed=seed)
    except DataError as refused:
        return {"unknown": str(refused)}
    return {"error": error, "interval": interval}


def _of_tasks(error: Any) -> str:
    if error is None:
        return "unknown, as no pairs of loss and error were given (--tasks)"
    if "unknown" in error:
        return f"unknown ({error['unknown']})"
    return f"{error['error']:.3f}, from {error['interval'][0]:.3f} to {error['interval'][1]:.3f}"
