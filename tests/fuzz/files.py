"""Whole files of every format and compression, of texts that are known."""

import bz2
import csv
import gzip
import io
import json
import lzma
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

RECORDS = 24
MEMBERS = 4


@dataclass(frozen=True)
class Whole:
    """A file before it is damaged.

    Attributes:
        name: its ending says its format.
        content: its bytes.
        texts: what is in it.
        ends: offsets at which it can be cut without a trace, as a record or a member ends there.
        checked: whether checksums or lengths make each damage known, so that no other text can come out.
    """

    name: str
    content: bytes
    texts: tuple[str, ...]
    ends: frozenset[int]
    checked: bool = False


def texts(length: int) -> tuple[str, ...]:
    """Texts of some length that tell their own number, with quotes, line breaks and several scripts."""
    filling = 'A line, "quoted" and;\nbroken\tat places — naïve 文字 текст 🙂 ' * (1 + length // 50)
    return tuple(f"<{i}> {filling[: length + i]} </{i}>" for i in range(RECORDS))


def _ends(parts: list[bytes], offset: int = 0) -> frozenset[int]:
    found = {offset}
    for part in parts:
        offset += len(part)
        found |= {offset, offset - 1} if part.endswith(b"\n") else {offset}
    return frozenset(found)


def _jsonl(rows: tuple[str, ...]) -> list[bytes]:
    return [json.dumps({"id": i, "text": t}, ensure_ascii=False).encode() + b"\n" for i, t in enumerate(rows)]


def _csv(rows: tuple[str, ...]) -> list[bytes]:
    parts = []
    for row in [("id", "text"), *enumerate(rows)]:
        written = io.StringIO(newline="")
        csv.writer(written).writerow(row)
        parts.append(written.getvalue().encode())
    return parts


def _page(text: str, number: int) -> bytes:
    paragraph = text.replace("<", "(").replace(">", ")").replace("\n", " ").replace("\t", " ")
    body = f"<html><body><main><p>{paragraph}</p></main></body></html>".encode()
    content = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + body
    head = f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Record-ID: <urn:uuid:{number}>\r\n"
    head += (
        f"WARC-Target-URI: http://a.example/{number}\r\nContent-Type: application/http; msgtype=response\r\n"
    )
    return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content + b"\r\n\r\n"


def _members(parts: list[bytes], compress: Callable[[bytes], bytes], a_part: bool) -> list[bytes]:
    if a_part:
        return [compress(part) for part in parts]
    step = -(-len(parts) // MEMBERS)
    return [compress(b"".join(parts[i : i + step])) for i in range(0, len(parts), step)]


COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": partial(gzip.compress, mtime=0),
    ".zst": zstandard.ZstdCompressor(write_checksum=True).compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
}


def _parquet(rows: tuple[str, ...]) -> bytes:
    sink = io.BytesIO()
    table = pa.table({"id": list(range(len(rows))), "text": list(rows), "other": [[1, 2]] * len(rows)})
    pq.write_table(table, sink, row_group_size=7, compression="zstd", write_page_checksum=True)
    return sink.getvalue()


def _arrow(rows: tuple[str, ...], *, stream: bool) -> bytes:
    sink = io.BytesIO()
    schema = pa.schema([("id", pa.int64()), ("text", pa.string())])
    with (pa.ipc.new_stream if stream else pa.ipc.new_file)(sink, schema) as writer:
        for i in range(0, len(rows), 7):
            part = rows[i : i + 7]
            writer.write_batch(pa.record_batch([list(range(i, i + len(part))), list(part)], schema=schema))
    return sink.getvalue()


@cache
def whole_files(length: int) -> tuple[Whole, ...]:
    """A file of each kind.

    Args:
        length: characters of a text.
    """
    rows = texts(length)
    plain = {"jsonl": _jsonl(rows), "csv": _csv(rows), "warc": [_page(t, i) for i, t in enumerate(rows)]}
    found = []
    for name, parts in plain.items():
        content = b"".join(parts)
        kept = rows if name != "warc" else ()
        found.append(Whole(f"plain.{name}", content, kept, _ends(parts)))
        for ending, compress in COMPRESSIONS.items():
            members = _members(parts, compress, a_part=name == "warc")
            whole = b"".join(members)
            found.append(Whole(f"packed.{name}{ending}", whole, kept, _ends(members), checked=True))
    array = json.dumps([{"id": i, "text": t} for i, t in enumerate(rows)], indent=1).encode()
    found.append(Whole("array.json", array, rows, frozenset({0})))
    wide = b"".join(plain["jsonl"]).decode().encode("utf-16")
    found.append(Whole("wide.jsonl", wide, rows, frozenset(range(0, len(wide)))))
    found.append(Whole("table.parquet", _parquet(rows), rows, frozenset()))
    found.append(Whole("file.arrow", _arrow(rows, stream=False), rows, frozenset()))
    found.append(Whole("stream.arrow", _arrow(rows, stream=True), rows, frozenset()))
    book = "\n".join(rows)
    found.append(Whole("book.txt", book.encode(), (book,), frozenset(range(len(book.encode()) + 1))))
    packed = gzip.compress(book.encode(), mtime=0)
    found.append(Whole("book.txt.gz", packed, (book,), frozenset({0}), checked=True))
    return tuple(found)
