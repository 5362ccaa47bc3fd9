"""JSON lines, plain or compressed. Blocks are parsed by compiled code; only a block that it refuses is read
again line by line, so that a bad record costs that record alone.
"""

import gzip
import io
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

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

BLOCK_BYTES = 16_000_000
PIECE_BYTES = 1_000_000


def read_jsonl(path: Path, source: Source) -> Iterator[Records]:
    """Read a file in blocks."""
    row, rest = 0, b""
    with open_plain(path) as file:
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
            if len(rest) > source.max_record_bytes:
                yield nothing(
                    Rejected(
                        row, "too_large", f"a line of over {source.max_record_bytes:,} bytes: {excerpt(rest)}"
                    )
                )
                rest, ended, problem = _skip_line(file)
                row += 1
            if problem is not None:
                yield nothing(
                    Rejected(-1, "unreadable", f"{path.name} from row {row}: {problem}"[:EXCERPT_CHARACTERS])
                )
            if ended:
                if rest and problem is None:
                    table, rejected, _ = _parse_block(rest, row, source)
                    yield table, rejected
                return


def open_plain(path: Path) -> IO[bytes]:
    """A file's bytes, decompressed by its ending."""
    if path.suffix == ".gz":
        return gzip.open(path, "rb")  # type: ignore[return-value]
    if path.suffix == ".zst":
        import zstandard

        return io.BufferedReader(
            zstandard.ZstdDecompressor().stream_reader(path.open("rb"), read_across_frames=True, closefd=True)
        )
    return path.open("rb")


def _read_block(file: IO[bytes]) -> tuple[bytes, Exception | None]:
    """Bytes up to a block's size, less only at the end or where the file cannot be read further, and why it
    cannot."""
    import zstandard

    pieces: list[bytes] = []
    size = 0
    try:
        while size < BLOCK_BYTES and (piece := file.read1(min(PIECE_BYTES, BLOCK_BYTES - size))):  # type: ignore[attr-defined]
            pieces.append(piece)
            size += len(piece)
    except (OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
        return b"".join(pieces), error
    return b"".join(pieces), None


def _skip_line(file: IO[bytes]) -> tuple[bytes, bool, Exception | None]:
    """Read on to the next line: its beginning, whether the file has ended, and why it cannot be read
    further."""
    while True:
        chunk, problem = _read_block(file)
        ended = len(chunk) < BLOCK_BYTES
        place = chunk.find(b"\n")
        if place >= 0 or ended or problem is not None:
            return (chunk[place + 1 :] if place >= 0 else b""), ended, problem


def _parse_block(block: bytes, first_row: int, source: Source) -> tuple[pa.Table, list[Rejected], int]:
    lines = block.count(b"\n") + (not block.endswith(b"\n"))
    try:
        block.decode()
        parsed = _parse_compiled(block, source)
    except (UnicodeDecodeError, pa.ArrowInvalid):
        return (*_parse_lines(block, first_row, source), lines)
    if len(parsed) != lines:
        return (*_parse_lines(block, first_row, source), lines)
    metadata = metadata_json([(name, parsed[name]) for name in source.metadata_fields], len(parsed))
    return with_rows(parsed["#id"], parsed[source.text_field], metadata, first_row=first_row), [], lines


def _parse_compiled(block: bytes, source: Source) -> pa.Table:
    """Parse a block whose every line is an object; the id may be text or a whole number."""
    import pyarrow.json as pj

    options = pj.ReadOptions(use_threads=False, block_size=len(block) + 1)
    kinds = [pa.string(), pa.int64()] if source.id_field else [None]
    for kind in kinds:
        fields = {source.text_field: pa.string()} | {name: pa.string() for name in source.metadata_fields}
        if source.id_field:
            fields.setdefault(source.id_field, kind)
        parse = pj.ParseOptions(
            explicit_schema=pa.schema(list(fields.items())), unexpected_field_behavior="ignore"
        )
        try:
            table = pj.read_json(pa.BufferReader(block), read_options=options, parse_options=parse)
        except pa.ArrowInvalid:
            if kind is kinds[-1]:
                raise
            continue
        ids = (
            table[source.id_field].cast(pa.string()) if source.id_field else pa.nulls(len(table), pa.string())
        )
        return table.append_column("#id", ids)
    raise AssertionError("unreachable: the last kind returns or raises")


def _parse_lines(block: bytes, first_row: int, source: Source) -> tuple[pa.Table, list[Rejected]]:
    columns: tuple[list[Any], ...] = ([], [], [], [])
    rejected: list[Rejected] = []
    for row, line in enumerate(block.split(b"\n"), first_row):
        if not line.strip():
            continue
        record, reason = _parse_line(line, source)
        if reason:
            rejected.append(Rejected(row, reason, excerpt(line)))
            continue
        identity = record.get(source.id_field) if source.id_field else None
        extra = {name: str(record[name]) for name in source.metadata_fields if record.get(name) is not None}
        metadata = json.dumps(extra, ensure_ascii=False)[1:-1] if extra else None
        values = (row, None if identity is None else str(identity), record[source.text_field], metadata)
        for column, value in zip(columns, values, strict=True):
            column.append(value)
    kinds = [field.type for field in SCHEMA]
    return pa.table(
        [pa.array(column, kind) for column, kind in zip(columns, kinds, strict=True)], schema=SCHEMA
    ), rejected


def _parse_line(line: bytes, source: Source) -> tuple[dict[str, Any], str]:
    """A record, or the reason why it is none."""
    if len(line) > source.max_record_bytes:
        return {}, "too_large"
    try:
        record = json.loads(line.decode())
        text = record.get(source.text_field) if isinstance(record, dict) else None
        if isinstance(text, str):
            text.encode()
    except UnicodeError:
        return {}, "invalid_utf8"
    except (ValueError, RecursionError):
        return {}, "malformed_json"
    return (record, "") if isinstance(text, str) else ({}, "missing_text")
