"""``mashbill mixtures fit``, ``evaluate`` and ``predict``: a regression from tables of mixtures and
losses."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from mashbill.cli.answers import check_output, say, warn
from mashbill.cli.mixture_options import (
    JsonOption,
    LossesOption,
    MixturesOption,
    ModelOption,
    SkipOption,
    read_weights,
)
from mashbill.config.search import REGRESSORS
from mashbill.errors import ConfigError


def fit(
    mixtures: Annotated[list[Path], typer.Option("--mixtures", help="CSV of mixtures; may be repeated.")],
    losses: Annotated[
        list[Path], typer.Option("--losses", help="CSV of losses, joined on index; may be repeated.")
    ],
    output: Annotated[Path, typer.Option(help="Folder of the model that is written.")],
    target: Annotated[
        list[str],
        typer.Option(
            metavar="GLOB[=WEIGHT]", help="Loss columns, and the weight they share; repeatable; or all."
        ),
    ],
    maximize: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="Column where higher is better.")
    ] = None,
    regressor: Annotated[str, typer.Option(help=f"auto, {', '.join(REGRESSORS)}.")] = "auto",
    seed: Annotated[int, typer.Option(help="Seed of the folds.")] = 0,
    skip_failed: SkipOption = False,
    keep_outliers: Annotated[
        bool, typer.Option("--keep-outliers", help="Learn from losses that their mixture does not explain.")
    ] = False,
    json_: JsonOption = False,
) -> None:
    """Fit a regression from mixtures to losses; auto takes the best by cross-validation."""
    from mashbill.regression.tables import fit_tables, save_model

    check_output(output, folder=True)
    if regressor not in {"auto", *REGRESSORS}:
        raise ConfigError(
            f"--regressor {regressor}", "is none", f"choose among auto, {', '.join(REGRESSORS)}"
        )
    wanted, better = read_weights(target, "--target"), maximize or ()
    model, card = fit_tables(
        mixtures,
        losses,
        wanted,
        maximized=better,
        regressor=regressor,
        seed=seed,
        skip_failed=skip_failed,
        keep_outliers=keep_outliers,
    )
    save_model(model, card, output)
    warn(*card.warnings, *_skipped(card.skipped_runs))
    title = f"{card.regressor}, {card.runs} runs, out of fold"
    table = Table("column", "Spearman", "mean error", title=title, title_justify="left")
    for name, row in card.cross_validation.items():
        table.add_row(name, f"{row.spearman:.3f}", f"{row.mae:.4f}")
    say(json_, card, table)


def evaluate(
    model: ModelOption,
    mixtures: MixturesOption,
    losses: LossesOption,
    skip_failed: SkipOption = False,
    json_: JsonOption = False,
) -> None:
    """Judge a model on runs it has not seen."""
    from mashbill.regression.tables import evaluate_tables, load_model

    found = evaluate_tables(load_model(model), mixtures, losses, skip_failed=skip_failed)
    warn(*_skipped(found.skipped_runs))
    heads = ("column", "Spearman", "mean error", "regret", "rank of the choice", "inside 90%")
    table = Table(*heads, title=f"{found.runs} runs")
    for name, row in found.targets.items():
        figures = (f"{row.spearman:.3f}", f"{row.mae:.4f}", f"{row.regret:.4f}")
        table.add_row(name, *figures, str(row.chosen_rank), f"{row.coverage_90:.2f}")
    say(json_, found, table)


def predict(
    model: ModelOption,
    mixtures: MixturesOption,
    output: Annotated[Path, typer.Option(help="CSV that is written.")],
    json_: JsonOption = False,
) -> None:
    """Predict the losses of mixtures."""
    from mashbill.mixtures import LossTable, MixtureTable
    from mashbill.regression import tables

    check_output(output)

    loaded, table = tables.load_model(model), MixtureTable.read(mixtures)
    LossTable(table.index, loaded.fitted.sets, tables.predict(loaded, table)).write(output)
    count = len(table.index)
    say(json_, {"mixtures": count, "output": str(output)}, f"{count} predictions: {output}")


def _skipped(count: int) -> list[str]:
    return [f"{count} runs are left out, as losses of theirs are missing"] if count else []
