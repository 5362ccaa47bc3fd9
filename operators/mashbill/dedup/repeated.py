"""Removing repeated lines or paragraphs of a corpus in partitions: which of a partition's pieces stood in an
earlier one."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mashbill.config import DeduplicationConfig
from mashbill.dedup.lines import Pieces
from mashbill.dedup.matches import Matching
from mashbill.dedup.numbers import Numbered
from mashbill.partitions import Exchange, buckets_for, scattered, spread

ROW_BYTES = 16


@dataclass(frozen=True)
class Repeated:
    """Where the pieces of a corpus meet.

    Attributes:
        matching: which documents go already.
        buckets: how many the pieces are sent to.
    """

    matching: Matching
    buckets: int

    @property
    def pieces(self) -> Exchange:
        """``hash`` of a piece and ``number`` of a partition that has it."""
        return Exchange(self.matching.shared, f"pieces-{self.buckets}", self.buckets)

    @property
    def seen(self) -> Exchange:
        """``hash`` of a piece that stands in an earlier partition than ``number``, by that one's range."""
        ranges = self.matching.numbering.ranges
        return Exchange(self.matching.shared, f"seen-{ranges}", ranges)


def find_repeated(matching: Matching, text_bytes: int) -> Repeated:
    """Find the pieces that stand in more than one partition.

    Args:
        matching: which documents go already.
        text_bytes: of the corpus, from which the number of pieces is estimated.
    """
    config = matching.config
    most = text_bytes // config.min_line_bytes
    repeated = Repeated(matching, buckets_for(most * ROW_BYTES, config.max_memory_bytes))
    list(spread(matching.engine, partial(_send, repeated), matching.numbering.corpus))
    list(spread(matching.engine, partial(_compare, repeated), range(repeated.buckets)))
    return repeated


def seen_before(repeated: Repeated, partition: Numbered) -> np.ndarray:
    """[pieces] hashes that stand in an earlier partition."""
    rows = repeated.seen.arrays(repeated.matching.numbering.range_of_partition(partition))
    return rows["hash"][rows["number"] == partition.number]


def staying(matching: Matching, partition: Numbered) -> np.ndarray:
    """[documents of the partition] whether each stands for itself."""
    rows = matching.gone.arrays(matching.numbering.range_of_partition(partition))["document"]
    keep = np.ones(partition.rows, bool)
    keep[rows[(rows >= partition.start) & (rows < partition.end)] - partition.start] = False
    return keep


def without_repeated(
    table: pa.Table, config: DeduplicationConfig, seen: np.ndarray
) -> tuple[pa.Table, pa.Table]:
    """Documents without the pieces that occurred before, and those of which nothing is left, as they were.

    Args:
        table: documents that stay.
        seen: hashes of pieces that stand in earlier partitions.
    """
    pieces = _pieces(table, config)
    counted = np.flatnonzero(pieces.hashes)
    values, first = np.unique(pieces.hashes[counted], return_index=True)
    gone = pieces.hashes != 0
    gone[counted[first[~np.isin(values, seen)]]] = False
    trimmed = pieces.without(gone)
    empty = pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(trimmed)), 0)
    kept = table.set_column(table.schema.get_field_index("text"), "text", trimmed).filter(pc.invert(empty))
    return kept, table.filter(empty)


def _pieces(table: pa.Table, config: DeduplicationConfig) -> Pieces:
    column = table["text"].combine_chunks()
    texts = (column.chunk(0) if isinstance(column, pa.ChunkedArray) else column).cast(pa.large_string())
    return Pieces(texts, 1 if config.lines == "line" else 2, config.min_line_bytes)


def _send(repeated: Repeated, partition: Numbered) -> None:
    if repeated.pieces.has(partition.name):
        return
    texts = (
        partition.documents.read(["text"])
        .filter(pa.array(staying(repeated.matching, partition)))
        .combine_chunks()
    )
    hashes = (
        np.unique(_pieces(texts, repeated.matching.config).hashes) if len(texts) else np.empty(0, np.uint64)
    )
    hashes = hashes[hashes != 0]
    number = np.full(len(hashes), partition.number)
    repeated.pieces.put(partition.name, scattered(hashes, repeated.buckets), hash=hashes, number=number)


def _compare(repeated: Repeated, bucket: int) -> None:
    rows = repeated.pieces.arrays(bucket)
    order = np.argsort(rows["hash"], kind="stable")
    hashes, number = rows["hash"][order], rows["number"][order]
    again = np.zeros(len(hashes), bool)
    again[1:] = hashes[1:] == hashes[:-1]
    hashes, number = hashes[again], number[again]
    where = repeated.matching.numbering.range_of_partitions(number)
    repeated.seen.put(f"{bucket:05}", where, hash=hashes, number=number)
