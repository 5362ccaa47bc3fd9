"""``mashbill proxies``: proxies on one's own mixtures, without the pipeline around them."""

from pathlib import Path
from typing import Annotated

import typer

from mashbill.cli.answers import check_output, say
from mashbill.cli.mixture_options import JsonOption
from mashbill.cli.progress import Shown
from mashbill.cores import cores_here

app = typer.Typer(
    help="Small models, one a mixture, whose losses a regression learns from.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.callback()
def _group() -> None:
    """Keep ``train`` a command of its own while there is no second."""


@app.command(
    epilog="Example: mashbill proxies train --mixtures mixtures.csv --tokens "
    "artifacts/tokenize/0123456789abcdef --output runs"
)
def train(
    mixtures: Annotated[
        Path, typer.Option(help="CSV of mixtures, as `mashbill mixtures plan` writes it, or of schedules.")
    ],
    tokens: Annotated[Path, typer.Option(help="Folder of token shards, as the tokenize stage writes it.")],
    output: Annotated[Path, typer.Option(help="Folder for losses.csv, trajectories.csv and the models.")],
    config: Annotated[
        Path | None, typer.Option(help="TOML config file whose [proxy], [sweep] and seed are used.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="section.key=value", help="Override proxy.* or sweep.*; may be repeated."
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of weights and orders; without it the config's, or 0.")
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="Worker processes; 0 means one a core.")] = 0,
    json_: JsonOption = False,
) -> None:
    """Train a proxy on each row of a table of mixtures; what a killed call finished is kept."""
    from mashbill.config import load_proxy_run, parse_overrides
    from mashbill.mixtures.sweep_runs import LOSSES
    from mashbill.proxies.own_mixtures import train_mixtures

    run = load_proxy_run(config, parse_overrides(set_ or []))
    check_output(output, folder=True)
    with Shown() as shown:
        counts = train_mixtures(
            mixtures,
            tokens,
            output,
            proxy=run.proxy,
            sweep=run.sweep,
            seed=run.seed if seed is None else seed,
            processes=workers or cores_here(),
            progress=shown.work("training"),
        )
    say(
        json_,
        {**counts, "output": str(output)},
        f"{counts['proxies']} proxies, {counts['failed']} failed: {output / LOSSES}",
    )
