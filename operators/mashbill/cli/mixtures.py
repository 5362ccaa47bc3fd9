"""``mashbill mixtures``: plan, fit, evaluate, predict, select, compare, advise and schedule, on CSVs in
RegMix's column format."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from mashbill.cli.mixture_options import JsonOption, read_limits, read_weights, repeat_ceiling, say, warn
from mashbill.cli.mixture_plans import plan
from mashbill.cli.schedules import schedule
from mashbill.errors import ConfigError

app = typer.Typer(
    help="Mixtures and losses as CSVs: an index column, then one column a domain or a metric.",
    no_args_is_help=True,
)
ModelOption = Annotated[Path, typer.Option("--model", help="Folder that `mashbill mixtures fit` wrote.")]
MixturesOption = Annotated[Path, typer.Option("--mixtures", help="CSV of mixtures.")]
LossesOption = Annotated[Path, typer.Option("--losses", help="CSV of losses, joined on index.")]
SkipOption = Annotated[bool, typer.Option("--skip-failed", help="Leave out runs with a missing loss.")]
LeastOption = Annotated[
    list[str] | None, typer.Option("--min", metavar="D=w", help="Least weight of a domain.")
]
MostOption = Annotated[
    list[str] | None, typer.Option("--max", metavar="D=w", help="Most weight of a domain.")
]
PriorOption = Annotated[Path | None, typer.Option(help="CSV with one mixture: the natural proportions.")]


app.command(epilog="Example: mashbill mixtures plan --domains tokens.csv --count 64 --output mixtures.csv")(
    plan
)


@app.command(
    epilog="Example: mashbill mixtures fit --mixtures m.csv --losses l.csv --target pile_cc --output model"
)
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
    regressor: Annotated[
        str, typer.Option(help="auto, linear, lightgbm, exponential, power, gp or ensemble.")
    ] = "auto",
    seed: Annotated[int, typer.Option(help="Seed of the folds.")] = 0,
    skip_failed: SkipOption = False,
    json_: JsonOption = False,
) -> None:
    """Fit a regression from mixtures to losses; auto takes the best by cross-validation."""
    from mashbill.regression.laws.ensemble import REGRESSORS
    from mashbill.regression.tables import fit_tables, save_model

    if regressor not in {"auto", *REGRESSORS}:
        raise ConfigError(
            f"--regressor {regressor}", "is none", f"choose among auto, {', '.join(REGRESSORS)}"
        )
    wanted, better = read_weights(target, "--target"), maximize or ()
    model, report = fit_tables(
        mixtures, losses, wanted, maximized=better, regressor=regressor, seed=seed, skip_failed=skip_failed
    )
    save_model(model, report, output)
    warn(*report["warnings"], *_skipped(report))
    table = Table(
        "column",
        "Spearman",
        "mean error",
        title=f"{report['regressor']}, {report['runs']} runs, out of fold",
        title_justify="left",
    )
    for name, row in report["cross_validation"].items():
        table.add_row(name, f"{row['spearman']:.3f}", f"{row['mae']:.4f}")
    say(json_, report, table)


@app.command(
    epilog="Example: mashbill mixtures evaluate --model model --mixtures unseen.csv --losses "
    "unseen_losses.csv"
)
def evaluate(
    model: ModelOption,
    mixtures: MixturesOption,
    losses: LossesOption,
    skip_failed: SkipOption = False,
    json_: JsonOption = False,
) -> None:
    """Judge a model on runs it has not seen."""
    from mashbill.regression.tables import evaluate_tables, load_model

    report = evaluate_tables(load_model(model), mixtures, losses, skip_failed=skip_failed)
    warn(*_skipped(report))
    table = Table(
        "column",
        "Spearman",
        "mean error",
        "regret",
        "rank of the choice",
        "inside 90%",
        title=f"{report['runs']} runs",
    )
    for name, row in report["targets"].items():
        cells = (
            f"{row['spearman']:.3f}",
            f"{row['mae']:.4f}",
            f"{row['regret']:.4f}",
            str(row["chosen_rank"]),
            f"{row['coverage_90']:.2f}",
        )
        table.add_row(name, *cells)
    say(json_, report, table)


@app.command(
    epilog="Example: mashbill mixtures predict --model model --mixtures m.csv --output predictions.csv"
)
def predict(
    model: ModelOption,
    mixtures: MixturesOption,
    output: Annotated[Path, typer.Option(help="CSV that is written.")],
    json_: JsonOption = False,
) -> None:
    """Predict the losses of mixtures."""
    from mashbill.mixtures import LossTable, MixtureTable
    from mashbill.regression.tables import load_model

    loaded, table = load_model(model), MixtureTable.read(mixtures)
    LossTable(table.index, loaded.fitted.sets, loaded.predict(table)).write(output)
    say(
        json_,
        {"mixtures": len(table.index), "output": str(output)},
        f"{len(table.index)} predictions: {output}",
    )


@app.command(
    epilog="Example: mashbill mixtures select --model model --tokens 25e9 --available tokens.csv --output "
    "mixture.csv"
)
def select(
    model: ModelOption,
    output: Annotated[Path, typer.Option(help="CSV of the mixture that is written.")],
    prior: PriorOption = None,
    tokens: Annotated[float | None, typer.Option(help="Tokens of the final run.")] = None,
    available: Annotated[Path | None, typer.Option(help="CSV with columns domain,tokens.")] = None,
    max_epochs: Annotated[float, typer.Option(help="Times a domain may be repeated.")] = 4.0,
    min_: LeastOption = None,
    max_: MostOption = None,
    ratios: Annotated[
        Path | None, typer.Option(help="CSV with one mixture: domains with weight in it keep their ratios.")
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            help="direct (search on from the simulation) or simulation (mean of the best, as RegMix)."
        ),
    ] = "direct",
    caution: Annotated[
        float, typer.Option(min=0, help="Standard deviations of doubt that count against a mixture.")
    ] = 0.5,
    closeness: Annotated[
        float, typer.Option(min=0, help="Loss that a nat of divergence from the prior counts for.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Seed of the search.")] = 0,
    json_: JsonOption = False,
) -> None:
    """Choose the mixture with the lowest predicted target loss, within the limits."""
    import numpy as np

    from mashbill.config import MixConfig
    from mashbill.mixtures import MixtureTable
    from mashbill.regression.limits import bounds
    from mashbill.regression.optimum import read_mixture, read_ratios, select_mixture
    from mashbill.regression.tables import load_model

    loaded = load_model(model)
    least, most = read_limits(min_ or [], "--min"), read_limits(max_ or [], "--max")
    repeats = repeat_ceiling(loaded.fitted.domains, available, tokens, max_epochs)
    floor, ceiling = bounds(loaded.fitted.domains, least, most, repeats=repeats)
    natural = read_mixture(loaded, MixtureTable.read(prior)) if prior else None
    if method not in {"direct", "simulation"}:
        raise ConfigError(f"--method {method}", "is none", "choose direct or simulation")
    config = MixConfig.model_validate({"method": method, "caution": caution, "closeness": closeness})
    kept = read_ratios(loaded, MixtureTable.read(ratios)) if ratios else None
    choice = select_mixture(loaded, floor, ceiling, natural, seed, config, kept)
    MixtureTable(np.arange(1), tuple(choice["mixture"]), np.array([list(choice["mixture"].values())])).write(
        output
    )
    if choice["outside_sampled"]:
        warn("the choice lies farther from every run than runs lie from one another; train some near it")
    table = Table(
        "domain",
        "weight",
        "without",
        "halved",
        "doubled",
        "as good from, to",
        title="mixture and change of the loss",
        title_justify="left",
    )
    for name, row in sorted(choice["sensitivity"].items(), key=lambda item: -float(item[1]["weight"])):
        low, high = row["as_good"]
        table.add_row(
            name,
            f"{row['weight']:.4f}",
            *(f"{row[k]:+.4f}" for k in ("without", "halved", "doubled")),
            f"{low:.3f}, {high:.3f}",
        )
    for limit in choice["limits"]:
        print(limit, file=sys.stderr)  # noqa: T201
    say(json_, choice, table, _losses({"chosen": choice["predicted"], **choice["baselines"]}))


@app.command(
    epilog="Example: mashbill mixtures compare --model model --mixture ours=a.csv --mixture theirs=b.csv"
)
def compare(
    model: ModelOption,
    mixture: Annotated[list[str], typer.Option(metavar="NAME=FILE", help="A mixture; may be repeated.")],
    json_: JsonOption = False,
) -> None:
    """Put mixtures side by side by predicted target loss."""
    from mashbill.mixtures import MixtureTable
    from mashbill.regression.optimum import compare_mixtures, read_mixture
    from mashbill.regression.tables import load_model

    loaded, named = load_model(model), {}
    for given in mixture:
        name, equals, path = given.partition("=")
        if not equals:
            raise ConfigError(f"--mixture {given}", "names no file", "write NAME=mixture.csv")
        if name in named:
            raise ConfigError(f"--mixture {name}", "stands twice", "name the mixtures apart")
        named[name] = read_mixture(loaded, MixtureTable.read(Path(path)))
    entries = dict(sorted(compare_mixtures(loaded, named).items(), key=lambda item: item[1]["loss"]))
    say(json_, entries, _losses(entries))


@app.command(epilog="Example: mashbill mixtures advise --model model --count 16 --output next.csv")
def advise(
    model: ModelOption,
    output: Annotated[
        Path | None, typer.Option(help="CSV of the mixtures to train next that is written.")
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=512, help="Mixtures to propose.")] = 8,
    prior: PriorOption = None,
    min_: LeastOption = None,
    max_: MostOption = None,
    seed: Annotated[int, typer.Option(help="Seed of the search.")] = 0,
    json_: JsonOption = False,
) -> None:
    """Which mixtures to train next, and whether more proxies can still change the choice."""
    import numpy as np

    from mashbill.mixtures import MixtureTable
    from mashbill.regression.limits import bounds
    from mashbill.regression.optimum import advise_on, read_mixture
    from mashbill.regression.tables import load_model

    loaded = load_model(model)
    floor, ceiling = bounds(
        loaded.fitted.domains, read_limits(min_ or [], "--min"), read_limits(max_ or [], "--max")
    )
    natural = read_mixture(loaded, MixtureTable.read(prior)) if prior else None
    advice = advise_on(loaded, floor, ceiling, count=count, seed=seed, prior=natural)
    if output:
        rows = np.array([list(entry["mixture"].values()) for entry in advice["next"]])
        MixtureTable(np.arange(len(rows)), loaded.fitted.domains, rows).write(output)
    table = Table(
        "domain",
        "choice",
        *(f"{entry['chance']:.0%}" for entry in advice["next"][:8]),
        title="next, by chance to be the best",
        title_justify="left",
    )
    for name, weight in sorted(advice["choice"].items(), key=lambda item: -float(item[1])):
        table.add_row(
            name, f"{weight:.3f}", *(f"{entry['mixture'][name]:.3f}" for entry in advice["next"][:8])
        )
    verdict = "worth it" if advice["worth_it"] else "not worth it: the regression's own error is larger"
    said = (
        f"More runs can lower the loss by {advice['gain']:.4f} (90%: {advice['gain_90']:.4f}; error "
        f"{advice['noise']:.4f}): {verdict}."
    )
    say(json_, advice, table, said)


app.command(
    epilog="Example: mashbill mixtures schedule --schedules s.csv --trajectories t.csv --target web "
    "--output schedule.csv"
)(schedule)


def _losses(entries: dict[str, Any]) -> Table:
    table = Table("mixture", "predicted loss", "90% interval", title="target", title_justify="left")
    for name, entry in entries.items():
        low, high = entry["interval_90"]
        table.add_row(name, f"{entry['loss']:.4f}", f"{low:.4f} to {high:.4f}")
    return table


def _skipped(report: dict[str, Any]) -> list[str]:
    count = report["skipped_runs"]
    return [f"{count} runs are left out, as losses of theirs are missing"] if count else []
