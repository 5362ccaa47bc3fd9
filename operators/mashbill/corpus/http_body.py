"""What a server sent, without the encodings of its transfer and its content; where these are not what the
header says, as well as can be done."""

import re
import zlib
from typing import Any

import zstandard

CHUNK = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?\r?\n")
GZIP = b"\x1f\x8b\x08"
ENCODED = frozenset({"gzip", "x-gzip", "deflate", "br", "zstd", "compress", "x-compress"})


def body_of(whole: bytes) -> tuple[Any, bytes]:
    """A record with its HTTP header parsed, and the body decoded.

    Args:
        whole: a WARC record.
    Raises:
        ValueError: the body is in an encoding that cannot be undone.
        OSError: it is no record.
    """
    from fastwarc.warc import WarcRecord

    record = WarcRecord.from_bytes(whole)
    record.parse_http(auto_decode="none", quirks_mode=True)
    headers = record.http_headers
    body = record.reader.read()
    transfer = [] if headers is None else _tokens(headers, "transfer-encoding")
    content = [] if headers is None else _tokens(headers, "content-encoding")
    if not transfer and not content:
        return record, body
    try:
        again = WarcRecord.from_bytes(whole)
        again.parse_http(auto_decode="all", quirks_mode=True)
        return again, again.reader.read()
    except (OSError, ValueError):
        return record, _leniently(body, transfer, content)


def unpacked(body: bytes) -> bytes:
    """What was packed with gzip once more than the header says."""
    while body.startswith(GZIP):
        body = _undone(body, "gzip")
    return body


def _leniently(body: bytes, transfer: list[str], content: list[str]) -> bytes:
    """Undo what can be undone; a body that is not encoded as it says stays as it is."""
    if "chunked" in transfer:
        body = _unchunked(body)
    for encoding in reversed([*content, *(name for name in transfer if name != "chunked")]):
        body = _undone(body, encoding)
    return body


def _unchunked(body: bytes) -> bytes:
    """The body without the sizes of its chunks, up to where it is cut; as it is, where it has none."""
    at = 0
    parts: list[bytes] = []
    while found := CHUNK.match(body, at):
        size = int(found[1], 16)
        if not size:
            return b"".join(parts)
        parts.append(body[found.end() : found.end() + size])
        at = found.end() + size
        at += 2 if body[at : at + 2] == b"\r\n" else 1 if body[at : at + 1] == b"\n" else 0
    return b"".join(parts) if parts else body


def _undone(body: bytes, encoding: str) -> bytes:
    if encoding not in ENCODED:
        return body
    if encoding in ("gzip", "x-gzip", "deflate"):
        for window in (47, -15):  # gzip or zlib by their headers, or neither
            try:
                return zlib.decompressobj(window).decompress(body)
            except zlib.error:
                continue
    if encoding == "zstd":
        try:
            return zstandard.ZstdDecompressor().decompressobj().decompress(body)
        except zstandard.ZstdError:
            pass
    if b"\0" in body[:2_000] or not body.lstrip()[:1] == b"<":
        raise ValueError(f"is in the encoding {encoding}, which cannot be undone")
    return body


def _tokens(headers: Any, name: str) -> list[str]:
    given = [value for key, value in headers.items() if key.lower() == name]
    return [token.strip().lower() for value in given for token in value.split(",") if token.strip()]
