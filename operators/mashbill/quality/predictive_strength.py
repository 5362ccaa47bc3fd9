"""Predictive strength: on which documents do better models compress better?

Source: PreSelect (arXiv 2503.00808, section 3; code hkust-nlp/PreSelect).
"""

import numpy as np

from mashbill.errors import DataError


def predictive_strength(bits_per_character: np.ndarray, ability: np.ndarray) -> np.ndarray:
    """Share of model pairs whose order on a document agrees with their order in ability.

    Args:
        bits_per_character: [documents, models] compression of each document by each model.
        ability: [models] higher is better.
    Returns:
        [documents] in [0, 1]; 1 where a better model always compresses better; a tie on a document counts
        half.
    Raises:
        DataError: fewer than two models differ in ability.
    """
    better, worse = np.nonzero(ability[:, None] > ability[None, :])
    if len(better) == 0:
        raise DataError("ability", "is the same for every model", "give models that differ")
    difference = bits_per_character[:, worse] - bits_per_character[:, better]
    return (np.sign(difference).mean(axis=1) + 1) / 2


def extremes(strength: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the strongest and of the weakest documents, as many of each; ties go by position.

    Args:
        strength: [documents] predictive strength; NaN documents are neither.
        share: share of the documents taken on each side.
    """
    order = np.argsort(-strength, kind="stable")
    order = order[~np.isnan(strength[order])]
    count = max(1, int(len(order) * share))
    return order[:count], order[-count:][::-1]


def rank_correlation(bits_per_character: np.ndarray, ability: np.ndarray) -> np.ndarray:
    """Spearman's correlation of ability with compression, put on [0, 1] as predictive strength is.

    Args:
        bits_per_character: [documents, models] compression of each document by each model.
        ability: [models] higher is better.
    Returns:
        [documents] in [0, 1]; a document that all models compress alike has 0.5.
    """
    from scipy.stats import rankdata

    if len(np.unique(ability)) < 2:
        raise DataError("ability", "is the same for every model", "give models that differ")
    measured = rankdata(-bits_per_character, axis=1)
    measured -= measured.mean(axis=1, keepdims=True)
    wanted = rankdata(ability) - (len(ability) + 1) / 2
    size = np.linalg.norm(measured, axis=1) * np.linalg.norm(wanted)
    correlation = np.divide(measured @ wanted, size, out=np.zeros(len(measured)), where=size > 0)
    correlation[np.isnan(bits_per_character).any(axis=1)] = np.nan
    return (correlation + 1) / 2


def extremes_by_group(
    strength: np.ndarray, groups: np.ndarray, share: float
) -> tuple[np.ndarray, np.ndarray]:
    """``extremes`` of each group, put together.

    Args:
        strength: [documents]; groups: [documents] name of each document's group.
        share: share of a group's documents taken on each side.
    """
    best, worst = [], []
    for group in sorted(set(groups.tolist())):
        rows = np.flatnonzero(groups == group)
        if np.isfinite(strength[rows]).sum() > 1:
            first, last = extremes(strength[rows], share)
            best.append(rows[first])
            worst.append(rows[last])
    return np.concatenate(best), np.concatenate(worst)
