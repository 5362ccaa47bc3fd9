"""How much of a domain's text changed between two corpora: documents compared by a hash of id and text.

A sample is compared, chosen by the hash of the id, so that both corpora sample the same documents and memory
is bounded.
"""

from pathlib import Path

import numpy as np

SAMPLE = 20_000
ID_KEY, TEXT_KEY = "mashbill revised", "mashbill changed"  # 16 characters: keys of pandas' SipHash


def changed_share(then: Path, now: Path) -> float:
    """Share of documents, of all that were there then or are now, that came or went; one whose text changed
    did both.

    Args:
        then, now: folders of parquet files with the columns id and text.
    Returns:
        0..1; 0 where neither has a document.
    """
    most = max(count_documents(then), count_documents(now), 1)
    highest = np.uint64(min(2**64 - 1, 2**64 * SAMPLE // most))
    old, new = sampled_documents(then, highest), sampled_documents(now, highest)
    together = np.union1d(old, new)
    return 1 - len(np.intersect1d(old, new, assume_unique=True)) / len(together) if len(together) else 0.0


def count_documents(folder: Path) -> int:
    """Documents in a folder, from the files' footers."""
    import pyarrow.parquet as pq

    return sum(pq.read_metadata(path).num_rows for path in folder.glob("*.parquet"))


def sampled_documents(folder: Path, highest: np.uint64) -> np.ndarray:
    """[documents] uint64, sorted: a hash of the id and text of each document whose id's hash is not above the
    highest.

    Text is read only of the row groups that hold such a document.
    """
    import pandas as pd
    import pyarrow.parquet as pq

    found = [np.empty(0, np.uint64)]
    for path in sorted(folder.glob("*.parquet")):
        file = pq.ParquetFile(path)
        for group in range(file.num_row_groups):
            ids = file.read_row_group(group, columns=["id"])["id"].to_numpy().astype(object)
            hashes = pd.util.hash_array(ids, hash_key=ID_KEY, categorize=False)
            chosen = hashes <= highest
            if chosen.any():
                text = (
                    file.read_row_group(group, columns=["text"])["text"]
                    .filter(chosen)
                    .to_numpy()
                    .astype(object)
                )
                found.append(hashes[chosen] ^ pd.util.hash_array(text, hash_key=TEXT_KEY, categorize=False))
    return np.unique(np.concatenate(found))
