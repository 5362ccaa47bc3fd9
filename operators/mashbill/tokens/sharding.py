"""Partitions of documents to token shards, each by a task of its own on whatever machine.

A partition's documents become at most one shard a split. Which split a document goes to depends on its id and
on how much validation text the partitions before hold, which is found first; so shards are the same however
many tasks run at a time, and a killed run goes on with those that are not there.
"""

import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mashbill.artifacts import FileEntry, Output, SealedFile
from mashbill.artifacts.record import Part
from mashbill.config import TokensConfig
from mashbill.documents import Partition
from mashbill.storage import Storage
from mashbill.tokens.encoder import Encoder
from mashbill.tokens.shards import TOKENIZER, ShardWriter
from mashbill.tokens.splits import smallest_share, validation_mask
from mashbill.tokens.unknown import Unknown

BATCH_DOCUMENTS = 512
_mine = threading.local()  # each thread has a table of pieces of its own


@dataclass(frozen=True)
class TokenJob:
    """What tokenizing a partition needs, wherever that is done.

    Attributes:
        output: where shards belong.
        shared: where the tokenizer is, and where finished shards outlive a killed run.
        dtype: of a token.
        end_of_text: token after each document.
        unknown: token that stands for what the tokenizer does not know, if one does.
        config: share and bound of the validation text.
        seed: of the split.
        max_domain_bytes: text tokenized of each set, in bytes; None means all.
        tokenizer: key of the tokenizer.
    """

    output: Output
    shared: Storage
    dtype: np.dtype[Any]
    end_of_text: int
    unknown: int | None
    config: TokensConfig
    seed: int
    max_domain_bytes: int | None
    tokenizer: str = TOKENIZER


@dataclass(frozen=True)
class SetOfDocuments:
    """A domain, or a reference, which validates only.

    Attributes:
        name: of the set.
        kind: domain or reference.
        partitions: its documents, in order.
    """

    name: str
    kind: str
    partitions: Sequence[Partition]

    @property
    def splits(self) -> tuple[str, ...]:
        """What its documents are for."""
        return ("train", "validation") if self.kind == "domain" else ("validation",)


@dataclass(frozen=True)
class Piece:
    """A partition to be tokenized.

    Attributes:
        of: the set, without its partitions.
        partition: the documents.
        share: of the set's documents that validate.
        held_before: bytes of validation text in the partitions before it, as far as they count.
        read_before: bytes of text in these, where that is bounded.
    """

    of: SetOfDocuments
    partition: Partition
    share: float
    held_before: int
    read_before: int


class TokenizedPart(Part):
    """What became of a partition: counts by split, what the tokenizer did not know, and the shards' files."""

    splits: dict[str, dict[str, int]]
    unknown: Unknown
    files: tuple[FileEntry, ...]


def pieces_of(job: TokenJob, documents: SetOfDocuments) -> list[Piece]:
    """The partitions of a set that are tokenized. Texts are measured as long as their bytes decide: until
    there is enough to validate on, or enough is read."""
    most, enough = job.max_domain_bytes, job.config.max_validation_bytes
    of, share = SetOfDocuments(documents.name, documents.kind, ()), 1.0
    if documents.kind == "domain":
        share = _share(documents.partitions, job.config.validation_share, job.seed)
    found: list[Piece] = []
    held = read = 0
    for partition in documents.partitions:
        if most is not None and read >= most:
            break
        found.append(Piece(of, partition, share, held, read))
        if held < enough or most is not None:
            for batch in partition.batches(["id", "text"], BATCH_DOCUMENTS):
                sizes = _sizes(batch)
                read += int(sizes.sum())
                held += int(sizes[_validating(batch, share, job.seed)].sum())
    return found


def _validating(batch: pa.RecordBatch, share: float, seed: int) -> np.ndarray:
    """[documents] bool: which may validate, if they are not too many."""
    return np.ones(len(batch), bool) if share == 1 else validation_mask(batch["id"], share, seed)


def tokenize_piece(job: TokenJob, piece: Piece) -> TokenizedPart:
    """Write the shards of a partition, unless a killed run has."""
    record = f"tokenized/{piece.of.kind}-{piece.of.name}/{piece.partition.number}.json"
    try:
        found = TokenizedPart.model_validate_json(job.shared.read(record))
    except KeyError:
        found = _written(job, piece, record)
    for file in found.files:
        sealed = SealedFile(job.shared, file.path, file.bytes, file.sha256, job.output.key)
        job.output.adopt(sealed, file.path, rows=file.rows)
    return found


def _written(job: TokenJob, piece: Piece, record: str) -> TokenizedPart:
    with tempfile.TemporaryDirectory(dir=job.shared.passing()) as made:
        output = Output.at(Path(made))
        writers = {
            split: ShardWriter(
                output.folder,
                piece.of.name,
                split,
                number=piece.partition.number,
                dtype=job.dtype,
                end_of_text=job.end_of_text,
            )
            for split in piece.of.splits
        }
        try:
            unknown = _write_piece(job, piece, writers)
        finally:
            counts = {split: writer.close() for split, writer in writers.items()}
        files = output.described()
        for file in files:
            job.shared.put(output.folder / file.path, file.path)
        found = TokenizedPart(splits=counts, unknown=unknown, files=files)
        path = output.folder / "record.json"
        path.write_text(found.model_dump_json(), encoding="utf-8")
        job.shared.put(path, record)
    return found


def _write_piece(job: TokenJob, piece: Piece, writers: dict[str, ShardWriter]) -> Unknown:
    """Send each document to its split; validation documents past the bound train, or are left out of a
    reference."""
    tokenizer, encoder = encoder_of(job)
    unknown = Unknown(job.unknown)
    for batch, sizes, chosen in documents_of(job, piece):
        encoded = encoder.encode(batch["text"])
        unknown.look(tokenizer, batch["text"], encoded)
        for split, mask in (("validation", chosen), ("train", ~chosen)):
            if split in writers:
                writers[split].write(encoded, int(sizes[mask].sum()), np.flatnonzero(mask))
    return unknown


def documents_of(job: TokenJob, piece: Piece) -> Iterator[tuple[pa.RecordBatch, np.ndarray, np.ndarray]]:
    """Documents of a partition in batches, with [documents] bytes of text and whether each validates."""
    held = piece.held_before
    for batch in _within(job, piece):
        sizes = _sizes(batch)
        chosen = _validating(batch, piece.share, job.seed)
        after = held + np.cumsum(np.where(chosen, sizes, 0))
        before = np.concatenate([[held], after[:-1]])
        held = int(after[-1]) if len(after) else held
        chosen &= before < job.config.max_validation_bytes
        yield batch, sizes, chosen


def _within(job: TokenJob, piece: Piece) -> Iterator[pa.RecordBatch]:
    """The documents, as long as less than the set's bound is read."""
    read = piece.read_before
    for batch in piece.partition.batches(["id", "text"], BATCH_DOCUMENTS):
        if job.max_domain_bytes is not None and read >= job.max_domain_bytes:
            return
        read += int(_sizes(batch).sum())
        yield batch


def encoder_of(job: TokenJob) -> tuple[Any, Encoder]:
    """The tokenizer, and an encoder that this thread alone uses; it keeps its table from partition to
    partition."""
    content = job.shared.read(job.tokenizer)
    if getattr(_mine, "content", None) != content:
        tokenizer = tokenizer_of(content)
        _mine.content, _mine.pair = content, (tokenizer, Encoder(tokenizer))
    pair: tuple[Any, Encoder] = _mine.pair
    return pair


@lru_cache(2)
def tokenizer_of(content: bytes) -> Any:
    """The tokenizer that a ``tokenizer.json`` holds, to which text that spells a special token is text."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_buffer(content)
    tokenizer.encode_special_tokens = True
    return tokenizer


def _share(partitions: Sequence[Partition], share: float, seed: int) -> float:
    """The config's share, or more where it would leave a domain of several documents without one to validate
    on."""
    smallest, documents = 1.0, 0
    for partition in partitions:
        ids = partition.read(["id"])["id"]
        smallest, documents = min(smallest, smallest_share(ids, seed)), documents + len(ids)
        if smallest < share:
            return share
    return max(share, smallest) if documents > 1 and share > 0 else share


def _sizes(batch: pa.RecordBatch) -> np.ndarray:
    """[documents] bytes of text."""
    found: np.ndarray = pc.binary_length(batch["text"]).to_numpy(zero_copy_only=False).astype(np.int64)
    return found
