"""Reading a part of a file: lines that begin in some of its bytes, or groups or batches of rows of a table.

Of a file in a storage only these bytes are asked for, as it was listed; no copy of it is made.
"""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from mashbill.corpus.arrow_files import is_whole
from mashbill.corpus.arrow_layout import batch_places, rows_at
from mashbill.corpus.compression import compression_of
from mashbill.corpus.foreign import foreign_beginning
from mashbill.corpus.json_values import several_lines_each
from mashbill.corpus.pieces import FilePart, Span
from mashbill.corpus.sources import SourceFile
from mashbill.corpus.streams import BLOCK_BYTES, UTF8, Block, DamageError, encoding_of
from mashbill.storage import Storage, StoredFile

CHUNK_BYTES = 8_000_000
HEADS_BYTES = 256_000  # asked for at once where heads of batches are looked at
ENDING_BYTES = 64_000  # of a file, kept once they are read
REST_BYTES = 64_000  # asked for at first, to see where the last line of a span ends
LOOKED_AT = 100_000
END = b"\n"


class StoredBytes(io.RawIOBase):
    """A file in a storage that is read by ranges, each by one request; its end, where tables say what they
    hold, by one for all.

    Args:
        storage: which has it.
        file: as it was listed.
    """

    def __init__(self, storage: Storage, file: StoredFile) -> None:
        super().__init__()
        self.storage, self.file, self.at = storage, file, 0
        self.end_from, self.ending = max(0, file.bytes - ENDING_BYTES), b""

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a byte."""
        begins = {os.SEEK_SET: 0, os.SEEK_CUR: self.at, os.SEEK_END: self.file.bytes}[whence]
        self.at = max(0, begins + offset)
        return self.at

    def tell(self) -> int:
        """The byte that is read next."""
        return self.at

    def read(self, size: int = -1) -> bytes:
        """Some bytes, fewer only at the end."""
        most = max(0, self.file.bytes - self.at)
        wanted = most if size < 0 else min(size, most)
        if self.at < self.end_from:
            found = self.storage.window(self.file, self.at, wanted)
        else:
            self.ending = self.ending or self.storage.window(self.file, self.end_from, ENDING_BYTES)
            found = self.ending[self.at - self.end_from :][:wanted]
        self.at += len(found)
        return found

    def readinto(self, buffer: Any) -> int:
        """Some bytes into a buffer, fewer only at the end."""
        found = self.read(len(buffer))
        buffer[: len(found)] = found
        return len(found)


@contextmanager
def opened_for_parts(file: SourceFile) -> Iterator[IO[bytes]]:
    """A file of a disk or a storage, to be read from anywhere in it."""
    if file.storage is None:
        with file.path.open("rb") as opened:
            yield opened
        return
    ((stored, _),) = file.copies
    yield StoredBytes(file.storage, stored)  # type: ignore[misc]


def records_in(part: FilePart) -> int | None:
    """How many records begin in a span: so the rows of the spans behind it are known. None where the file is
    not made of such records, which its first span tells, or cannot be read.

    Args:
        part: a span of a file of lines, or of an Arrow IPC file.
    """
    span = part.span
    assert span is not None
    try:
        with opened_for_parts(part.file) as file:
            return _lines_in(file, span) if part.kind == "jsonl" else _rows_in(file, span)
    except OSError:
        return None


def _lines_in(file: IO[bytes], span: Span) -> int | None:
    """Lines that begin in a span: one behind each end of a line from the byte before it on, and the first."""
    if span.start == 0 and not is_made_of_lines(file):
        return None
    count, at = int(span.start == 0), max(0, span.start - 1)
    file.seek(at)
    last = at if span.end is None else span.end - 1  # behind the last span are no rows
    while at < last and (content := file.read(min(CHUNK_BYTES, last - at))):
        count += content.count(END)
        at += len(content)
    return count


def _rows_in(file: IO[bytes], span: Span) -> int | None:
    """Rows of the batches that begin in a span, of which nothing but the heads is read."""
    heads = io.BufferedReader(file, HEADS_BYTES) if isinstance(file, io.RawIOBase) else file
    if span.start == 0 and not is_whole(heads):
        return None
    try:
        places = batch_places(heads)
    except ValueError:
        return None
    return sum(rows_at(heads, place) for place in places if span.has(place.start))


def is_made_of_lines(file: IO[bytes]) -> bool:
    """Whether a file holds plain lines of UTF-8, by its beginning."""
    file.seek(0)
    beginning = file.read(LOOKED_AT)
    if compression_of(beginning) or foreign_beginning(beginning):
        return False
    mark, encoding = encoding_of(beginning)
    if encoding != UTF8:
        return False
    if END not in beginning.strip():
        beginning += file.read(BLOCK_BYTES - len(beginning))
    return not several_lines_each(beginning[mark:])


def line_blocks(file: IO[bytes], span: Span) -> Iterator[Block]:
    """The lines that begin in a span, in blocks; the last one is the end, which may be empty.

    Args:
        file: made of plain lines of UTF-8.
        span: some of its bytes.
    """
    bytes_ = _SpanBytes(file, span)
    if not bytes_.begin():
        return
    ended = False
    while not ended:
        block = bytes_.more()
        ended = block.ended
        yield block


class _SpanBytes:
    """The bytes from the first line that begins in a span to the end of the last.

    Attributes:
        at: behind the bytes that were read.
        rest: the last of them, that nobody was given yet.
    """

    def __init__(self, file: IO[bytes], span: Span) -> None:
        self.file, self.span = file, span
        self.at, self.rest = max(0, span.start - 1), b""
        self.end = span.size if span.end is None else span.end

    def begin(self) -> bool:
        """Go to the first line that begins there; False where none does."""
        self.file.seek(self.at)
        if self.span.start == 0:
            self.rest = self._read()
            self.rest = self.rest[encoding_of(self.rest)[0] :]
            return True
        while self.span.end is None or self.at < self.span.end - 1:
            content = self._read()
            behind = content.find(END) + 1
            if behind:
                self.rest = content[behind:]
                return self.span.end is None or self.at - len(self.rest) < self.span.end
            if not content:
                return False
        return False

    def more(self) -> Block:
        """Some bytes, up to the last ones or to where they cannot be read."""
        pieces, size = [self.rest], len(self.rest)
        self.rest = b""
        while True:
            last = self._last(pieces[-1])
            if last is not None:
                return Block(b"".join([*pieces[:-1], last]), ended=True)
            if size >= BLOCK_BYTES:
                return Block(b"".join(pieces))
            try:
                content = self._read()
            except OSError as error:
                damage = DamageError(f"cannot be read ({error})")
                return Block(b"".join(pieces), True, damage, max(0, self.end - self.at))
            if not content:
                return Block(b"".join(pieces), ended=True)
            pieces.append(content)
            size += len(content)

    def _last(self, content: bytes) -> bytes | None:
        """What was read last up to where the last line ends; None where that is further on."""
        if self.span.end is None or self.at < self.span.end:
            return None
        begins = self.at - len(content)
        behind = content.find(END, max(0, self.span.end - 1 - begins)) + 1
        return content[:behind] if behind else None

    def _read(self) -> bytes:
        """The next bytes: those of the span, then few, and more, up to where its last line ends."""
        left = CHUNK_BYTES if self.span.end is None else self.span.end - self.at
        wanted = left if left > 0 else REST_BYTES - left
        content = self.file.read(min(CHUNK_BYTES, wanted))
        self.at += len(content)
        return content
