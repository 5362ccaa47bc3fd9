"""``mashbill train --dry-run``: what a training recipe amounts to, without a GPU."""

import csv
import json
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mashbill.config import load_config, parse_overrides
from mashbill.errors import DataError


def print_forecast(path: Path, assignments: list[str], available: Path | None, *, as_json: bool) -> None:
    """Print parameters, FLOPs per token, memory per rank and epochs per domain of a recipe."""
    from mashbill.training.recipe import forecast

    config = load_config(path, parse_overrides(assignments))
    figures = asdict(forecast(config, available_tokens=read_available(available) if available else None))
    if as_json:
        print(json.dumps(figures))  # noqa: T201
        return
    table = Table("figure", "value", title=f"{path}: the recipe", title_justify="left")
    for name, value in figures.items():
        for suffix, figure in value.items() if isinstance(value, dict) else [("", value)]:
            table.add_row(
                f"{name} {suffix}".strip(), f"{figure:,}" if isinstance(figure, int | float) else str(figure)
            )
    Console().print(table)


def read_available(path: Path) -> dict[str, int]:
    """Tokens available by domain, from a CSV with columns ``domain`` and ``tokens``.

    Raises:
        DataError: the file is missing, or a row has no such columns or no whole number.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return {row["domain"]: int(float(row["tokens"])) for row in csv.DictReader(file)}
    except OSError as error:
        raise DataError(
            str(path), error.strerror or "cannot be read", "give a CSV with columns domain,tokens"
        ) from error
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            str(path),
            f"has a row without a domain or a number of tokens ({error})",
            "give columns domain,tokens",
        ) from error
