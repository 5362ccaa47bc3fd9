"""Sources that are tables already: parquet, and Hugging Face datasets, from a folder or from the hub.

Only columns that the source names are read. Damage costs the group of rows, or the batch, that it lies in.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from mashbill.config import Source
from mashbill.corpus.columns import records_of
from mashbill.corpus.pieces import Span
from mashbill.corpus.records import Records, nothing, unreadable, without_text

BATCH_ROWS, BATCH_BYTES = 8_192, 16_000_000  # at a time, whichever is less
LARGE_BYTES = 100_000_000
"""Of a group of rows that is streamed: its columns, as they are stored, are not held in memory whole."""
STREAM_BYTES = 8_000_000  # of a column, asked for at once
ERRORS = (pa.ArrowException, OSError, ValueError, TypeError, LookupError, OverflowError, NotImplementedError)
"""What libraries raise on damaged files."""
PARQUET_END = b"....PAR1"  # bytes of the footer, and the format's mark


def read_parquet(path: Path, source: Source) -> Iterator[Records]:
    """Read a parquet file, one group of rows after another."""
    with path.open("rb") as opened:
        yield from read_groups(path, opened, source)


def read_groups(
    given: Path | IO[bytes], opened: IO[bytes], source: Source, *, span: Span | None = None
) -> Iterator[Records]:
    """Read groups of rows of a parquet file.

    Args:
        given: the file, as a path where it has one; opened: the same, to look at its bytes.
        source: whose columns are read.
        span: of whose bytes the groups are those that begin in it, were each as long as its share of the
            rows' bytes; what is wrong with the file as a whole is told with the first.
    """
    size = opened.seek(0, os.SEEK_END)
    told = span is None or span.start == 0
    try:
        file = _opened(given)
        wanted = named_columns(file.schema_arrow.names, source)
    except ERRORS as error:
        if told:
            yield nothing(unreadable(f"is no whole parquet file ({error})" if size else "is empty", size))
        return
    with file:
        if isinstance(wanted, str):
            if told:
                yield nothing(unreadable(wanted, size, records=file.metadata.num_rows))
            return
        if source.text_field not in wanted:
            if told:
                yield without_text(file.metadata.num_rows, 0, file.schema_arrow.names)
            return
        encrypted = _is_encrypted(opened, file.metadata.serialized_size)
        for group, first in _groups(file.metadata, span):
            large = file.metadata.row_group(group).total_byte_size > LARGE_BYTES
            one = _opened(given, file.metadata) if large else file
            yield from _row_group(one, group, wanted, first_row=first, encrypted=encrypted, source=source)


def _opened(given: Path | IO[bytes], known: Any = None) -> Any:
    """A parquet file; where what it says of itself is known already, one that streams columns."""
    import pyarrow.parquet as pq

    ahead = known is None and not isinstance(given, Path)
    buffer = 0 if known is None else STREAM_BYTES
    ways = {"page_checksum_verification": True, "pre_buffer": ahead, "buffer_size": buffer}
    return pq.ParquetFile(given, metadata=known, **ways)


def _groups(metadata: Any, span: Span | None) -> Iterator[tuple[int, int]]:
    """Groups of rows that are a span's, and the row that each begins with."""
    sizes = [metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups)]
    whole, before, row = max(1, sum(sizes)), 0, 0
    for group, size in enumerate(sizes):
        if span is None or span.has(span.size * before // whole):
            yield group, row
        before += size
        row += metadata.row_group(group).num_rows


def _row_group(
    file: Any, group: int, wanted: list[str], *, first_row: int, encrypted: bool, source: Source
) -> Iterator[Records]:
    about = file.metadata.row_group(group)
    row = first_row
    rows = max(1, min(BATCH_ROWS, BATCH_BYTES * about.num_rows // max(1, about.total_byte_size)))
    try:
        for batch in file.iter_batches(rows, row_groups=[group], columns=wanted, use_threads=False):
            yield records_at(batch, row, source)
            row += len(batch)
    except ERRORS as error:
        left = about.num_rows - (row - first_row)
        stored = about.total_byte_size
        if not encrypted:  # of a column that is, the library ends the process where its size is asked
            stored = sum(about.column(i).total_compressed_size for i in range(about.num_columns))
        what = f"group {group} of its rows cannot be read ({error})"
        yield nothing(unreadable(what, stored * left // max(1, about.num_rows), records=left))


def _is_encrypted(file: IO[bytes], footer_bytes: int) -> bool:
    """Whether columns of a parquet file are encrypted under a plain footer: a signature follows that."""
    file.seek(-len(PARQUET_END), os.SEEK_END)
    stored = int.from_bytes(file.read(4), "little")
    return stored != footer_bytes


def read_datasets(path: Path, source: Source) -> Iterator[Records]:
    """Read a folder that ``save_to_disk`` wrote, all splits."""
    from datasets import DatasetDict, load_from_disk

    try:
        loaded = load_from_disk(str(path))
    except ERRORS as error:
        yield nothing(unreadable(f"is no whole dataset ({error})", _size(path)))
        return
    splits = loaded.values() if isinstance(loaded, DatasetDict) else [loaded]
    batches = (batch for split in splits for batch in _dataset_batches(split))
    yield from _guarded(batches, _size(path), source)


def read_hub(path: Path, source: Source) -> Iterator[Records]:
    """Read a dataset by its hub id (or a folder of files that ``load_dataset`` takes), streamed, one
    split."""
    from datasets import load_dataset

    try:
        streamed = load_dataset(source.path.removeprefix("hf://"), split=source.split, streaming=True)
    except ERRORS as error:
        yield nothing(unreadable(f"cannot be loaded ({error})", 0))
        return
    yield from _guarded(_dataset_batches(streamed), 0, source)


def _dataset_batches(split: Any) -> Iterator[pa.RecordBatch]:
    for table in split.with_format("arrow").iter(batch_size=BATCH_ROWS):
        yield from table.to_batches()


def _guarded(batches: Iterator[pa.RecordBatch], size: int, source: Source) -> Iterator[Records]:
    """Records of the batches, up to where they cannot be read further."""
    row = 0
    try:
        for batch in batches:
            wanted = named_columns(batch.schema.names, source)
            if isinstance(wanted, str):
                yield nothing(unreadable(wanted, size))
                return
            yield records_at(batch, row, source)
            row += len(batch)
    except ERRORS as error:
        yield nothing(unreadable(f"from row {row}: {error}", 0 if row else size, cut=bool(row)))


def named_columns(names: Sequence[str], source: Source) -> list[str] | str:
    """Of the columns that the source names those that are there, or which of them is there twice."""
    named = [source.text_field, *([source.id_field] if source.id_field else []), *source.metadata_fields]
    wanted = [name for name in dict.fromkeys(named) if name in names]
    twice = [name for name in wanted if list(names).count(name) > 1]
    return f"has the column {twice[0]} twice" if twice else wanted


def records_at(batch: pa.RecordBatch, row: int, source: Source) -> Records:
    """Records of a batch whose first row has that place in the file."""
    if source.text_field not in batch.schema.names:
        return without_text(len(batch), row, batch.schema.names)
    return records_of(batch, pa.array(range(row, row + len(batch)), pa.int64()), source)


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
