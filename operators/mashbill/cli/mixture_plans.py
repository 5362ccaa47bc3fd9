"""``mashbill mixtures plan``: the mixtures of a sweep, or of what changed since an earlier one."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mashbill.cli.answers import check_output, say
from mashbill.cli.mixture_options import JsonOption, read_repeats
from mashbill.errors import ConfigError, DataError

if TYPE_CHECKING:
    from mashbill.config import PlanConfig


def plan(
    domains: Annotated[Path, typer.Option(help="CSV with columns domain,tokens.")],
    output: Annotated[Path, typer.Option(help="CSV of mixtures that is written.")],
    count: Annotated[int, typer.Option(min=2, help="Mixtures.")] = 64,
    seed: Annotated[int, typer.Option(help="Seed.")] = 0,
    design: Annotated[
        str, typer.Option(help="maximin, regmix, around-natural or space-filling; see plan.design.")
    ] = "maximin",
    tokens: Annotated[
        float | None, typer.Option(help="Tokens of a run; with it repeats are limited.")
    ] = None,
    max_epochs: Annotated[float, typer.Option(help="Times a domain may be repeated.")] = 4.0,
    reuse: Annotated[
        Path | None, typer.Option(help="Model of an earlier sweep: plan only what changed since.")
    ] = None,
    revised: Annotated[
        list[str] | None,
        typer.Option(metavar="DOMAIN", help="With --reuse: its text changed; may be repeated."),
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Draw the mixtures of a sweep; with --reuse, only of the domains that changed."""
    import numpy as np

    from mashbill.config import PlanConfig
    from mashbill.config.search import DESIGNS
    from mashbill.mixtures import MixtureTable, draw_mixtures
    from mashbill.mixtures.amounts import read_amounts

    check_output(output)
    have = read_amounts(domains)
    if len(have) < 2:
        raise DataError(str(domains), "has one domain, and mixtures take two", "add a row for each domain")
    if revised and reuse is None:
        raise ConfigError(
            f"--revised {revised[0]}",
            "says what changed since an earlier sweep, and none is given",
            "give its model: --reuse",
        )
    amounts = np.array(list(have.values()))
    repeats = read_repeats(domains, tokens, max_epochs) if tokens is not None else None
    ceiling = repeats.ceiling(tuple(have)) if repeats else None
    if design not in DESIGNS:
        raise ConfigError(f"--design {design}", "is not a design", f"choose among {', '.join(DESIGNS)}")
    config = PlanConfig.model_validate({"design": design}).model_copy(update={"mixtures": count})
    if reuse is not None:
        _plan_again(
            reuse, have, output, config=config, revised=revised or (), seed=seed, ceiling=ceiling, json_=json_
        )
        return
    weights = draw_mixtures(amounts / amounts.sum(), count, config, seed=seed, ceiling=ceiling)
    MixtureTable(np.arange(count), tuple(have), weights).write(output)
    say(
        json_,
        {"mixtures": count, "domains": len(have), "output": str(output)},
        f"{count} mixtures of {len(have)} domains: {output}",
    )


def _plan_again(
    folder: Path,
    have: dict[str, float],
    output: Path,
    *,
    config: "PlanConfig",
    revised: Sequence[str],
    seed: int,
    ceiling: Any,
    json_: bool,
) -> None:
    """Plan with an earlier model: write the new mixtures, the kept ratios, and the runs that still count."""
    from mashbill.config import MixConfig
    from mashbill.mixtures import LossTable
    from mashbill.mixtures.reuse import write_bundle
    from mashbill.regression.limits import no_limits
    from mashbill.regression.optimum import search
    from mashbill.regression.simplex import SearchSpace
    from mashbill.regression.tables import load_model
    from mashbill.search.reuse import plan_again

    model = load_model(folder, "--reuse")
    fitted = model.fitted
    space = SearchSpace(fitted.weights.mean(axis=0), no_limits(len(fitted.domains)))
    weights = search(model, space, MixConfig(), seed=seed)
    chosen = dict(zip(fitted.domains, weights.tolist(), strict=True))
    again = plan_again(fitted, chosen, have, revised=revised, seed=seed, ceiling=ceiling, config=config)
    measured = again.kept.losses
    beside = {
        part: output.with_name(f"{output.stem}_{part}.csv") for part in ("ratios", "kept", "kept_losses")
    }
    again.mixtures.write(output)
    write_bundle(again.bundle, beside["ratios"])
    again.kept.mixtures.write(beside["kept"])
    signed = LossTable(measured.index, measured.columns, measured.losses * model.signs)
    signed.write(beside["kept_losses"])
    searched, runs, count = list(again.searched), len(again.kept), len(again.mixtures.index)
    files = {"output": str(output), **{name: str(path) for name, path in beside.items()}}
    kept = f"{len(searched)} domains and one of {len(again.ratios)} that keep their ratios"
    more = f"{runs} earlier runs still count: {beside['kept']}, {beside['kept_losses']}."
    answer = {
        "mixtures": count,
        "kept_ratios": again.ratios,
        "searched": searched,
        "kept_runs": runs,
        **files,
    }
    say(
        json_,
        answer,
        f"{count} mixtures of {kept}: {output}",
        f"{more} Select with --ratios {beside['ratios']}.",
    )
