"""How much of a domain's text changed between two corpora: documents compared by a hash of id and text.

A sample is compared, chosen by the hash of the id, so that both corpora sample the same documents and memory
is bounded; tasks read the partitions, and give hashes.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from mashbill.config import EngineConfig
from mashbill.documents import Partition
from mashbill.partitions import spread

SAMPLE = 20_000
ID_KEY, TEXT_KEY = "mashbill revised", "mashbill changed"  # 16 characters: keys of pandas' SipHash


def changed_share(
    then: Sequence[Partition], now: Sequence[Partition], engine: EngineConfig | None = None
) -> float:
    """Share of documents, of all that were there then or are now, that came or went; one whose text changed
    did both.

    Args:
        then, now: partitions of a set.
        engine: where they are read; None means on this machine.
    Returns:
        0..1; 0 where neither has a document.
    """
    most = max(count_documents(then), count_documents(now), 1)
    highest = np.uint64(min(2**64 - 1, 2**64 * SAMPLE // most))
    old, new = (sampled_documents(parts, highest, engine or EngineConfig()) for parts in (then, now))
    together = np.union1d(old, new)
    return 1 - len(np.intersect1d(old, new, assume_unique=True)) / len(together) if len(together) else 0.0


def count_documents(partitions: Sequence[Partition]) -> int:
    """Documents of a set; none is read."""
    return sum(partition.count() for partition in partitions)


def sampled_documents(
    partitions: Sequence[Partition], highest: np.uint64, engine: EngineConfig
) -> np.ndarray:
    """[documents] uint64, sorted: a hash of the id and text of each document whose id's hash is not above the
    highest.

    Text is read only near such a document.
    """
    found = spread(engine, partial(_sampled, highest), partitions)
    return np.unique(np.concatenate([np.empty(0, np.uint64), *found]))


def _sampled(highest: np.uint64, partition: Partition) -> np.ndarray:
    chosen = partition.chosen(lambda ids: _hashes(ids, ID_KEY) <= highest, ["id", "text"])
    found = (_hashes(table["id"], ID_KEY) ^ _hashes(table["text"], TEXT_KEY) for table in chosen)
    return np.concatenate([np.empty(0, np.uint64), *found])


def _hashes(column: Any, key: str) -> np.ndarray:
    """[documents] uint64 of an Arrow column of strings."""
    import pandas as pd

    return pd.util.hash_array(column.to_numpy().astype(object), hash_key=key, categorize=False)
