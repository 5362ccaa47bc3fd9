"""``mashbill mixtures schedule``: a mixture for each phase of a run, from proxies' loss curves."""

from pathlib import Path
from typing import Annotated

import typer

from mashbill.cli.answers import check_output, say, schedule_tables, warn
from mashbill.cli.mixture_options import JsonOption, read_limits, read_repeats, read_weights


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
        float, typer.Option(min=0, max=10, help="Standard errors of its gain that count against a schedule.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="Seed of folds and search.")] = 0,
    json_: JsonOption = False,
) -> None:
    """Choose a mixture for each phase, where the loss curves say that order is worth more than its noise."""
    from mashbill.mixtures import MixtureTable
    from mashbill.regression.limits import bounds
    from mashbill.regression.runs import ordered, weigh_columns
    from mashbill.regression.trajectories.limits import ScheduleLimits
    from mashbill.regression.trajectories.optimum import Terms, choose_schedule
    from mashbill.regression.trajectories.runs import read_phased_runs
    from mashbill.regression.trajectories.under_way import read_under_way

    check_output(output)
    least, most = read_limits(min_ or [], "--min"), read_limits(max_ or [], "--max")
    repeats = read_repeats(available, tokens, max_epochs)
    runs = read_phased_runs(schedules, trajectories, phases)
    natural = ordered(MixtureTable.read(prior), runs.domains)[0] if prior else None
    wanted = weigh_columns(read_weights(target, "--target"), runs.sets, str(trajectories))
    terms = Terms(wanted, natural=natural, caution=caution, seed=seed)
    under_way = read_under_way(running, observed, runs)
    limits = bounds(runs.domains, least, most, repeats=repeats)
    shares = runs.shares
    if under_way is not None:
        limits, shares = limits.left(under_way.spent, under_way.left, runs.domains), under_way.shares
    choice = choose_schedule(runs, ScheduleLimits(shares, limits), terms, under_way=under_way)
    choice.followed.table().write(output)
    warn(*(one.warning(str(trajectories), "check that run") for one in choice.outliers))
    say(json_, choice, *schedule_tables(choice), f"{choice.reason}: {output}")
