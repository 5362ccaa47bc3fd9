"""The records of a web archive, told apart by their headers and by what follows them: an archive that is cut,
has wrong or no lengths, line feeds alone or rubbish between its records gives all its whole ones.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from mashbill.corpus.records import Rejected, refused, unreadable
from mashbill.corpus.streams import Block

VERSION = re.compile(rb"WARC/\d\.\d+[ \t]*\r?\n")
HEADER_END = re.compile(rb"\r?\n\r?\n")
BOUNDARY = re.compile(rb"(?:\r?\n){1,4}(?=WARC/\d\.\d+[ \t]*\r?\n[A-Za-z-]+:)")
AFTER = re.compile(rb"\r?\n\r?\n|(?:\r?\n)*(?=WARC/\d\.\d+)|(?:\r?\n)*\Z")
BLANK = re.compile(rb"[\r\n]*")
LENGTH = re.compile(rb"(?im)^Content-Length[ \t]*:[ \t]*(\d{1,15})[ \t]*\r?$")
FIELD = re.compile(rb"(?m)^([A-Za-z0-9-]+)[ \t]*:[ \t]*(.*?)[ \t]*\r?$")
NAME = b"WARC/"
HEADER_BYTES = 1_000_000
LOOKED_AT = 64


@dataclass(frozen=True)
class WebRecord:
    """One record.

    Attributes:
        header: names and values of its fields, as they are written.
        content: what it holds.
    """

    header: tuple[tuple[str, str], ...]
    content: bytes

    def field(self, name: str) -> str:
        """The value of a field, whatever the case of its name; empty where there is none."""
        return next((value for given, value in self.header if given.lower() == name.lower()), "")

    def as_sent(self) -> "WebRecord":
        """The record of a server's answer, where its header does not say that it is one."""
        others = ((name, value) for name, value in self.header if name.lower() != "content-type")
        return replace(self, header=(*others, ("Content-Type", "application/http; msgtype=response")))

    @property
    def whole(self) -> bytes:
        """The record with a header that says how long it is."""
        head = [f"{name}: {value}" for name, value in self.header if name.lower() != "content-length"]
        head.append(f"Content-Length: {len(self.content)}")
        return "\r\n".join(["WARC/1.0", *head, "", ""]).encode("utf-8", "surrogateescape") + self.content


def web_records(blocks: Iterator[Block], most: int) -> Iterator[WebRecord | Rejected]:
    """Every record, and what is none.

    Args:
        blocks: the archive's plain bytes.
        most: bytes of a record that is kept.
    """
    buffer = _Buffer(most)
    for block in blocks:
        buffer.content += block.content
        left = 0
        for found in buffer.records(last=block.ended or block.damage is not None):
            if block.damage is not None and isinstance(found, Rejected) and found.cut:
                left += found.bytes  # the record that the damage lies in
            else:
                yield found
        if block.damage is not None:
            yield unreadable(block.damage.what, block.lost + left + buffer.drop(), cut=block.damage.cut)


class _Buffer:
    """Bytes of an archive that are not taken apart yet."""

    def __init__(self, most: int) -> None:
        self.content, self.most, self.at = b"", most, 0
        self.passed_over = 0

    def records(self, *, last: bool) -> Iterator[WebRecord | Rejected]:
        """The records that are whole; ``last`` says that nothing follows."""
        self.at = 0
        while self.at < len(self.content):
            before = self.at
            found = self._pass_over(last) if self.passed_over else self._next(last)
            if found is not None:
                yield found
            elif self.at == before:
                break
        self.content = self.content[self.at :]
        self.at = 0

    def drop(self) -> int:
        """Forget what is not taken apart; its size."""
        size, self.content = len(self.content) + self.passed_over, b""
        self.passed_over = 0
        return size

    def _next(self, last: bool) -> WebRecord | Rejected | None:
        """The next record, with ``at`` behind it; None, with ``at`` where it was, where more is needed."""
        content = self.content
        start = BLANK.match(content, self.at).end()  # type: ignore[union-attr]
        if start == len(content):
            self.at = start
            return None
        if not VERSION.match(content, start):
            begun = len(content) - start < LOOKED_AT and content[start : start + len(NAME)]
            if last and begun and NAME.startswith(begun):
                return self._cut(start, "in the first line of a record")
            return self._rubbish(start, last)
        head = HEADER_END.search(content, start, start + HEADER_BYTES)
        if head is None:
            if len(content) - start > HEADER_BYTES:
                return self._rubbish(start, last)
            return self._cut(start, "in the header of a record") if last else None
        header = _fields(content[start : head.start()])
        length = LENGTH.search(content, start, head.end())
        size = int(length[1]) if length else -1
        if size > self.most:
            self.passed_over, self.at = 1, head.end()
            return None
        end = head.end() + size
        if size >= 0 and not last and len(content) < end + LOOKED_AT:
            return None
        if size >= 0 and end <= len(content) and (after := AFTER.match(content, end)):
            self.at = after.end()
            return WebRecord(header, content[head.end() : end])
        return self._without_length(head, WebRecord(header, b""), size, last=last)

    def _without_length(
        self, head: "re.Match[bytes]", record: WebRecord, size: int, *, last: bool
    ) -> WebRecord | Rejected | None:
        """A record whose header doesn't tell where it ends: it goes up to the next one's header."""
        boundary = BOUNDARY.search(self.content, head.start())
        if boundary is not None:
            content = self.content[head.end() : max(head.end(), boundary.start())]
            self.at = boundary.end()
            return replace(record, content=content)
        if len(self.content) - head.end() > self.most:
            self.passed_over, self.at = 1, head.end()
            return None
        if not last:
            return None
        missing = head.end() + size - len(self.content)
        if size < 0 or missing > self._returns_taken_out(head):
            address = record.field("WARC-Target-URI")
            return self._cut(head.start(), f"in the record of {address or 'no address'}")
        self.at = len(self.content)
        return replace(record, content=self.content[head.end() :].rstrip(b"\r\n"))

    def _returns_taken_out(self, head: "re.Match[bytes]") -> int:
        """Bytes that a record may lack as somebody has taken all carriage returns out of the archive."""
        return self.content.count(b"\n", head.end()) if b"\r" not in head[0] else 0

    def _rubbish(self, start: int, last: bool) -> Rejected | None:
        found = VERSION.search(self.content, start + 1)
        if found is None and not last and len(self.content) - start <= self.most:
            return None
        end = found.start() if found else len(self.content)
        self.at = end
        return refused(self.content[start:end], -1, "malformed_warc")

    def _cut(self, start: int, where: str) -> Rejected:
        self.at = len(self.content)
        return unreadable(f"ends {where}", len(self.content) - start, cut=True)

    def _pass_over(self, last: bool) -> Rejected | None:
        """Go over a record that is too long, up to the next one."""
        boundary = BOUNDARY.search(self.content, self.at)
        if boundary is None and not last:
            kept = max(self.at, len(self.content) - LOOKED_AT)
            self.passed_over += kept - self.at
            self.at = kept
            return None
        end = boundary.start() if boundary else len(self.content)
        size = self.passed_over + end - self.at
        self.at = boundary.end() if boundary else end
        self.passed_over = 0
        return Rejected(-1, "too_large", f"a record of {size:,} bytes", size)


def _fields(head: bytes) -> tuple[tuple[str, str], ...]:
    found = FIELD.findall(head)
    return tuple((name.decode(), value.decode("utf-8", "surrogateescape")) for name, value in found)
