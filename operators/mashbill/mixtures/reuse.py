"""What a plan keeps of an earlier search, and domains that keep their ratios; kept runs are among the
runs."""

from pathlib import Path

import numpy as np
from pydantic import Field

from mashbill.artifacts import Place, Record, file_in, has_file
from mashbill.mixtures.bundle import Bundle
from mashbill.mixtures.mixture import MixtureTable

RATIOS = "ratios.csv"


class Reuse(Record):
    """What became of an earlier search's domains and runs.

    Attributes:
        choice: address of the earlier choice; None where there was none.
        added, removed: domains that are new, and that are gone.
        revised: share of documents that came or went, of the sets that are searched again for it.
        reason: what is planned, and why.
        kept: ratios of the domains that keep them; searched: the others.
        kept_runs: earlier runs that count; runs: why they do or don't.
    """

    FILE = "reuse.json"
    choice: str | None = None
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    revised: dict[str, float] = Field(default_factory=dict)
    reason: str
    kept: dict[str, float] = Field(default_factory=dict)
    searched: tuple[str, ...] = ()
    kept_runs: int = 0
    runs: str = ""


def read_reuse(plan: Place) -> Reuse | None:
    """What a plan kept of an earlier search; None where none was asked for."""
    return Reuse.read(plan) if has_file(plan, Reuse.FILE) else None


def write_bundle(bundle: Bundle, path: Path) -> None:
    """Write the ratios of a bundle as a table of one mixture."""
    MixtureTable(np.arange(1), bundle.domains, bundle.ratios[None]).write(path)


def read_bundle(plan: Place) -> Bundle | None:
    """The domains that keep their ratios, and those that are searched; None where a plan keeps none."""
    if not has_file(plan, RATIOS):
        return None
    table, searched = MixtureTable.read(file_in(plan, RATIOS)), Reuse.read(plan).searched
    free = np.array([table.domains.index(name) for name in searched], np.int64)
    return Bundle(table.domains, table.weights[0], free)
