"""Documents as compiled kernels take them: one buffer of bytes and the offsets of its documents."""

import numpy as np
import pyarrow as pa


def buffers(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """The bytes and the offsets of an Arrow column, without a copy.

    Args:
        texts: [documents] large strings without nulls.
    Returns:
        [bytes] uint8, and [documents + 1] int64.
    """
    array = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    array = array.cast(pa.large_string())
    _, offsets, content = array.buffers()
    if not len(array):
        return np.zeros(1, np.uint8), np.zeros(1, np.int64)
    bounds = np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1]
    return (
        np.frombuffer(content, np.uint8) if content is not None and content.size else np.zeros(1, np.uint8)
    ), bounds


def from_buffers(content: np.ndarray, offsets: np.ndarray) -> pa.Array:
    """An Arrow column of large strings from bytes and offsets.

    Args:
        content: [bytes] uint8 valid UTF-8.
        offsets: [documents + 1] int64.
    """
    used = np.ascontiguousarray(content[: offsets[-1]])
    return pa.LargeStringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(used))
