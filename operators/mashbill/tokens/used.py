"""The vocabulary that training text uses: tokens are counted with the whole tokenizer, and one that has no
more than those is written in its place."""

import io
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from mashbill.artifacts import Counts, Progress
from mashbill.config import EngineConfig
from mashbill.errors import DataError
from mashbill.partitions import spread
from mashbill.tokens.compaction import Compaction, compact_to_used, compact_tokenizer
from mashbill.tokens.sharding import (
    Piece,
    SetOfDocuments,
    TokenJob,
    documents_of,
    encoder_of,
    pieces_of,
)
from mashbill.tokens.shards import TOKENIZER
from mashbill.tokens.vocabulary import vocabulary_size

WHOLE = "whole-tokenizer.json"
"""Key of the tokenizer with all its tokens."""


@dataclass(frozen=True)
class Used:
    """What training text uses.

    Attributes:
        counts: [vocabulary] uses of each token.
        bytes: of the text.
    """

    counts: np.ndarray
    bytes: int


def shrink(
    job: TokenJob, everything: Sequence[SetOfDocuments], engine: EngineConfig, *, progress: Progress
) -> Counts:
    """Write the tokenizer of the tokens that training text uses, unless a killed run has.

    Args:
        job: of the whole tokenizer.
        everything: sets of documents; references are not trained on, and not counted.
        engine: where they are counted.
        progress: called with nothing done.
    Returns:
        What that changes: tokens, and bits per byte of a code by their frequencies alone.
    Raises:
        DataError: the tokenizer cannot be made smaller, or training text uses none of its tokens so often.
    """
    progress(0.0, "counting what training text uses of the vocabulary")
    domains = [documents for documents in everything if documents.kind == "domain"]
    pieces = [piece for of_set in spread(engine, partial(pieces_of, job), domains) for piece in of_set]
    counted = list(spread(engine, partial(count_piece, job), pieces))
    used = Used(np.sum([one.counts for one in counted], 0), sum(one.bytes for one in counted))
    least = job.config.least_uses
    if not (used.counts >= least).any():
        most = int(used.counts.max())
        raise DataError(
            "tokens.least_uses", f"is {least:,}, and no token is used more than {most:,} times", "lower it"
        )
    folder = job.shared.passing()
    whole, smaller = (folder / f"{uuid.uuid4().hex}.json" for _ in range(2))
    try:
        whole.write_bytes(job.shared.read(WHOLE))
        found = compact_to_used(used.counts, least, whole)
        compact_tokenizer(found, whole, smaller)
        job.shared.put(smaller, TOKENIZER)
    finally:
        whole.unlink(missing_ok=True)
    return effect(found, used)


def count_piece(job: TokenJob, piece: Piece) -> Used:
    """What of the vocabulary the training text of a partition uses, unless a killed run has counted it."""
    key = f"used/{piece.of.name}/{piece.partition.number}.npy"
    try:
        counts = np.load(io.BytesIO(job.shared.read(key)), allow_pickle=False)
    except KeyError:
        counts = _counted(job, piece)
        made = job.shared.passing() / f"{uuid.uuid4().hex}.npy"
        np.save(made, counts)
        job.shared.put(made, key)
    return Used(counts[:-1], int(counts[-1]))


def effect(found: Compaction, used: Used) -> Counts:
    """What a smaller vocabulary changes: tokens of it and of the text, and bits per byte of text in a code
    that knows how often each token is, and nothing else."""
    before, after = used.counts, found.recounted(used.counts)
    return {
        "vocabulary_before": len(found.new_ids),
        "tokens_dropped": found.dropped,
        "training_tokens_more": int(after.sum() - before.sum()),
        "unigram_bits_per_byte_before": _unigram_bits(before) / max(1, used.bytes),
        "unigram_bits_per_byte": _unigram_bits(after) / max(1, used.bytes),
    }


def _counted(job: TokenJob, piece: Piece) -> np.ndarray:
    """[vocabulary + 1] uses of each token in training text, with the ends of documents; then its bytes."""
    tokenizer, encoder = encoder_of(job)
    size = vocabulary_size(tokenizer)
    counts = np.zeros(size + 1, np.int64)
    for batch, sizes, validates in documents_of(job, piece):
        trains = np.flatnonzero(~validates)
        tokens = encoder.encode(batch["text"]).taken(trains, job.end_of_text)
        counts[:size] += np.bincount(tokens, minlength=size)
        counts[size] += int(sizes[trains].sum())
    return counts


def _unigram_bits(counts: np.ndarray) -> float:
    there = counts[counts > 0].astype(np.float64)
    return float(-(there * np.log2(there / there.sum())).sum())
