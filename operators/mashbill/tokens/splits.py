"""The split: whether a document trains or validates is a function of (seed, id), so it never depends on order or workers."""

from typing import Any

import numpy as np

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


def validation_mask(ids: Any, share: float, seed: int) -> np.ndarray:
    """Which documents validate.

    Args:
        ids: [documents] Arrow string array of document ids.
        share: share of documents that validate, in [0, 1].
        seed: seed of the split.
    Returns:
        [documents] bool.
    """
    import pandas as pd

    hashes = pd.util.hash_array(np.asarray(ids.to_pylist(), dtype=object), hash_key=f"{seed:016d}"[:16], categorize=False)
    mask: np.ndarray = (hashes * _MULTIPLIER) / 2**64 < share
    return mask
