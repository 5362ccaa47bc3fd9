"""Predictive strength: on which documents do better models compress better?

Source: PreSelect (arXiv 2503.00808, section 3; code hkust-nlp/PreSelect).
"""

import numpy as np

from mashbill.errors import DataError

LEVEL_DIGITS = 12
"""Equal correlations that were summed in another order differ by less: they are one level."""


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
    return np.round((correlation + 1) / 2, LEVEL_DIGITS)
