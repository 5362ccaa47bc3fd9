"""The extremes of predictive strength: the documents a classifier learns from, as many strong as weak ones.

So few models have few levels of strength, and many documents share one. Which of equal documents are taken is
drawn by lot, and how far the draw decides is told.
"""

from collections.abc import Sequence

import numpy as np

from mashbill.artifacts import Part
from mashbill.errors import DataError

OVERALL = "overall"
MUCH_BY_LOT = 0.5
"""Share of a side that could as well have been others, from which on it is a warning."""


class Threshold(Part):
    """Where the taken documents of one side end.

    Attributes:
        group: the domain, or overall.
        side: positive or negative.
        strength: level of the last document taken.
        documents: that are on this level; taken: of them, drawn by lot where there are more.
        of: documents taken on this side in all.
    """

    group: str
    side: str
    strength: float
    documents: int
    taken: int
    of: int

    @property
    def by_lot(self) -> float:
        """Share of the side that could as well have been others."""
        return min(self.taken, self.documents - self.taken) / self.of


def extremes(strength: np.ndarray, share: float, lots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the strongest and of the weakest documents, as many of each; ties go by lot.

    Args:
        strength: [documents] predictive strength; NaN documents are neither.
        share: share of the documents taken on each side, at most a half.
        lots: [documents] a number of each that has nothing to do with where it stands.
    """
    order = np.lexsort((lots, -strength))
    order = order[~np.isnan(strength[order])]
    count = max(1, int(len(order) * share))
    return order[:count], order[-count:][::-1]


def extremes_by_group(
    strength: np.ndarray, groups: np.ndarray, share: float, *, lots: np.ndarray
) -> tuple[np.ndarray, np.ndarray, list[Threshold]]:
    """``extremes`` of each group that has two measured documents, put together, and where they end.

    Args:
        strength: [documents]; groups: [documents] name of each document's group.
        share: share of a group's documents taken on each side.
        lots: [documents] as in ``extremes``.
    Raises:
        DataError: no group has two.
    """
    best, worst, ends = [], [], []
    for group in sorted(set(groups.tolist())):
        rows = np.flatnonzero((groups == group) & np.isfinite(strength))
        if len(rows) > 1:
            first, last = extremes(strength[rows], share, lots[rows])
            best.append(rows[first])
            worst.append(rows[last])
            ends.append(_threshold(strength[rows], first, group=group, side="positive"))
            ends.append(_threshold(strength[rows], last, group=group, side="negative"))
    if not ends:
        raise DataError(
            "quality.sample_documents",
            "holds fewer than two documents that the models can measure",
            "raise it, or give text that is not empty",
        )
    return np.concatenate(best), np.concatenate(worst), ends


def _threshold(strength: np.ndarray, taken: np.ndarray, *, group: str, side: str) -> Threshold:
    """Where the taken documents of a side end; the last taken is nearest to the middle.

    Args:
        strength: [documents] of the group; taken: indices of those taken, the most extreme first.
    """
    level = strength[taken[-1]]
    on_level = strength == level
    return Threshold(
        group=group,
        side=side,
        strength=float(level),
        documents=int(on_level.sum()),
        taken=int(on_level[taken].sum()),
        of=len(taken),
    )


def too_few_models(ability: np.ndarray, share: float, ends: Sequence[Threshold]) -> list[str]:
    """Warnings where the models have too few levels of strength for the share that is asked.

    Args:
        ability: [models].
        share: of the documents taken on each side.
        ends: where the sides end.
    """
    pairs = int((ability[:, None] > ability[None, :]).sum())
    mend = "train or name more models, or raise quality.extreme_share"
    warnings = []
    if (pairs + 1) * share < 1:
        warnings.append(
            f"{len(ability)} models have {pairs} pairs that differ, so {pairs + 1} levels of predictive "
            f"strength, too few to tell a share of {share:.3g} apart; {mend}"
        )
    worst = max(ends, key=lambda threshold: threshold.by_lot)
    if worst.by_lot > MUCH_BY_LOT:
        where = "" if worst.group == OVERALL else f" of {worst.group}"
        warnings.append(
            f"{worst.taken:,} of {worst.of:,} {worst.side} examples{where} are drawn by lot from "
            f"{worst.documents:,} documents of one predictive strength, {worst.strength:.3g}; {mend}"
        )
    return warnings
