"""Reading a file of any format into batches of records; what is no document is set aside with a reason."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from mashbill.config import Source
from mashbill.corpus.arrow_files import read_arrow, read_batches
from mashbill.corpus.columnar import read_datasets, read_groups, read_hub, read_parquet
from mashbill.corpus.csv_reader import read_csv
from mashbill.corpus.foreign import LOOKED_AT, foreign_beginning, foreign_kind
from mashbill.corpus.jsonl import read_jsonl, read_lines
from mashbill.corpus.pieces import FilePart, Span
from mashbill.corpus.records import SCHEMA, Records, Rejected, nothing, refused, table_of, unreadable
from mashbill.corpus.sources import file_format
from mashbill.corpus.spans import line_blocks, opened_for_parts
from mashbill.corpus.streams import DamageError, PlainStream, mislabelled
from mashbill.corpus.web import read_web_archive


class Batch(NamedTuple):
    """Some records of a file.

    Attributes:
        documents: rows of (row, id, text, metadata); ids may be null.
        rejected: what is no document.
        found: of the fields that the source names, those that some record had.
        passed: kinds of records that are not meant to be documents, one for each.
    """

    documents: pa.RecordBatch
    rejected: list[Rejected]
    found: frozenset[str]
    passed: tuple[str, ...]


def read_source_file(path: Path, source: Source) -> Iterator[Batch]:
    """Read a file in batches of documents and rejected records.

    Args:
        path: the file, or a datasets folder.
        source: its format and fields.
    """
    kind = file_format(path, source)

    def records() -> Iterator[Records]:
        foreign = foreign_kind(path, packed=kind not in TABLES) if path.is_file() else ""
        if foreign:
            raise DamageError(f"is {foreign}")
        yield from READERS[kind](path, source)

    documents = 0
    problem = ""
    try:
        for batch in _batches(records(), source):
            documents += len(batch.documents)
            yield batch
    except (DamageError, OSError) as error:
        problem = str(error)
    problem = problem or ("" if documents else mislabelled(path))
    if problem:
        size = path.stat().st_size if path.is_file() else 0
        yield _without_empty(SCHEMA.empty_table(), nothing(unreadable(problem, size)))


def read_part(part: FilePart) -> Iterator[Batch]:
    """Read a file of a source, or the part of it that a span has."""
    if part.span is None:
        with part.file.opened() as path:
            yield from read_source_file(path, part.source)
        return
    try:
        with opened_for_parts(part.file) as file:
            yield from _batches(_read_span(part, file, part.span), part.source)
    except OSError as error:
        yield _without_empty(SCHEMA.empty_table(), nothing(unreadable(str(error), part.bytes)))


def _read_span(part: FilePart, file: IO[bytes], span: Span) -> Iterator[Records]:
    if part.kind == "jsonl":
        yield from read_lines(line_blocks(file, span), part.source, first_row=span.row)
        return
    given = part.file.path if part.file.storage is None else file
    if part.kind == "arrow":
        yield from read_batches(given, file, part.source, span=span)
        return
    foreign = foreign_beginning(file.read(LOOKED_AT), packed=False) if part.first else ""
    if foreign:
        yield nothing(unreadable(f"is {foreign}", span.size))
    else:
        yield from read_groups(given, file, part.source, span=span)


def _batches(records: Iterator[Records], source: Source) -> Iterator[Batch]:
    for some in records:
        table = _repaired(some.table) if source.repair_unicode else some.table
        yield _without_empty(table, some)


def _read_txt(path: Path, source: Source) -> Iterator[Records]:
    """A text file is one document."""
    content = []
    size = 0
    with PlainStream(path) as stream:
        for block in stream.blocks():
            size += len(block.content)
            if size > source.max_record_bytes:
                what = f"a file of over {source.max_record_bytes:,} bytes"
                yield nothing(Rejected(0, "too_large", what, stream.size))
                return
            content.append(block.content)
            if block.damage is not None:
                yield nothing(unreadable(block.damage.what, stream.size, cut=block.damage.cut))
                return
    whole = b"".join(content)
    try:
        text = whole.decode()
    except UnicodeDecodeError:
        yield nothing(refused(whole, 0, "invalid_utf8"))
        return
    yield Records(table_of([(0, None, text, None)]), [], frozenset({source.text_field}))


TABLES = ("parquet", "arrow")
"""Formats whose files are not compressed as a whole."""
READERS: dict[str, Callable[[Path, Source], Iterator[Records]]] = {
    "jsonl": read_jsonl,
    "parquet": read_parquet,
    "arrow": read_arrow,
    "csv": read_csv,
    "txt": _read_txt,
    "warc": read_web_archive,
    "datasets": read_datasets,
    "hub": read_hub,
}


def _repaired(table: pa.Table) -> pa.Table:
    """Texts whose encoding was mistaken on the way, mended by ftfy; its rules are Python, so this is slow and
    off by default."""
    from ftfy import fix_text

    texts = pa.array(
        [None if text is None else fix_text(text) for text in table["text"].to_pylist()], pa.large_string()
    )
    return table.set_column(2, "text", texts)


def _without_empty(table: pa.Table, records: Records) -> Batch:
    rejected = records.rejected
    kept = pc.and_kleene(
        pc.is_valid(table["text"]), pc.greater(pc.utf8_length(pc.utf8_trim_whitespace(table["text"])), 0)
    )
    if not pc.all(kept).as_py() and len(table):
        emptied = table.filter(pc.invert(pc.fill_null(kept, False)))
        reasons = ["missing_text" if text is None else "empty_text" for text in emptied["text"].to_pylist()]
        rejected = rejected + [
            Rejected(int(row), reason, "")
            for row, reason in zip(emptied["row"].to_pylist(), reasons, strict=True)
        ]
        table = table.filter(pc.fill_null(kept, False))
    empty = pa.RecordBatch.from_pylist([], SCHEMA)
    documents = table.combine_chunks().to_batches()[0] if len(table) else empty
    return Batch(documents, rejected, records.found, records.passed)
