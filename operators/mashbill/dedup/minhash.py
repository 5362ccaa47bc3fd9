"""Hashes and MinHash bands of documents, by Daft's compiled expressions.

Two documents that agree on a whole band are candidates; with b bands of r rows, a pair of similarity s becomes one with
probability 1 - (1 - s^r)^b.
"""

from typing import Any

import numpy as np
import pyarrow as pa

from mashbill.config import DeduplicationConfig

_MIX = np.uint64(0x9E3779B97F4A7C15)


def match_probability(similarity: float, config: DeduplicationConfig) -> float:
    """Probability that two documents of a Jaccard similarity share a band."""
    return float(1 - (1 - similarity**config.rows) ** config.bands)


def text_hashes(texts: pa.ChunkedArray) -> np.ndarray:
    """[documents] uint64 hash of each text."""
    import daft

    frame = daft.from_arrow(pa.table({"row": np.arange(len(texts)), "text": texts}))
    hashed = frame.select("row", daft.col("text").hash().alias("hash")).to_arrow().sort_by("row")
    result: np.ndarray = hashed["hash"].to_numpy()
    return result


def band_hashes(texts: pa.ChunkedArray, config: DeduplicationConfig) -> np.ndarray:
    """One hash a band of each document's MinHash signature.

    Args:
        texts: [documents]; case, punctuation and white space are normalised away.
        config: words in a shingle, bands and rows.
    Returns:
        [documents, bands] uint64; 0 where nothing is left of the text, which matches nothing.
    """
    import daft

    frame = daft.from_arrow(pa.table({"row": np.arange(len(texts)), "text": texts}))
    normal = daft.col("text").normalize(remove_punct=True, lowercase=True, nfd_unicode=True, white_space=True)
    signature = daft.col("normal").minhash(num_hashes=config.bands * config.rows, ngram_size=config.ngram, seed=1)
    hashed = frame.select("row", normal.alias("normal")).select(
        "row", (daft.col("normal") == "").alias("empty"), signature.alias("signature")
    )
    table = hashed.to_arrow().sort_by("row")
    return _bands(table["signature"].combine_chunks(), config, table["empty"].to_numpy())


def _bands(signatures: Any, config: DeduplicationConfig, empty: np.ndarray) -> np.ndarray:
    array = signatures.chunk(0) if isinstance(signatures, pa.ChunkedArray) else signatures
    values = array.flatten().to_numpy(zero_copy_only=False).reshape(-1, config.bands, config.rows)
    mixed = np.zeros(values.shape[:2], np.uint64)
    for row in range(config.rows):
        mixed = (mixed ^ values[:, :, row].astype(np.uint64)) * _MIX
        mixed ^= mixed >> np.uint64(29)
    mixed[mixed == 0] = 1
    mixed[empty] = 0
    return mixed
