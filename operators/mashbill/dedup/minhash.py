"""Hashes and MinHash bands of documents.

Two documents that agree on a whole band are candidates; with b bands of r rows, a pair of similarity s
becomes one with probability 1 - (1 - s^r)^b.
"""

import functools
import sys
import unicodedata
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mashbill.config import DeduplicationConfig
from mashbill.dedup.shingles import KINDS, permutations, signatures, unchanged
from mashbill.partitions import buffers

LOOKED_AT, CHINESE = range(0x80, 0x3400), range(0x3400, 0xA000)


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
    if not plain.all():
        plain[~plain] = _unchanged(texts.filter(pa.array(~plain)))
    result[plain] = _signatures(texts.filter(pa.array(plain)), config)
    if not plain.all():
        result[~plain] = _signatures(_normalised(texts.filter(pa.array(~plain))), config)
    return result


def _normalised(texts: Any) -> Any:
    """Texts decomposed (NFD) and in lower case."""
    return pc.utf8_lower(pc.utf8_normalize(texts, "NFD"))


def _unchanged(texts: pa.ChunkedArray) -> np.ndarray:
    """[documents] whether normalising leaves a text as it is, but for the case of ASCII."""
    text, offsets = buffers(texts)
    out = np.empty(len(texts), np.bool_)
    unchanged(text, offsets, _changing(), out)
    return out


@functools.cache
def _changing() -> np.ndarray:
    """[code points] which characters normalising may change, or the order of marks with them: of those that
    are looked at each, of the others beyond ASCII all but Chinese characters."""
    changing = np.ones(sys.maxunicode + 1, np.bool_)
    characters = [chr(point) for point in LOOKED_AT]
    array = pa.array(characters, pa.large_string())
    same = pc.equal(_normalised(array), array).to_numpy(zero_copy_only=False)
    marks = np.array([unicodedata.combining(character) > 0 for character in characters])
    changing[LOOKED_AT.start : LOOKED_AT.stop] = ~same | marks
    changing[: LOOKED_AT.start] = False
    changing[CHINESE.start : CHINESE.stop] = False
    return changing


def _signatures(texts: pa.ChunkedArray, config: DeduplicationConfig) -> np.ndarray:
    text, offsets = buffers(texts)
    out = np.zeros((len(texts), config.bands), np.uint64)
    signatures(
        text, offsets, KINDS, permutations(config.bands * config.rows), config.ngram, config.bands, out
    )
    return out
