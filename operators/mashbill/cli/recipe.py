"""``mashbill train --dry-run``: what a training recipe amounts to, without a GPU."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.table import Table

from mashbill.cli.answers import show
from mashbill.cli.forecast import finished_forecast, forecast_words
from mashbill.cli.mixture_options import read_tokens
from mashbill.config import load_config, parse_overrides
from mashbill.errors import DataError


def print_forecast(path: Path, assignments: list[str], available: Path | None, *, as_json: bool) -> None:
    """Print parameters, FLOPs per token, memory per rank and epochs per domain of a recipe."""
    from mashbill.training.recipe import forecast

    config = load_config(path, parse_overrides(assignments))
    tokens = read_available(available, config.mixture_names) if available else None
    recipe = forecast(config, available_tokens=tokens)
    figures, foreseen = asdict(recipe), finished_forecast(config, recipe.parameters)
    if as_json:
        said = {"forecast": foreseen.as_json()} if foreseen else {}
        print(json.dumps({**figures, **said}))  # noqa: T201
        return
    table = Table("figure", "value", title=f"{path}: the recipe", title_justify="left")
    for name, value in figures.items():
        for suffix, figure in value.items() if isinstance(value, dict) else [("", value)]:
            table.add_row(
                f"{name} {suffix}".strip(), f"{figure:,}" if isinstance(figure, int | float) else str(figure)
            )
    show(table, *(forecast_words(foreseen) if foreseen else ()))


def read_available(path: Path, domains: Sequence[str]) -> dict[str, int]:
    """Tokens available of each domain, from a CSV with columns ``domain`` and ``tokens``.

    Raises:
        DataError: the file is missing, lacks a domain, or has no number above 0 for one.
    """
    tokens = read_tokens(path)
    missing = [domain for domain in domains if domain not in tokens]
    if missing:
        raise DataError(str(path), f"has no row of domain {missing[0]}", "add it")
    return {domain: int(tokens[domain]) for domain in domains}
