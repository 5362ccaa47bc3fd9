"""The split: whether a document trains or validates is a function of (seed, id), so it never depends on order
or workers."""

from typing import Any

import numpy as np

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


def smallest_share(ids: Any, seed: int) -> float:
    """The least share under which any of these documents validates: for sets so small that chance leaves
    none.

    Args:
        ids: [documents] Arrow string array of document ids.
        seed: seed of the split.
    """
    return float(_positions(ids, seed).min(initial=1.0)) * (1 + 1e-9)


def validation_mask(ids: Any, share: float, seed: int) -> np.ndarray:
    """Which documents validate.

    Args:
        ids: [documents] Arrow string array of document ids.
        share: share of documents that validate, in [0, 1].
        seed: seed of the split.
    Returns:
        [documents] bool.
    """
    return _positions(ids, seed) < share


def _positions(ids: Any, seed: int) -> np.ndarray:
    """[documents] an even number in [0, 1) of each document."""
    import pandas as pd

    hashes = pd.util.hash_array(
        np.asarray(ids.to_pylist(), dtype=object), hash_key=f"{seed:016d}"[:16], categorize=False
    )
    return (hashes * _MULTIPLIER) / 2**64
