"""How commands answer: JSON for machines, tables and sentences for people."""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from rich.console import Console
from rich.table import Table

from mashbill.errors import ConfigError
from mashbill.storage import refuse_unwritable

if TYPE_CHECKING:
    from mashbill.mixtures import Prediction, ScheduleChoice


def warn(*messages: str) -> None:
    """Warnings, a line each, on the error stream: what is printed for machines stays pure."""
    for message in messages:
        print(f"warning: {message}", file=sys.stderr)  # noqa: T201


def say(as_json: bool, value: Any, *shown: Any) -> None:
    """Answer in JSON, or show tables and sentences."""
    if as_json:
        plain = value.model_dump(exclude_unset=True) if isinstance(value, BaseModel) else value
        print(json.dumps(plain))  # noqa: T201
        return
    show(*shown)


def show(*items: Any) -> None:
    """Print tables and sentences as they are: a path with brackets is no style."""
    for item in items:
        Console(markup=False, highlight=False).print(item, soft_wrap=isinstance(item, str))


def check_output(path: Path, *, folder: bool = False) -> None:
    """Refuse an output that cannot be written, before the work and not after it.

    Args:
        path: what will be written; folders that it is in need not be there.
        folder: whether it is a folder of files.
    Raises:
        ConfigError: it cannot.
    """
    if not folder and path.is_dir():
        raise ConfigError(f"--output {path}", "is a folder", "give the path of a file")
    refuse_unwritable(f"--output {path}", path if folder else path.parent)


def losses_table(entries: "Mapping[str, Prediction]") -> Table:
    """Predicted target losses of mixtures by name."""
    table = Table("mixture", "predicted loss", "90% interval", title="target", title_justify="left")
    for name, entry in entries.items():
        low, high = entry.interval
        table.add_row(name, f"{entry.loss:.4f}", f"{low:.4f} to {high:.4f}")
    return table


def schedule_tables(choice: "ScheduleChoice") -> Iterator[Table]:
    """The schedule, a column a phase; and how well unseen runs are predicted, with order and without."""
    heads = (f"{phase.share:.0%}" for phase in choice.schedule)
    table = Table("domain", *heads, "mean", title="weights by phase", title_justify="left")
    for name, mean in sorted(choice.mean.items(), key=lambda item: -item[1]):
        table.add_row(name, *(f"{phase.mixture[name]:.3f}" for phase in choice.schedule), f"{mean:.3f}")
    yield table
    if choice.cross_validation is not None:
        title = f"target, {choice.cross_validation.runs} runs, out of fold"
        errors = Table("regression", "Spearman", "mean error", title=title, title_justify="left")
        for name in ("trajectories", "static"):
            row = getattr(choice.cross_validation, name)
            errors.add_row(name, f"{row.spearman:.3f}", f"{row.mae:.4f}")
        yield errors
