"""``mashbill mixtures schedule``: a mixture for each phase of a run, from proxies' loss curves."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from mashbill.cli.mixture_options import JsonOption, read_limits, read_tokens, read_weights, say


def schedule(
    schedules: Annotated[
        Path, typer.Option(help="CSV of schedules: index, phase, share, one column a domain; or of mixtures.")
    ],
    trajectories: Annotated[
        Path,
        typer.Option(help="CSV of losses on the way: index, tokens, one column a set; several rows a run."),
    ],
    target: Annotated[
        list[str],
        typer.Option(metavar="COLUMN[=WEIGHT]", help="Loss column and its weight; may be repeated."),
    ],
    output: Annotated[Path, typer.Option(help="CSV of the schedule that is written.")],
    phases: Annotated[
        int, typer.Option(min=1, max=16, help="Equal phases that runs on one mixture are cut into.")
    ] = 1,
    observed: Annotated[
        Path | None, typer.Option(help="CSV of a run's losses so far: phase, one column a set.")
    ] = None,
    running: Annotated[
        Path | None, typer.Option(help="With --observed: CSV of the schedule that the run follows.")
    ] = None,
    prior: Annotated[Path | None, typer.Option(help="CSV with one mixture: the natural proportions.")] = None,
    tokens: Annotated[float | None, typer.Option(help="Tokens of the final run.")] = None,
    available: Annotated[Path | None, typer.Option(help="CSV with columns domain,tokens.")] = None,
    max_epochs: Annotated[float, typer.Option(help="Times a domain may be repeated in the whole run.")] = 4.0,
    min_: Annotated[
        list[str] | None,
        typer.Option("--min", metavar="D=w", help="Least weight of a domain in every phase."),
    ] = None,
    max_: Annotated[
        list[str] | None, typer.Option("--max", metavar="D=w", help="Most weight of a domain in every phase.")
    ] = None,
    caution: Annotated[
        float, typer.Option(min=0, help="Standard errors of its gain that count against a schedule.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="Seed of folds and search.")] = 0,
    json_: JsonOption = False,
) -> None:
    """Choose a mixture for each phase, where the loss curves say that order is worth more than its noise."""
    from mashbill.search.schedule import schedule_tables, write_schedule

    facts = schedule_tables(
        schedules,
        trajectories,
        read_weights(target, "--target"),
        phases=phases,
        least=read_limits(min_ or [], "--min"),
        most=read_limits(max_ or [], "--max"),
        available=read_tokens(available) if available else None,
        tokens=tokens,
        max_epochs=max_epochs,
        prior=prior,
        running=running,
        observed=observed,
        caution=caution,
        seed=seed,
    )
    write_schedule(facts, output)
    say(json_, facts, _weights(facts), _validation(facts), f"{facts['reason']}: {output}")


def _weights(facts: dict[str, Any]) -> Table:
    """The schedule, a column a phase."""
    found = facts["schedule"]
    heads = (f"{phase['share']:.0%}" for phase in found)
    table = Table("domain", *heads, "mean", title="weights by phase", title_justify="left")
    for name, mean in sorted(facts["mean"].items(), key=lambda item: -float(item[1])):
        table.add_row(name, *(f"{phase['mixture'][name]:.3f}" for phase in found), f"{mean:.3f}")
    return table


def _validation(facts: dict[str, Any]) -> Table:
    """Predictions of unseen runs, with order and without."""
    table = Table(
        "regression",
        "Spearman",
        "mean error",
        title=f"target, {facts['validation']['runs']} runs, out of fold",
        title_justify="left",
    )
    for name in ("trajectories", "static"):
        row = facts["validation"][name]
        table.add_row(name, f"{row['spearman']:.3f}", f"{row['mae']:.4f}")
    return table
