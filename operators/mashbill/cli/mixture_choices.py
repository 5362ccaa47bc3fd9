"""``mashbill mixtures select``, ``compare`` and ``advise``: what a fitted regression says."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from mashbill.cli.answers import check_output, losses_table, say, warn
from mashbill.cli.mixture_options import (
    JsonOption,
    LeastOption,
    ModelOption,
    MostOption,
    PriorOption,
    read_limits,
    read_repeats,
)
from mashbill.errors import ConfigError

SHOWN = 8  # proposals, a column each


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
        float, typer.Option(min=0, max=10, help="Standard deviations of doubt that count against a mixture.")
    ] = 0.5,
    closeness: Annotated[
        float, typer.Option(min=0, help="Loss that a nat of divergence from the prior counts for.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Seed of the search.")] = 0,
    json_: JsonOption = False,
) -> None:
    """Choose the mixture with the lowest predicted target loss, within the limits."""
    from mashbill.config import MixConfig
    from mashbill.mixtures import MixtureTable
    from mashbill.regression.limits import bounds
    from mashbill.regression.optimum import Beside, choose_mixture, read_mixture, read_ratios
    from mashbill.regression.simplex import SearchSpace
    from mashbill.regression.tables import load_model

    check_output(output)
    loaded = load_model(model)
    domains = loaded.fitted.domains
    least, most = read_limits(min_ or [], "--min"), read_limits(max_ or [], "--max")
    limits = bounds(domains, least, most, repeats=read_repeats(available, tokens, max_epochs))
    natural = read_mixture(loaded, MixtureTable.read(prior)) if prior else loaded.fitted.weights.mean(axis=0)
    if method not in {"direct", "simulation"}:
        raise ConfigError(f"--method {method}", "is none", "choose direct or simulation")
    config = MixConfig.model_validate({"method": method, "caution": caution, "closeness": closeness})
    space = SearchSpace(natural, limits, read_ratios(loaded, MixtureTable.read(ratios)) if ratios else None)
    choice = choose_mixture(loaded, space, Beside.of_runs(loaded, natural), config=config, seed=seed)
    choice.table().write(output)
    if choice.outside_sampled:
        warn("the choice lies farther from every run than runs lie from one another; train some near it")
    heads = ("domain", "weight", "without", "halved", "doubled", "as good from, to")
    table = Table(*heads, title="mixture and change of the loss", title_justify="left")
    for name, row in sorted(choice.sensitivity.items(), key=lambda item: -item[1].weight):
        changes = (f"{change:+.4f}" for change in (row.without, row.halved, row.doubled))
        low, high = row.as_good
        table.add_row(name, f"{row.weight:.4f}", *changes, f"{low:.3f}, {high:.3f}")
    for limit in choice.limits:
        print(limit, file=sys.stderr)  # noqa: T201
    say(json_, choice, table, losses_table(choice.predictions))


def compare(
    model: ModelOption,
    mixture: Annotated[list[str], typer.Option(metavar="NAME=FILE", help="A mixture; may be repeated.")],
    json_: JsonOption = False,
) -> None:
    """Put mixtures side by side by predicted target loss."""
    from mashbill.mixtures import MixtureTable
    from mashbill.regression.optimum import read_mixture
    from mashbill.regression.tables import COVERAGE, load_model

    loaded, named = load_model(model), {}
    for given in mixture:
        name, equals, path = given.partition("=")
        if not equals:
            raise ConfigError(f"--mixture {given}", "names no file", "write NAME=mixture.csv")
        if name in named:
            raise ConfigError(f"--mixture {name}", "stands twice", "name the mixtures apart")
        named[name] = read_mixture(loaded, MixtureTable.read(Path(path)))
    predicted = loaded.predictions(named, COVERAGE)
    ordered = dict(sorted(predicted.items(), key=lambda item: item[1].loss))
    say(json_, {name: entry.model_dump() for name, entry in ordered.items()}, losses_table(ordered))


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
    from mashbill.mixtures import MixtureTable
    from mashbill.regression import advice
    from mashbill.regression.limits import bounds
    from mashbill.regression.optimum import read_mixture
    from mashbill.regression.simplex import SearchSpace
    from mashbill.regression.tables import load_model

    if output:
        check_output(output)
    loaded = load_model(model)
    fitted = loaded.fitted
    limits = bounds(fitted.domains, read_limits(min_ or [], "--min"), read_limits(max_ or [], "--max"))
    natural = read_mixture(loaded, MixtureTable.read(prior)) if prior else fitted.weights.mean(axis=0)
    found = advice.advise(
        fitted.posterior,
        loaded.weights,
        SearchSpace(natural, limits),
        domains=fitted.domains,
        count=count,
        seed=seed,
        noise=loaded.noise,
    )
    if output:
        MixtureTable.numbered(fitted.domains, found.weights).write(output)
    chances = (f"{entry.chance:.0%}" for entry in found.next[:SHOWN])
    title = "next, by chance to be the best"
    table = Table("domain", "choice", *chances, title=title, title_justify="left")
    for name, weight in sorted(found.choice.items(), key=lambda item: -item[1]):
        table.add_row(name, f"{weight:.3f}", *(f"{entry.mixture[name]:.3f}" for entry in found.next[:SHOWN]))
    verdict = "worth it" if found.worth_it else "not worth it: the regression's own error is larger"
    figures = f"by {found.gain:.4f} (90%: {found.gain_90:.4f}; error {found.noise:.4f})"
    say(json_, found, table, f"More runs can lower the loss {figures}: {verdict}.")
