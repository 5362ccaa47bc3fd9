"""Reading a file of any format into batches of records; what is no document is set aside with a reason."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from mashbill.config import Source
from mashbill.corpus.columnar import read_arrow, read_csv, read_datasets, read_hub, read_parquet
from mashbill.corpus.jsonl import read_jsonl
from mashbill.corpus.records import SCHEMA, Records, Rejected, excerpt, nothing, with_rows
from mashbill.corpus.sources import file_format
from mashbill.corpus.web import read_web_archive

Batch = tuple[pa.RecordBatch, list[Rejected]]
READERS: dict[str, Callable[[Path, Source], Iterator[Records]]] = {
    "jsonl": read_jsonl,
    "parquet": read_parquet,
    "arrow": read_arrow,
    "csv": read_csv,
    "warc": read_web_archive,
    "datasets": read_datasets,
    "hub": read_hub,
}


def read_source_file(path: Path, source: Source) -> Iterator[Batch]:
    """Read a file in batches of documents and rejected records; ids may be null.

    Args:
        path: the file, or a datasets folder.
        source: its format and fields.
    """
    kind = file_format(path, source)
    for table, rejected in (READERS[kind] if kind != "txt" else _read_txt)(path, source):
        yield _without_empty(_repaired(table) if source.repair_unicode else table, rejected)


def _read_txt(path: Path, source: Source) -> Iterator[Records]:
    """A text file is one document."""
    try:
        size = path.stat().st_size
        if size > source.max_record_bytes:
            yield nothing(Rejected(0, "too_large", f"{path.name}: {size:,} bytes"))
            return
        content = path.read_bytes()
        text = content.decode()
    except UnicodeDecodeError:
        yield nothing(Rejected(0, "invalid_utf8", excerpt(content)))
        return
    except OSError as error:
        yield nothing(Rejected(-1, "unreadable", f"{path.name}: {error}"))
        return
    yield (
        with_rows(
            pa.nulls(1, pa.string()),
            pa.array([text], pa.large_string()),
            pa.nulls(1, pa.string()),
            first_row=0,
        ),
        [],
    )


def _repaired(table: pa.Table) -> pa.Table:
    """Texts whose encoding was mistaken on the way, mended by ftfy; its rules are Python, so this is slow and
    off by default."""
    from ftfy import fix_text

    texts = pa.array(
        [None if text is None else fix_text(text) for text in table["text"].to_pylist()], pa.large_string()
    )
    return table.set_column(2, "text", texts)


def _without_empty(table: pa.Table, rejected: list[Rejected]) -> Batch:
    kept = pc.and_kleene(
        pc.is_valid(table["text"]), pc.greater(pc.utf8_length(pc.utf8_trim_whitespace(table["text"])), 0)
    )
    if not pc.all(kept).as_py() and len(table):
        refused = table.filter(pc.invert(pc.fill_null(kept, False)))
        reasons = ["missing_text" if text is None else "empty_text" for text in refused["text"].to_pylist()]
        rejected = rejected + [
            Rejected(int(row), reason, "")
            for row, reason in zip(refused["row"].to_pylist(), reasons, strict=True)
        ]
        table = table.filter(pc.fill_null(kept, False))
    return table.combine_chunks().to_batches()[0] if len(table) else pa.RecordBatch.from_pylist(
        [], SCHEMA
    ), rejected
