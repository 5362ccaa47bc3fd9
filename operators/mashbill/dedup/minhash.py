"""Hashes and MinHash bands of documents.

Two documents that agree on a whole band are candidates; with b bands of r rows, a pair of similarity s
becomes one with probability 1 - (1 - s^r)^b.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mashbill.config import DeduplicationConfig
from mashbill.dedup.shingles import KINDS, permutations, signatures
from mashbill.partitions import buffers


def match_probability(similarity: float, config: DeduplicationConfig) -> float:
    """Probability that two documents of a Jaccard similarity share a band."""
    return float(1 - (1 - similarity**config.rows) ** config.bands)


def text_hashes(texts: pa.ChunkedArray) -> np.ndarray:
    """[documents] uint64 hash of each text."""
    import daft

    frame = daft.from_arrow(pa.table({"row": np.arange(len(texts)), "text": texts}))
    hashed = frame.select("row", daft.col("text").hash().alias("hash")).to_arrow().sort_by("row")
    return hashed["hash"].to_numpy()


def band_hashes(texts: pa.ChunkedArray, config: DeduplicationConfig) -> np.ndarray:
    """One hash a band of each document's MinHash signature.

    Args:
        texts: [documents] large strings; case, accents, punctuation and white space are normalised away.
        config: words in a shingle, bands and rows.
    Returns:
        [documents, bands] uint64; 0 where nothing is left of the text, which matches nothing.
    """
    result = np.zeros((len(texts), config.bands), np.uint64)
    plain = pc.string_is_ascii(texts).to_numpy()
    result[plain] = _signatures(texts.filter(pa.array(plain)), config)
    if not plain.all():
        wide = texts.filter(pa.array(~plain))
        result[~plain] = _signatures(pc.utf8_lower(pc.utf8_normalize(wide, "NFD")), config)
    return result


def _signatures(texts: pa.ChunkedArray, config: DeduplicationConfig) -> np.ndarray:
    text, offsets = buffers(texts)
    out = np.zeros((len(texts), config.bands), np.uint64)
    signatures(
        text, offsets, KINDS, permutations(config.bands * config.rows), config.ngram, config.bands, out
    )
    return out
