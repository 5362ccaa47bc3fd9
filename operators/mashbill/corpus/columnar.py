"""Sources that are tables already: parquet, Arrow IPC, csv, and Hugging Face datasets, from a folder or from
the hub."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mashbill.config import Source
from mashbill.corpus.records import (
    EXCERPT_CHARACTERS,
    SCHEMA,
    Records,
    Rejected,
    excerpt,
    metadata_json,
    nothing,
    with_rows,
)

BATCH_ROWS = 8_192


def read_parquet(path: Path, source: Source) -> Iterator[Records]:
    """Read a parquet file."""
    import pyarrow.parquet as pq

    def batches() -> Iterator[pa.RecordBatch]:
        yield from pq.ParquetFile(path).iter_batches(batch_size=BATCH_ROWS)

    return _guarded(batches(), path, source)


def read_arrow(path: Path, source: Source) -> Iterator[Records]:
    """Read an Arrow IPC file or stream."""

    def batches() -> Iterator[pa.RecordBatch]:
        with pa.memory_map(str(path)) as file:
            try:
                reader = pa.ipc.open_file(file)
            except pa.ArrowInvalid:
                file.seek(0)
                yield from pa.ipc.open_stream(file)
                return
            for i in range(reader.num_record_batches):
                yield reader.get_batch(i)

    return _guarded(batches(), path, source)


def read_csv(path: Path, source: Source) -> Iterator[Records]:
    """Read a csv file with a header; fields may hold newlines. Rows with another number of fields are
    rejected."""
    import pyarrow.csv as pcsv

    odd: list[Rejected] = []

    def note(row: Any) -> str:
        odd.append(
            Rejected(
                row.number if row.number is not None else -1,
                "malformed_csv",
                (row.text or "")[:EXCERPT_CHARACTERS],
            )
        )
        return "skip"

    def batches() -> Iterator[pa.RecordBatch]:
        names = [source.text_field, *([source.id_field] if source.id_field else []), *source.metadata_fields]
        convert = pcsv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
        )
        tabs = ".tsv" in path.name.lower()
        parse = pcsv.ParseOptions(
            delimiter="\t" if tabs else ",", newlines_in_values=True, invalid_row_handler=note
        )
        yield from pcsv.open_csv(
            path,
            parse_options=parse,
            convert_options=convert,
            read_options=pcsv.ReadOptions(use_threads=False),
        )

    for table, rejected in _guarded(batches(), path, source):
        yield table, [*odd, *rejected]
        odd.clear()
    if odd:
        yield nothing(*odd)


def read_datasets(path: Path, source: Source) -> Iterator[Records]:
    """Read a folder that ``save_to_disk`` wrote, all splits."""
    from datasets import DatasetDict, load_from_disk

    try:
        loaded = load_from_disk(str(path))
    except (OSError, ValueError, pa.ArrowException) as error:
        yield nothing(Rejected(-1, "unreadable", f"{path.name}: {error}"[:EXCERPT_CHARACTERS]))
        return
    splits = loaded.values() if isinstance(loaded, DatasetDict) else [loaded]
    yield from _guarded((b for split in splits for b in _dataset_batches(split)), path, source)


def read_hub(path: Path, source: Source) -> Iterator[Records]:
    """Read a dataset by its hub id (or a folder of files that ``load_dataset`` takes), streamed, one
    split."""
    from datasets import load_dataset

    streamed = load_dataset(source.path.removeprefix("hf://"), split=source.split, streaming=True)
    yield from _guarded(_dataset_batches(streamed), path, source)


def _dataset_batches(split: Any) -> Iterator[pa.RecordBatch]:
    for table in split.with_format("arrow").iter(batch_size=BATCH_ROWS):
        yield from table.to_batches()


def _guarded(batches: Iterator[pa.RecordBatch], path: Path, source: Source) -> Iterator[Records]:
    """Records of the batches, up to where the file cannot be read further."""
    row = 0
    try:
        for batch in batches:
            yield _from_columns(batch, row, source)
            row += len(batch)
    except (pa.ArrowException, OSError) as error:
        yield nothing(Rejected(-1, "unreadable", f"{path.name} from row {row}: {error}"[:EXCERPT_CHARACTERS]))


def _from_columns(batch: pa.RecordBatch, row: int, source: Source) -> Records:
    names = batch.schema.names
    if source.text_field not in names:
        found = f"columns: {', '.join(names)}"
        return SCHEMA.empty_table(), [Rejected(row + i, "missing_text", found) for i in range(len(batch))]
    ids = (
        batch[source.id_field].cast(pa.string())
        if source.id_field in names
        else pa.nulls(len(batch), pa.string())
    )
    metadata = metadata_json(
        [(name, batch[name]) for name in source.metadata_fields if name in names], len(batch)
    )
    try:
        texts = batch[source.text_field].cast(pa.large_string())
    except pa.ArrowInvalid:
        return _from_bytes(batch[source.text_field], ids, metadata, row=row)
    table, kept = with_rows(ids, texts, metadata, first_row=row), pc.is_valid(texts)
    missing = [
        Rejected(int(r), "missing_text", "null") for r in pc.filter(table["row"], pc.invert(kept)).to_pylist()
    ]
    return table.filter(kept), missing


def _from_bytes(values: pa.Array, ids: pa.Array, metadata: pa.Array, *, row: int) -> Records:
    """Values one by one, where some are no text."""
    good: list[int] = []
    texts: list[str] = []
    rejected: list[Rejected] = []
    for i, value in enumerate(values.to_pylist()):
        try:
            texts.append(value.decode() if isinstance(value, bytes) else str(value))
            good.append(i)
        except UnicodeDecodeError:
            rejected.append(Rejected(row + i, "invalid_utf8", excerpt(value)))
    places = pa.array(good, pa.int64())
    rows = pc.add(places, row)
    return pa.table(
        [rows, ids.take(places), pa.array(texts, pa.large_string()), metadata.take(places)], schema=SCHEMA
    ), rejected
