"""What a plan that reuses an earlier search keeps of it: runs that still count, and domains that keep their
ratios."""

import json
from pathlib import Path

import numpy as np

from mashbill.mixtures import LossTable, MixtureTable
from mashbill.mixtures.bundle import Bundle

FACTS, RATIOS, MIXTURES, LOSSES = "reuse.json", "ratios.csv", "kept_mixtures.csv", "kept_losses.csv"


def read_bundle(plan: Path) -> Bundle | None:
    """The domains that keep their ratios, and those that are searched; None where a plan keeps none.

    Args:
        plan: folder of the plan.
    """
    if not (plan / RATIOS).exists():
        return None
    table, searched = MixtureTable.read(plan / RATIOS), json.loads((plan / FACTS).read_text())["searched"]
    return Bundle(table.domains, table.weights[0], np.array([table.domains.index(name) for name in searched]))


def with_kept_runs(mixtures: MixtureTable, losses: LossTable, plan: Path) -> tuple[MixtureTable, LossTable]:
    """Today's runs and the earlier ones that count, of the sets that both measured.

    Args:
        mixtures, losses: today's runs, in the same order.
        plan: folder of the plan.
    """
    if not (plan / MIXTURES).exists():
        return mixtures, losses
    kept, measured = MixtureTable.read(plan / MIXTURES), LossTable.read(plan / LOSSES)
    sets = tuple(name for name in losses.columns if name in measured.columns)
    index = np.concatenate([mixtures.index, kept.index])
    weights = np.concatenate([mixtures.weights, kept.having(mixtures.columns).weights])
    values = np.concatenate([losses.having(sets).losses, measured.having(sets).losses])
    return MixtureTable(index, mixtures.columns, weights), LossTable(index, sets, values)
