"""Arrow IPC: files, whose batches can be read each by itself, and streams, which are read from front to back.

Only columns that the source names are read of a file. Damage costs the batch that it lies in, and the rows
that follow keep their places.
"""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from mashbill.config import Source
from mashbill.corpus.arrow_layout import MAGIC, BatchPlace, batch_places, rows_at
from mashbill.corpus.columnar import BATCH_ROWS, ERRORS, named_columns, records_at
from mashbill.corpus.pieces import Span
from mashbill.corpus.records import Records, nothing, unreadable

FIRST_BATCH = 8  # byte of a file whose end is missing
STREAM_END = b"\xff\xff\xff\xff\x00\x00\x00\x00"
AHEAD_BYTES = 8_000_000  # of a file in a store, by one request


def read_arrow(path: Path, source: Source) -> Iterator[Records]:
    """Read an Arrow IPC file or stream; of a file whose end is missing, what is there."""
    size = path.stat().st_size
    if not size:
        yield nothing(unreadable("is empty", 0))
        return
    row = 0
    try:
        with pa.memory_map(str(path)) as file:
            reader, problem = _reader(file)
            if isinstance(reader, pa.ipc.RecordBatchFileReader):
                with path.open("rb") as opened:
                    yield from _batches(file, opened, source)
                return
            wanted = named_columns(reader.schema.names, source)
            if isinstance(wanted, str):
                yield nothing(unreadable(wanted, size))
                return
            for batch in reader:
                _check(batch)
                yield from _slices(batch, row, source)
                row += len(batch)
            if problem:
                yield nothing(unreadable(problem, 0, cut=True))
            elif file.tell() < size:
                yield nothing(unreadable(f"from row {row}: its end comes too early", size - file.tell()))
    except ERRORS as error:
        yield nothing(unreadable(f"from row {row}: {error}", 0 if row else size, cut=bool(row)))


def read_batches(
    given: Path | IO[bytes], opened: IO[bytes], source: Source, *, span: Span
) -> Iterator[Records]:
    """Read the batches of an IPC file that begin in a span; what is wrong with the file as a whole is told
    with the first.

    Args:
        given: the file, as a path where it has one; opened: the same, to look at its bytes.
        source: whose columns are read.
        span: some of its bytes, and the row that the first batch in them begins with.
    """
    size = (span.end or span.size) - span.start
    try:
        with _readable(given, min(size, AHEAD_BYTES)) as file:
            yield from _batches(file, opened, source, span=span)
    except ERRORS as error:
        yield nothing(unreadable(f"from row {span.row}: {error}", size))


def is_whole(opened: IO[bytes]) -> bool:
    """Whether a file is an Arrow IPC file that can be opened; a stream is none."""
    opened.seek(0)
    if opened.read(len(MAGIC)) != MAGIC:
        return False
    try:
        pa.ipc.open_file(pa.PythonFile(opened, mode="r"))
    except ERRORS:
        return False
    return True


def _batches(file: Any, opened: IO[bytes], source: Source, *, span: Span | None = None) -> Iterator[Records]:
    """Records of the batches of an IPC file, or of those that begin in a span.

    Args:
        file: the file, as pyarrow reads it; opened: the same, to look at its bytes.
    """
    reader, told = pa.ipc.open_file(file), span is None or span.start == 0
    wanted = named_columns(reader.schema.names, source)
    if isinstance(wanted, str):
        yield from [nothing(unreadable(wanted, file.size()))] if told else []
        return
    if source.text_field in wanted:
        columns = [reader.schema.get_field_index(name) for name in wanted]
        reader = pa.ipc.open_file(file, options=pa.ipc.IpcReadOptions(included_fields=columns))
    places, row = _places(opened, reader), 0 if span is None else span.row
    for i in range(reader.num_record_batches):
        if span is not None and not (places and span.has(places[i].start)):
            continue
        try:
            batch = reader.get_batch(i)
            _check(batch)
        except ERRORS as error:
            rows = rows_at(opened, places[i]) if places else 0
            lost = places[i].head + places[i].body if places else file.size() // reader.num_record_batches
            yield nothing(unreadable(f"batch {i} cannot be read ({error})", lost, records=rows))
            row += rows
        else:
            yield from _slices(batch, row, source)
            row += len(batch)


def _readable(given: Path | IO[bytes], ahead: int) -> Any:
    """A file as pyarrow reads it: mapped, or so many bytes ahead."""
    if isinstance(given, Path):
        return pa.memory_map(str(given))
    return pa.PythonFile(io.BufferedReader(given, ahead), mode="r")  # type: ignore[type-var]


def _places(opened: IO[bytes], reader: Any) -> Sequence[BatchPlace]:
    """Where the batches are; none where that cannot be told."""
    try:
        places = batch_places(opened)
    except ValueError:
        return ()
    return places if len(places) == reader.num_record_batches else ()


def _reader(file: Any) -> tuple[Any, str]:
    """A reader, and what is wrong with the file all the same."""
    begins = file.read(len(MAGIC))
    file.seek(0)
    if begins != MAGIC:
        file.seek(file.size() - min(file.size(), len(STREAM_END)))
        ends = file.read(len(STREAM_END))
        file.seek(0)
        return pa.ipc.open_stream(file), "" if ends == STREAM_END else "ends without a mark that it is whole"
    try:
        return pa.ipc.open_file(file), ""
    except ERRORS as error:
        file.seek(FIRST_BATCH)
        return pa.ipc.open_stream(file), f"its end is missing ({error})"


def _check(batch: pa.RecordBatch) -> None:
    """Refuse offsets that lead out of a column's bytes; that text is UTF-8 is looked at later."""
    for column in batch.columns:
        view = column
        if pa.types.is_string(column.type):
            view = column.view(pa.binary())
        elif pa.types.is_large_string(column.type):
            view = column.view(pa.large_binary())
        view.validate(full=True)


def _slices(batch: pa.RecordBatch, row: int, source: Source) -> Iterator[Records]:
    for start in range(0, len(batch), BATCH_ROWS):
        yield records_at(batch.slice(start, BATCH_ROWS), row + start, source)
