"""Finding duplicates: signatures of each partition, sent by hash, matched bucket by bucket, and joined into
components.

What comes out is, for each range of partitions, which documents go and which document stands for each.
"""

import io
import tempfile
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mashbill.artifacts import Output
from mashbill.config import DeduplicationConfig, EngineConfig
from mashbill.dedup.components import LINK_BYTES, Stars, distinct, union
from mashbill.dedup.index import read_signatures
from mashbill.dedup.minhash import band_hashes, text_hashes
from mashbill.dedup.numbers import Numbered, Numbering
from mashbill.documents import text_bytes
from mashbill.partitions import SORTING, Exchange, scattered, spread
from mashbill.storage import LOCAL, Storage

MIX = np.uint64(0x94D049BB133111EB)
CLUSTERS = "clusters.parquet"
CLUSTER_SCHEMA = pa.schema([("id", pa.string()), ("domain", pa.string()), ("documents", pa.int64())])


@dataclass(frozen=True)
class Matching:
    """Where the work on one corpus is, and how it is done.

    Attributes:
        config, engine: settings.
        numbering: the partitions.
        shared: where signatures and exchanges are, which all tasks reach.
        buckets: how many the hashes are sent to.
    """

    config: DeduplicationConfig
    engine: EngineConfig
    numbering: Numbering
    shared: Storage
    buckets: int

    @property
    def hashes(self) -> Exchange:
        """``key`` and ``document`` of every text hash and band; the lowest bit of the key is set where it is
        a text hash."""
        return Exchange(self.shared, f"hashes-{self.buckets}", self.buckets)

    @property
    def links(self) -> Exchange:
        """``document`` and the ``earlier`` one it agrees with."""
        return Exchange(self.shared, f"links-{self.buckets}", self.buckets)

    @property
    def exact(self) -> Exchange:
        """``document`` whose text is equal to an earlier one's, by range."""
        return self._by_range("exact")

    @property
    def heads(self) -> Exchange:
        """``document`` and the ``head`` that stands for it, by the head's range."""
        return self._by_range("heads")

    @property
    def gone(self) -> Exchange:
        """``document``, and ``kept_id`` and ``kept_domain`` of the one that stands for it, by the document's
        range."""
        return self._by_range("gone")

    def _sent(self, partition: Numbered) -> bool:
        """Whether an index that is kept alone on the driver's disk was put where all tasks reach it."""
        return self.shared.scheme != LOCAL and isinstance(partition.source, Path)

    def send_indexes(self) -> None:
        """Put indexes that are kept alone where all tasks reach them."""
        for partition in filter(self._sent, self.numbering.partitions):
            _keep(self.shared, partition, read_signatures(partition.signatures))

    def _by_range(self, name: str) -> Exchange:
        return Exchange(self.shared, f"{name}-{self.numbering.ranges}", self.numbering.ranges)

    def signatures(self, partition: Numbered) -> np.ndarray:
        """[documents, 1 + bands] uint64: the text's hash, then its bands."""
        if partition.indexed and not self._sent(partition):
            return read_signatures(partition.signatures)
        return np.load(io.BytesIO(self.shared.read(_signatures(partition))), allow_pickle=False)


def send_hashes(matching: Matching, partition: Numbered) -> int:
    """Make the signatures of a partition and send them by hash, and give the bytes of text that were read;
    what a killed attempt finished is not made again."""
    if matching.hashes.has(partition.name):
        return 0
    size = 0
    if partition.indexed:
        signatures = matching.signatures(partition)
    else:
        texts = partition.documents.read(["text"])
        signatures, size = _signed(matching, partition, texts), text_bytes(texts)
    config = matching.config
    exact = config.exact or matching.numbering.held_out
    columns = np.arange(0 if exact else 1, signatures.shape[1], dtype=np.uint64)
    chosen = signatures[:, columns.astype(np.int64)]
    keys = ((chosen ^ (columns * MIX)) | np.uint64(1)) ^ (columns > 0).astype(np.uint64)
    documents = np.broadcast_to(np.arange(partition.start, partition.end)[:, None], keys.shape)
    present = chosen != 0
    key = keys[present]
    matching.hashes.put(
        partition.name, scattered(key, matching.buckets), key=key, document=documents[present]
    )
    return size


def _signed(matching: Matching, partition: Numbered, table: pa.Table) -> np.ndarray:
    """Make the signatures of a partition's texts, and keep them for when it is written."""
    texts, config = table["text"], matching.config
    bands = band_hashes(texts, config) if config.near else np.zeros((partition.rows, 0), np.uint64)
    signatures = np.concatenate([text_hashes(texts)[:, None], bands], axis=1)
    _keep(matching.shared, partition, signatures)
    return signatures


def _keep(shared: Storage, partition: Numbered, signatures: np.ndarray) -> None:
    with tempfile.NamedTemporaryFile(dir=shared.passing(), delete=False) as file:
        np.save(file, signatures)
    shared.put(Path(file.name), _signatures(partition))


def _signatures(partition: Numbered) -> str:
    return f"signatures/{partition.name}.npy"


def match(matching: Matching, bucket: int) -> int:
    """Link the documents of a bucket that share a hash with the earliest that has it; the number of links."""
    rows = matching.hashes.arrays(bucket)
    order = np.argsort(
        rows["key"], kind="stable"
    )  # of equal keys the earliest document comes first, as it was sent
    key, document = rows["key"][order], rows["document"][order]
    fresh = np.ones(len(key), bool)
    fresh[1:] = key[1:] != key[:-1]
    earlier = document[np.flatnonzero(fresh)][np.cumsum(fresh) - 1]
    linked = ~fresh
    if not matching.config.exact:  # then texts are compared with those of held-out sets alone
        linked &= ((key & np.uint64(1)) == 0) | (earlier < matching.numbering.held_out)
    equal = np.unique(document[linked & ((key & np.uint64(1)) == 1)])
    matching.exact.put(f"{bucket:05}", matching.numbering.range_of(equal), document=equal)
    document, earlier = distinct(document[linked], earlier[linked])
    matching.links.put(
        f"{bucket:05}", scattered(document, matching.buckets), document=document, earlier=earlier
    )
    return len(document)


def join(matching: Matching, links: int) -> None:
    """Send every document that goes to the range of the one that stands for it."""
    fits = links * LINK_BYTES * SORTING <= matching.config.max_memory_bytes
    if matching.engine.runner == "native" and fits:
        tables = pa.concat_tables([matching.links.take(bucket) for bucket in range(matching.buckets)])
        document, head = union(tables["document"].to_numpy(), tables["earlier"].to_numpy())
        matching.heads.put("all", matching.numbering.range_of(head), document=document, head=head)
        return
    settled = Stars(matching.engine, matching.shared, "stars").settle(matching.links)
    list(spread(matching.engine, partial(_send_heads, matching, settled), range(matching.buckets)))


def _send_heads(matching: Matching, settled: Exchange, bucket: int) -> None:
    rows = settled.arrays(bucket)
    document, head = distinct(rows["document"], rows["earlier"])
    matching.heads.put(f"{bucket:05}", matching.numbering.range_of(head), document=document, head=head)


def name_heads(matching: Matching, output: Output, range_: int) -> Counter[int]:
    """Send each document that goes the name of the one that stands for it; write the clusters of a range,
    count their sizes."""
    numbering = matching.numbering
    rows = matching.heads.arrays(range_)
    ids, domains = np.full(len(rows["head"]), "", object), np.full(len(rows["head"]), "", object)
    sizes: Counter[int] = Counter()
    for partition in numbering.in_range(range_):
        here = (rows["head"] >= partition.start) & (rows["head"] < partition.end)
        heads, counts = np.unique(rows["head"][here], return_counts=True)
        names = np.full(partition.rows, "", object)
        if len(heads) and not partition.indexed:
            names = partition.documents.read(["id"])["id"].to_numpy()
        ids[here], domains[here] = names[rows["head"][here] - partition.start], partition.domain
        sizes.update((counts + 1).tolist())
        columns = [
            names[heads - partition.start].tolist(),
            [partition.domain] * len(heads),
            (counts + 1).tolist(),
        ]
        with output.writing(f"{CLUSTERS}/{partition.name}.parquet", rows=len(heads)) as path:
            pq.write_table(pa.table(columns, schema=CLUSTER_SCHEMA), path, compression="zstd")
    where = numbering.range_of(rows["document"])
    kept = {"kept_id": pa.array(ids, pa.string()), "kept_domain": pa.array(domains, pa.string())}
    matching.gone.put(f"{range_:05}", where, document=rows["document"], **kept)
    return sizes
