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
        [documents] in [0, 1]; 1 where a better model always compresses better; a tie on a document counts half.
    Raises:
        DataError: fewer than two models differ in ability.
    """
    better, worse = np.nonzero(ability[:, None] > ability[None, :])
    if len(better) == 0:
        raise DataError("ability", "is the same for every model", "give models that differ")
    difference = bits_per_character[:, worse] - bits_per_character[:, better]
    agreement: np.ndarray = (np.sign(difference).mean(axis=1) + 1) / 2
    return agreement


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
