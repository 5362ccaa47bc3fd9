"""``mashbill mixtures``: its commands, on CSVs in RegMix's column format."""

from collections.abc import Callable

import typer

from mashbill.cli.mixture_choices import advise, compare, select
from mashbill.cli.mixture_fits import evaluate, fit, predict
from mashbill.cli.mixture_plans import plan
from mashbill.cli.schedules import schedule

app = typer.Typer(
    help="Mixtures and losses as CSVs: an index column, then one column a domain or a metric.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

EXAMPLES: dict[Callable[..., None], str] = {
    plan: "plan --domains tokens.csv --count 64 --output mixtures.csv",
    fit: "fit --mixtures m.csv --losses l.csv --target pile_cc --output model",
    evaluate: "evaluate --model model --mixtures unseen.csv --losses unseen_losses.csv",
    predict: "predict --model model --mixtures m.csv --output predictions.csv",
    select: "select --model model --tokens 25e9 --available tokens.csv --output mixture.csv",
    compare: "compare --model model --mixture ours=a.csv --mixture theirs=b.csv",
    advise: "advise --model model --count 16 --output next.csv",
    schedule: "schedule --schedules s.csv --trajectories t.csv --target web --output schedule.csv",
}
for command, example in EXAMPLES.items():
    app.command(epilog=f"Example: mashbill mixtures {example}")(command)
