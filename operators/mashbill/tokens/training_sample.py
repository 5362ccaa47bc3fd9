"""The text that a tokenizer is trained on, of which only counts of pieces meet in one place.

A task reads the beginning of a domain and counts its pieces; the counts are added up in the order of the
domains, so that the tokenizer is the same wherever they were made.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import pyarrow as pa

from mashbill.config import EngineConfig
from mashbill.documents import Partition
from mashbill.partitions import spread
from mashbill.tokens.piece_counts import CountedPieces, PieceCounts

SAMPLE_BATCH = 256


def count_sample(
    documents: Mapping[str, Sequence[Partition]], training_bytes: int, engine: EngineConfig
) -> PieceCounts:
    """The pieces of the first ``training_bytes / domains`` bytes of every domain.

    What comes here of a domain is at most as many bytes of pieces as its share has, with the documents of the
    batch that the share ends in, and 16 bytes for each piece that differs.

    Args:
        documents: partitions of each domain.
        training_bytes: of text, of all domains together.
        engine: where domains are counted, side by side.
    """
    work = partial(count_beginning, training_bytes // len(documents))
    pieces = _no_pieces()
    for counted in spread(engine, work, list(documents.values())):
        pieces.add_counted(counted)
    return pieces


def count_beginning(most: int, partitions: Sequence[Partition]) -> CountedPieces:
    """The pieces of the first documents of a domain, up to the one by which there are so many bytes, and its
    batch; of partitions after that nothing is read."""
    pieces = _no_pieces()
    for texts in _beginning(most, partitions):
        pieces.add(texts)
    return pieces.counted()


def _no_pieces() -> PieceCounts:
    from tokenizers import pre_tokenizers

    return PieceCounts(pre_tokenizers.ByteLevel(add_prefix_space=False))


def _beginning(most: int, partitions: Sequence[Partition]) -> Iterator[pa.Array]:
    taken = 0
    for partition in partitions:
        if taken >= most:
            return
        for batch in partition.batches(["text"], SAMPLE_BATCH):
            if taken >= most:
                return
            taken += batch.column(0).nbytes
            yield batch.column(0)
