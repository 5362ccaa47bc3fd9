"""The plain bytes of a file: decompressed by what the file's own bytes say, and turned to UTF-8 where a mark
at the beginning says that it is in another encoding.

Damage is an exception, and ``resume`` goes on after it: what is lost is what is damaged, and not the rest.
"""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from mashbill.corpus.compression import ENDINGS, ERRORS, MAGIC_BYTES, Compression, Member, compression_of

BLOCK_BYTES = 16_000_000
RAW_BYTES = 256_000
PLAIN_BYTES = 1_000_000
UTF8 = "utf-8"
MARKS = (
    (codecs.BOM_UTF8, UTF8),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


class DamageError(Exception):
    """A file that cannot be read on from here.

    Args:
        what: is wrong.
        cut: whether the file ends too early, so that what is missing is not in it at all.
        doubtful: so many of the plain bytes before it failed their checksum, too.
    """

    def __init__(self, what: str, *, cut: bool = False, doubtful: int = 0) -> None:
        super().__init__(what)
        self.what, self.cut, self.doubtful = what, cut, doubtful


@dataclass(frozen=True)
class Block:
    """Some plain bytes of a file.

    Attributes:
        content: the bytes.
        ended: whether these are the file's last.
        damage: what is wrong with what comes after them; what follows begins anew.
        lost: bytes of the file that the damage cost up to where reading goes on.
    """

    content: bytes
    ended: bool = False
    damage: DamageError | None = None
    lost: int = 0


class PlainStream:
    """A file's plain bytes, front to back.

    Attributes:
        size: bytes of the file.
        unchecked: of the plain bytes, the last so many have no checksum behind them yet.
    """

    def __init__(self, path: Path) -> None:
        self.size = path.stat().st_size
        if self.size == 0 and path.suffix.lower() in ENDINGS:
            raise DamageError(f"is empty, which no {ENDINGS[path.suffix.lower()]} file is")
        self.file = path.open("rb")
        self.raw, self.skipped, self.fed_from, self.unchecked = b"", 0, 0, 0
        self.member: Member | None = None
        self.kind = compression_of(self._peek(MAGIC_BYTES))
        self.started = False
        self.decoder: codecs.IncrementalDecoder | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.file.close()

    @property
    def position(self) -> int:
        """Bytes of the file that were read."""
        return self.file.tell() - len(self.raw)

    def read(self) -> bytes:
        """Some bytes; none at the end.

        Raises:
            DamageError: what comes next cannot be read.
        """
        data = self._read_plain()
        if not self.started:
            while data and len(data) < len(codecs.BOM_UTF32_LE) and (more := self._read_plain()):
                data += more
            data = self._begin(data)
        if self.decoder is None:
            return data
        text = self._decoded(data)
        while data and not text and (data := self._read_plain()):
            text = self._decoded(data)
        return text.encode("utf-8", "surrogatepass")

    def blocks(self) -> Iterator[Block]:
        """All that can be read, in blocks; the last one is the end, which may be empty."""
        while True:
            pieces: list[bytes] = []
            size, damage = 0, None
            try:
                while size < BLOCK_BYTES and (piece := self.read()):
                    pieces.append(piece)
                    size += len(piece)
            except DamageError as error:
                damage = error
            content = b"".join(pieces)
            if damage is None:
                yield Block(content, size < BLOCK_BYTES)
                if size < BLOCK_BYTES:
                    return
                continue
            before = self.skipped
            more = self.resume()
            lost = self.skipped - before if more else self.size - self.position
            yield Block(content[: max(0, size - damage.doubtful)], not more, damage, lost)
            if not more:
                return

    def resume(self) -> bool:
        """Go on after damage, at the next member; False where there is none."""
        if self.kind is None:
            return False
        if self.member is not None:  # its decoder holds bytes back, which may be the next member's
            self.file.seek(self.fed_from)
            self.raw, self.member = b"", None
        begun, self.unchecked = self.position, 0
        while True:
            beginning = self._peek(RAW_BYTES)
            found = self.kind.magic.search(beginning, 1) if len(beginning) > 1 else None
            if found:
                self.raw = self.raw[found.start() :]
                self.skipped += self.position - begun
                return True
            if len(beginning) <= MAGIC_BYTES:
                return False
            self.raw = self.raw[max(1, len(beginning) - MAGIC_BYTES) :]

    def _begin(self, data: bytes) -> bytes:
        self.started = True
        mark, encoding = encoding_of(data)
        if encoding != UTF8:
            self.decoder = codecs.getincrementaldecoder(encoding)()
        return data[mark:]

    def _decoded(self, data: bytes) -> str:
        assert self.decoder is not None
        try:
            return self.decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            raise DamageError(f"is no valid {error.encoding} ({error.reason})") from error

    def _read_plain(self) -> bytes:
        if self.kind is None:
            taken, self.raw = self.raw, b""
            return taken or self._more(PLAIN_BYTES)
        while True:
            if self.member is None:
                if not self._at_member(self.kind):
                    return b""
                self.member = Member(self.kind)
            plain = self._feed(self.member)
            self.unchecked += len(plain)
            if self.member.ended:
                self.raw = self.member.unused + self.raw
                self.member, self.unchecked = None, 0
            if plain:
                return plain

    def _at_member(self, kind: Compression) -> bool:
        """Whether a member comes next; zeros after the last one pad a file."""
        while True:
            beginning = self._peek(MAGIC_BYTES)
            if kind.magic.match(beginning):
                return True
            if beginning.strip(b"\0"):
                raise DamageError(f"holds what is no {kind.name} data after byte {self.position:,}")
            if not beginning:
                return False
            self.raw = self.raw.lstrip(b"\0")

    def _feed(self, member: Member) -> bytes:
        data = b""
        if not member.waiting:
            self.fed_from = self.position
            data = self.raw or self._more(RAW_BYTES)
            self.raw = b""
            if not data:
                raise DamageError(f"ends in the middle of its {member.kind.name} data", cut=True)
        try:
            return member.feed(data, PLAIN_BYTES)
        except ERRORS as error:
            what = f"holds damaged {member.kind.name} data ({error})"
            raise DamageError(what, doubtful=self.unchecked) from error

    def _peek(self, count: int) -> bytes:
        while len(self.raw) < count and (more := self._more(max(count, RAW_BYTES))):
            self.raw += more
        return self.raw[:count]

    def _more(self, count: int) -> bytes:
        try:
            return self.file.read(count)
        except OSError as error:
            raise DamageError(f"cannot be read ({error})") from error


def mislabelled(path: Path) -> str:
    """What is wrong with a file that is not compressed as its ending says; empty where nothing is."""
    name = ENDINGS.get(path.suffix.lower())
    if name is None or not path.is_file():
        return ""
    with path.open("rb") as file:
        beginning = file.read(MAGIC_BYTES)
    return "" if compression_of(beginning) else f"is no {name} file: it begins with {beginning!r}"


def encoding_of(beginning: bytes) -> tuple[int, str]:
    """Bytes of the mark that text begins with, and its encoding; that of UTF-16 without a mark is known where
    the first two characters are of ASCII."""
    for mark, encoding in MARKS:
        if beginning.startswith(mark):
            return len(mark), encoding
    return 0, _unmarked(beginning[:4]) or UTF8


def _unmarked(beginning: bytes) -> str:
    zeros = [byte == 0 for byte in beginning]
    if zeros == [False, True, False, True]:
        return "utf-16-le"
    return "utf-16-be" if zeros == [True, False, True, False] else ""
