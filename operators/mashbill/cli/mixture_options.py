"""What the commands of ``mashbill mixtures`` are given: options, tables of tokens, and weights by name."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mashbill.errors import ConfigError

if TYPE_CHECKING:
    from mashbill.regression.limits import Repeats

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
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


def read_weights(given: list[str], option: str) -> dict[str, float]:
    """NAME=NUMBER options; a name alone weighs 1. Targets are made to sum to 1.

    Raises:
        ConfigError: a number is none or negative, a name stands twice, or no target has weight.
    """
    weights: dict[str, float] = {}
    for text in given:
        name, equals, number = text.rpartition("=") if "=" in text else (text, "", "1")
        try:
            weight = float(number) if equals else 1.0
        except ValueError as error:
            raise ConfigError(f"{option} {text}", f"has {number!r} for a number", "write NAME=0.5") from error
        if not 0 <= weight < float("inf"):
            raise ConfigError(f"{option} {text}", "is no weight", "give a number of at least 0")
        if name in weights:
            raise ConfigError(f"{option} {name}", "stands twice", "give it once")
        weights[name] = weight
    if option == "--target":
        total = sum(weights.values())
        if total <= 0:
            raise ConfigError("--target", "has no positive weight", "give weights above 0")
        weights = {name: weight / total for name, weight in weights.items()}
    return weights


def read_limits(given: list[str], option: str) -> dict[str, float]:
    """DOMAIN=WEIGHT options, each weight in 0..1.

    Raises:
        ConfigError: one has no weight, or one that is none.
    """
    for text in given:
        if "=" not in text:
            raise ConfigError(f"{option} {text}", "has no weight", "write DOMAIN=0.5")
    limits = read_weights(given, option)
    over = [name for name, weight in limits.items() if weight > 1]
    if over:
        raise ConfigError(
            f"{option} {over[0]}", f"is {limits[over[0]]:g}, which is no weight", "give a number from 0 to 1"
        )
    return limits


def read_repeats(available: Path | None, tokens: float | None, max_epochs: float) -> "Repeats | None":
    """The limit on repeats; None where neither tokens nor what is available are given.

    Raises:
        ConfigError: one is given without the other, or an amount is not above 0.
    """
    from mashbill.mixtures.amounts import read_amounts
    from mashbill.regression.limits import Repeats

    for option, amount in (("--tokens", tokens), ("--max-epochs", max_epochs)):
        if amount is not None and not 0 < amount < float("inf"):
            raise ConfigError(f"{option} {amount:g}", "is not above 0", "give a number above 0")
    if available is None or tokens is None:
        given, lacking = ("--tokens", "--available") if available is None else ("--available", "--tokens")
        if (available is None) != (tokens is None):
            raise ConfigError(given, f"limits repeats only with {lacking}", f"give {lacking} too")
        return None
    where = f"{available}: --max-epochs {max_epochs:g}"
    return Repeats(read_amounts(available), tokens, max_epochs, where, str(available))
