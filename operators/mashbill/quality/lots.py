"""Lots: an even number for each document, by which samples are drawn and ties are broken.

A lot is a function of (seed, domain, id): neither the order of domains in the config nor the order of files
or documents has a say in who is drawn. An id names a document within its domain only, so the domain counts.
"""

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def draw_lots(domain: str | pa.ChunkedArray, ids: pa.ChunkedArray, *, seed: int, tag: int) -> np.ndarray:
    """[documents] uint64, evenly spread.

    Args:
        domain: of all documents, or [documents] of each.
        ids: [documents] Arrow string array.
        seed: of the run.
        tag: what is drawn for; each has lots of its own.
    """
    import pandas as pd

    key = hashlib.blake2b(f"{seed}/{tag}".encode(), digest_size=8).hexdigest()
    names = pc.binary_join_element_wise(domain, ids.cast(pa.string()), "\0")
    lots: np.ndarray = pd.util.hash_array(
        np.asarray(names.to_pylist(), dtype=object), hash_key=key, categorize=False
    )
    return lots


def as_uniform(lots: np.ndarray) -> np.ndarray:
    """[documents] lots as numbers in (0, 1)."""
    return np.clip((lots.astype(np.float64) + 0.5) / 2.0**64, 1e-18, 1 - 1e-16)
