"""Compression by what a file's bytes say: gzip, zstd, bzip2 and xz, member by member.

A file is often several members one after another, and what follows a damaged one is read all the same.
"""

import bz2
import lzma
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import zstandard

ZSTD_WINDOW = 1 << 31  # the widest that the format's own tool writes
MAGIC_BYTES = 18
ERRORS = (OSError, EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError)


@dataclass(frozen=True)
class Compression:
    """One kind of compression.

    Attributes:
        name: as people call it.
        magic: what a member begins with.
        decoder: a new decoder of one member; it has ``decompress``, ``eof`` and ``unused_data``.
        bounded: whether ``decompress`` takes a limit to what it gives.
    """

    name: str
    magic: re.Pattern[bytes]
    decoder: Callable[[], Any]
    bounded: bool = True


KINDS = (
    Compression("gzip", re.compile(rb"\x1f\x8b\x08[\x00-\x1f]"), lambda: zlib.decompressobj(31)),
    Compression(
        "zstd",
        re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"),
        lambda: zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW).decompressobj(),
        bounded=False,
    ),
    Compression("bzip2", re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)"), bz2.BZ2Decompressor),
    Compression(
        "xz", re.compile(rb"\xfd7zXZ\x00"), lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ), bounded=True
    ),
)
ENDINGS = {".gz": "gzip", ".bgz": "gzip", ".zst": "zstd", ".zstd": "zstd", ".bz2": "bzip2", ".xz": "xz"}


def compression_of(beginning: bytes) -> Compression | None:
    """The kind of compression that a file's first bytes tell; None where they tell none."""
    return next((kind for kind in KINDS if kind.magic.match(beginning)), None)


class Member:
    """Decodes one member.

    Args:
        kind: its compression.
    """

    def __init__(self, kind: Compression) -> None:
        self.kind, self.decoder = kind, kind.decoder()

    @property
    def ended(self) -> bool:
        """Whether its end was reached, and its checksum was right."""
        return bool(self.decoder.eof)

    @property
    def unused(self) -> bytes:
        """What was given beyond its end."""
        return bytes(self.decoder.unused_data)

    @property
    def waiting(self) -> bool:
        """Whether it can give more of what it was given."""
        if self.kind.name == "gzip":
            return bool(self.decoder.unconsumed_tail)
        return self.kind.bounded and not self.ended and not self.decoder.needs_input

    def feed(self, data: bytes, most: int) -> bytes:
        """Decode some bytes.

        Args:
            data: the next bytes; none where it still has of those before.
            most: bytes that it gives at a time, where the kind can be held to that.
        """
        if not self.kind.bounded:
            return bytes(self.decoder.decompress(data))
        if self.kind.name == "gzip":
            return bytes(self.decoder.decompress(self.decoder.unconsumed_tail + data, most))
        return bytes(self.decoder.decompress(data, most))
