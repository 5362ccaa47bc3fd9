"""What the commands of ``mashbill mixtures`` are given, tables of tokens and weights by name, and how they
answer."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from mashbill.errors import ConfigError, DataError

if TYPE_CHECKING:
    import numpy as np

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


def read_tokens(path: Path) -> dict[str, float]:
    """Tokens by domain from a CSV.

    Raises:
        DataError: a column is missing, a domain stands twice, or a number is none.
    """
    from mashbill.mixtures.mixture import read_frame

    needed = "columns domain,tokens"
    frame = read_frame(path, needed)
    for column in ("domain", "tokens"):
        if column not in frame:
            raise DataError(str(path), f"has no column {column}", f"give a CSV with {needed}")
    if frame.empty:
        raise DataError(str(path), "has no rows", "add a row for each domain")
    tokens: dict[str, float] = {}
    for domain, amount in zip(frame["domain"].astype(str), frame["tokens"], strict=True):
        where = f"{path}: domain {domain}"
        if domain in tokens:
            raise DataError(where, "stands twice", "keep one row a domain")
        try:
            tokens[domain] = float(amount)
        except ValueError as error:
            raise DataError(
                where, f"has {amount!r:.40} for a number of tokens", "correct the cell"
            ) from error
        if not 0 < tokens[domain] < float("inf"):
            raise DataError(
                where, f"has {tokens[domain]:g} tokens", "give a number above 0 or leave the domain out"
            )
    return tokens


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


def repeat_ceiling(
    domains: Sequence[str], available: Path | None, tokens: float | None, max_epochs: float
) -> "np.ndarray | None":
    """[domains] largest weights under the limit on repeats; None where neither tokens nor what is available
    are given.

    Raises:
        ConfigError: one is given without the other, or the limit leaves the run without enough tokens.
        DataError: the table lacks a domain, or has one more.
    """
    import numpy as np

    from mashbill.mixtures import epoch_ceiling

    for option, amount in (("--tokens", tokens), ("--max-epochs", max_epochs)):
        if amount is not None and not 0 < amount < float("inf"):
            raise ConfigError(f"{option} {amount:g}", "is not above 0", "give a number above 0")
    if available is None or tokens is None:
        given, lacking = ("--tokens", "--available") if available is None else ("--available", "--tokens")
        if (available is None) != (tokens is None):
            raise ConfigError(given, f"limits repeats only with {lacking}", f"give {lacking} too")
        return None
    have = read_tokens(available)
    for name in domains:
        if name not in have:
            raise DataError(f"{available}: domain {name}", "is missing", "add its tokens")
    unknown = [name for name in have if name not in domains]
    if unknown:
        raise DataError(
            f"{available}: domain {unknown[0]}",
            "is no domain of the model",
            f"choose among {', '.join(domains)}",
        )
    amounts = np.array([have[name] for name in domains])
    return epoch_ceiling(amounts, tokens, max_epochs, f"{available}: --max-epochs {max_epochs:g}")


def warn(*messages: str) -> None:
    """Warnings, a line each, on the error stream: what is printed for machines stays pure."""
    for message in messages:
        print(f"warning: {message}", file=sys.stderr)  # noqa: T201


def say(as_json: bool, value: Any, *shown: Any) -> None:
    """Answer in JSON, or show tables and sentences."""
    if as_json:
        print(json.dumps(value))  # noqa: T201
        return
    for item in shown:
        Console().print(item)
