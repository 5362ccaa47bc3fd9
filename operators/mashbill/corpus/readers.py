"""Readers: a file as Arrow batches of (row, id, text), and what could not be read.

Blocks are parsed by compiled code; only a block that it refuses is read again line by line, so that a bad record costs
that record alone.
"""

import gzip
import io
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc

from mashbill.config import Source
from mashbill.corpus.sources import file_format

BLOCK_BYTES = 16_000_000
PIECE_BYTES = 1_000_000
EXCERPT_CHARACTERS = 200
SCHEMA = pa.schema([("row", pa.int64()), ("id", pa.string()), ("text", pa.large_string())])


@dataclass(frozen=True)
class Rejected:
    """A record that is no document.

    Attributes:
        row: its row in the file, from 0; -1 where the rest of the file cannot be read.
        reason: invalid_utf8, malformed_json, missing_text, empty_text, duplicate_id or unreadable.
        excerpt: its beginning.
    """

    row: int
    reason: str
    excerpt: str


Batch = tuple[pa.RecordBatch, list[Rejected]]


def read_source_file(path: Path, source: Source) -> Iterator[Batch]:
    """Read a file in batches of documents and rejected records; ids may be null.

    Args:
        path: the file, or a datasets folder.
        source: its format and fields.
    """
    readers = {"jsonl": _read_jsonl, "parquet": _read_parquet, "txt": _read_txt, "datasets": _read_datasets}
    for table, rejected in readers[file_format(path, source)](path, source):
        yield _without_empty(table, rejected)


def _read_jsonl(path: Path, source: Source) -> Iterator[tuple[pa.Table, list[Rejected]]]:
    row, rest = 0, b""
    with _open(path) as file:
        while True:
            chunk, problem = _read_block(file)
            block = rest + chunk
            ended = len(chunk) < BLOCK_BYTES
            cut = len(block) if ended and problem is None else block.rfind(b"\n") + 1
            block, rest = block[:cut], block[cut:]
            if block:
                table, rejected, lines = _parse_block(block, row, source)
                row += lines
                yield table, rejected
            if problem is not None:
                yield SCHEMA.empty_table(), [Rejected(-1, "unreadable", f"{path.name} from row {row}: {problem}"[:EXCERPT_CHARACTERS])]
            if ended:
                return


def _read_block(file: IO[bytes]) -> tuple[bytes, Exception | None]:
    """Bytes up to a block's size, less only at the end or where the file cannot be read further, and why it cannot."""
    pieces: list[bytes] = []
    size = 0
    try:
        while size < BLOCK_BYTES and (piece := file.read1(min(PIECE_BYTES, BLOCK_BYTES - size))):  # type: ignore[attr-defined]
            pieces.append(piece)
            size += len(piece)
    except (OSError, EOFError, zlib.error, _zstd_error()) as error:
        return b"".join(pieces), error
    return b"".join(pieces), None


def _parse_block(block: bytes, first_row: int, source: Source) -> tuple[pa.Table, list[Rejected], int]:
    lines = block.count(b"\n") + (not block.endswith(b"\n"))
    try:
        block.decode()
        parsed = _parse_compiled(block, source)
    except (UnicodeDecodeError, pa.ArrowInvalid):
        return (*_parse_lines(block, first_row, source), lines)
    if len(parsed) != lines:
        return (*_parse_lines(block, first_row, source), lines)
    return _with_rows(parsed["id"], parsed["text"], first_row), [], lines


def _parse_compiled(block: bytes, source: Source) -> pa.Table:
    """Parse a block whose every line is an object; the id may be text or a whole number."""
    import pyarrow.json as pj

    options = pj.ReadOptions(use_threads=False, block_size=len(block) + 1)
    kinds = [pa.string(), pa.int64()] if source.id_field else [None]
    for kind in kinds:
        fields = [pa.field(source.text_field, pa.string())]
        if kind is not None and source.id_field != source.text_field:
            fields.append(pa.field(source.id_field, kind))
        parse = pj.ParseOptions(explicit_schema=pa.schema(fields), unexpected_field_behavior="ignore")
        try:
            table = pj.read_json(pa.BufferReader(block), read_options=options, parse_options=parse)
        except pa.ArrowInvalid:
            if kind is kinds[-1]:
                raise
            continue
        ids = table[source.id_field].cast(pa.string()) if source.id_field else pa.nulls(len(table), pa.string())
        return pa.table({"id": ids, "text": table[source.text_field].cast(pa.large_string())})
    raise AssertionError("unreachable: the last kind returns or raises")


def _parse_lines(block: bytes, first_row: int, source: Source) -> tuple[pa.Table, list[Rejected]]:
    rows: list[int] = []
    ids: list[str | None] = []
    texts: list[str] = []
    rejected: list[Rejected] = []
    for row, line in enumerate(block.splitlines() if b"\r" not in block else block.split(b"\n"), first_row):
        if not line.strip():
            continue
        try:
            record = json.loads(line.decode())
            text = record.get(source.text_field) if isinstance(record, dict) else None
            if isinstance(text, str):
                text.encode()
        except UnicodeError:
            rejected.append(Rejected(row, "invalid_utf8", _excerpt(line)))
            continue
        except (ValueError, RecursionError):
            rejected.append(Rejected(row, "malformed_json", _excerpt(line)))
            continue
        if not isinstance(text, str):
            rejected.append(Rejected(row, "missing_text", _excerpt(line)))
            continue
        identity = record.get(source.id_field) if source.id_field else None
        rows.append(row)
        ids.append(None if identity is None else str(identity))
        texts.append(text)
    return pa.table([pa.array(rows, pa.int64()), pa.array(ids, pa.string()), pa.array(texts, pa.large_string())], schema=SCHEMA), rejected


def _read_parquet(path: Path, source: Source) -> Iterator[tuple[pa.Table, list[Rejected]]]:
    import pyarrow.parquet as pq

    row = 0
    try:
        file = pq.ParquetFile(path)
        for batch in file.iter_batches(batch_size=8_192):
            yield _from_columns(batch, row, source)
            row += len(batch)
    except (pa.ArrowException, OSError) as error:
        yield SCHEMA.empty_table(), [Rejected(-1, "unreadable", f"{path.name} from row {row}: {error}"[:EXCERPT_CHARACTERS])]


def _read_datasets(path: Path, source: Source) -> Iterator[tuple[pa.Table, list[Rejected]]]:
    from datasets import DatasetDict, load_from_disk

    try:
        loaded = load_from_disk(str(path))
    except (OSError, ValueError, pa.ArrowException) as error:
        yield SCHEMA.empty_table(), [Rejected(-1, "unreadable", f"{path.name}: {error}"[:EXCERPT_CHARACTERS])]
        return
    row = 0
    for split in loaded.values() if isinstance(loaded, DatasetDict) else [loaded]:
        for table in split.with_format("arrow").iter(batch_size=8_192):
            for batch in table.to_batches():
                yield _from_columns(batch, row, source)
                row += len(batch)


def _from_columns(batch: pa.RecordBatch, row: int, source: Source) -> tuple[pa.Table, list[Rejected]]:
    names = batch.schema.names
    if source.text_field not in names:
        excerpt = f"columns: {', '.join(names)}"
        return SCHEMA.empty_table(), [Rejected(row + i, "missing_text", excerpt) for i in range(len(batch))]
    try:
        texts = batch[source.text_field].cast(pa.large_string())
    except pa.ArrowInvalid:
        return _from_bytes(batch, row, source)
    ids = batch[source.id_field].cast(pa.string()) if source.id_field in names else pa.nulls(len(batch), pa.string())
    table, kept = _with_rows(ids, texts, row), pc.is_valid(texts)
    missing = [Rejected(int(r), "missing_text", "null") for r in pc.filter(table["row"], pc.invert(kept)).to_pylist()]
    return table.filter(kept), missing


def _from_bytes(batch: pa.RecordBatch, row: int, source: Source) -> tuple[pa.Table, list[Rejected]]:
    """Values one by one, where some are no text."""
    good: list[tuple[int, Any, str]] = []
    rejected: list[Rejected] = []
    ids = batch[source.id_field].to_pylist() if source.id_field in batch.schema.names else [None] * len(batch)
    for i, value in enumerate(batch[source.text_field].to_pylist()):
        try:
            good.append((row + i, ids[i], value.decode() if isinstance(value, bytes) else str(value)))
        except UnicodeDecodeError:
            rejected.append(Rejected(row + i, "invalid_utf8", _excerpt(value)))
    columns = list(zip(*good, strict=True)) or [(), (), ()]
    named = [None if identity is None else str(identity) for identity in columns[1]]
    return pa.table(
        [pa.array(columns[0], pa.int64()), pa.array(named, pa.string()), pa.array(columns[2], pa.large_string())], schema=SCHEMA
    ), rejected


def _read_txt(path: Path, source: Source) -> Iterator[tuple[pa.Table, list[Rejected]]]:
    """A text file is one document, named by its path."""
    del source
    content = path.read_bytes()
    try:
        text = content.decode()
    except UnicodeDecodeError:
        yield SCHEMA.empty_table(), [Rejected(0, "invalid_utf8", _excerpt(content))]
        return
    yield _with_rows(pa.array([path.name], pa.string()), pa.array([text], pa.large_string()), 0), []


def _with_rows(ids: Any, texts: Any, first_row: int) -> pa.Table:
    return pa.table([pa.array(range(first_row, first_row + len(texts)), pa.int64()), ids, texts], schema=SCHEMA)


def _without_empty(table: pa.Table, rejected: list[Rejected]) -> Batch:
    kept = pc.and_kleene(pc.is_valid(table["text"]), pc.greater(pc.utf8_length(pc.utf8_trim_whitespace(table["text"])), 0))
    if not pc.all(kept).as_py() and len(table):
        refused = table.filter(pc.invert(pc.fill_null(kept, False)))
        reasons = ["missing_text" if text is None else "empty_text" for text in refused["text"].to_pylist()]
        rejected = rejected + [Rejected(int(row), reason, "") for row, reason in zip(refused["row"].to_pylist(), reasons, strict=True)]
        table = table.filter(pc.fill_null(kept, False))
    return table.combine_chunks().to_batches()[0] if len(table) else pa.RecordBatch.from_pylist([], SCHEMA), rejected


def _open(path: Path) -> IO[bytes]:
    if path.suffix == ".gz":
        return gzip.open(path, "rb")  # type: ignore[return-value]
    if path.suffix == ".zst":
        import zstandard

        return io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(path.open("rb"), read_across_frames=True))
    return path.open("rb")


def _zstd_error() -> type[Exception]:
    import zstandard

    return zstandard.ZstdError


def _excerpt(line: bytes) -> str:
    return line[:EXCERPT_CHARACTERS].decode("utf-8", "replace")
