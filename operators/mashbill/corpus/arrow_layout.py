"""Where the record batches of an Arrow IPC file are, and how many rows each has, read from its footer and
from the heads of its batches: so a part of a file can be read without what lies before it.

Both are flatbuffers, of which the few fields that tell this are read here, as pyarrow gives them to nobody.

Source: File.fbs and Message.fbs of Arrow's columnar format, version 5.
"""

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO

MAGIC = b"ARROW1"
FOOTER_END = 4 + len(MAGIC)  # its length, and the format's mark
CONTINUED = b"\xff\xff\xff\xff"
BATCHES = 3  # field of the footer
BLOCK, BLOCK_BYTES = "<qi4xq", 24
HEADER_TYPE, HEADER, RECORD_BATCH = 1, 2, 3  # fields of a message, and the type that a batch has
LENGTH = 0  # field of a batch
MOST_ROWS = 1 << 40


@dataclass(frozen=True)
class BatchPlace:
    """Where a record batch is.

    Attributes:
        start: its first byte in the file.
        head: bytes of what tells what it holds; body: of its columns, which follow.
    """

    start: int
    head: int
    body: int


def batch_places(file: IO[bytes]) -> Sequence[BatchPlace]:
    """The batches of an IPC file, in order.

    Raises:
        ValueError: it is none, or its footer says what cannot be.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - FOOTER_END))
    end = file.read(FOOTER_END)
    if end[-len(MAGIC) :] != MAGIC:
        raise ValueError("is no Arrow IPC file")
    length = int.from_bytes(end[:4], "little")
    if length > size - FOOTER_END - len(MAGIC):
        raise ValueError("has a footer that is longer than the file")
    file.seek(size - FOOTER_END - length)
    try:
        footer = _Table.root(file.read(length))
        at, count = footer.vector(BATCHES)
        blocks = [struct.unpack_from(BLOCK, footer.content, at + i * BLOCK_BYTES) for i in range(count)]
    except struct.error as error:
        raise ValueError(f"has a footer that is none ({error})") from error
    places = [BatchPlace(*block) for block in blocks]
    behind = len(MAGIC)
    for place in places:
        if place.start < behind or place.head <= 0 or place.body < 0:
            raise ValueError("has a footer whose batches are in no order")
        behind = place.start + place.head + place.body
    if behind > size:
        raise ValueError("has a footer whose batches lie beyond its end")
    return places


def rows_at(file: IO[bytes], place: BatchPlace) -> int:
    """Rows of a batch, as its head says; 0 where that is damaged."""
    file.seek(place.start)
    head = file.read(place.head)
    try:
        message = _Table.root(head[8:] if head.startswith(CONTINUED) else head[4:])
        if message.number(HEADER_TYPE, "<B") != RECORD_BATCH:
            return 0
        rows = message.table(HEADER).number(LENGTH, "<q")
    except struct.error:
        return 0
    return rows if 0 <= rows < MOST_ROWS else 0


@dataclass(frozen=True)
class _Table:
    """A table of a flatbuffer.

    Attributes:
        content: the buffer; at: where the table is in it.
    """

    content: bytes
    at: int

    @classmethod
    def root(cls, content: bytes) -> "_Table":
        """The table that a buffer begins with the place of."""
        return cls(content, _read("<I", content, 0))

    def field(self, number: int) -> int:
        """Where a field is; 0 where it is left out."""
        offsets = self.at - _read("<i", self.content, self.at)
        place = 4 + 2 * number
        if place >= _read("<H", self.content, offsets):
            return 0
        offset = _read("<H", self.content, offsets + place)
        return self.at + offset if offset else 0

    def number(self, field: int, kind: str) -> int:
        """A number; 0 where it is left out."""
        at = self.field(field)
        return _read(kind, self.content, at) if at else 0

    def table(self, field: int) -> "_Table":
        """A table within."""
        at = self.field(field)
        return _Table(self.content, at + _read("<I", self.content, at))

    def vector(self, field: int) -> tuple[int, int]:
        """Where the first item of a list is, and how many there are."""
        at = self.field(field)
        if not at:
            return 0, 0
        at += _read("<I", self.content, at)
        return at + 4, _read("<I", self.content, at)


def _read(kind: str, content: bytes, at: int) -> int:
    if at < 0:
        raise struct.error("a place before the beginning")
    (number,) = struct.unpack_from(kind, content, at)
    return int(number)
