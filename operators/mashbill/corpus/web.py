"""Web archives: WARC with its pages' main text (Resiliparse), WET with the text it holds. Addresses go to the
metadata."""

import re
from collections.abc import Iterator
from pathlib import Path

from mashbill.config import Source
from mashbill.corpus.http_body import body_of, unpacked
from mashbill.corpus.records import EXCERPT_CHARACTERS, Records, Rejected, excerpt, members_json, table_of
from mashbill.corpus.streams import PlainStream
from mashbill.corpus.warc_records import WebRecord, web_records

BATCH_PAGES = 512
KINDS = ("response", "resource", "conversion")
OTHER_KINDS = ("warcinfo", "request", "metadata", "revisit")
HTML_TYPES = ("text/html", "application/xhtml+xml")
PLAIN = "text/plain"
CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:-]+)", re.IGNORECASE)
BLOCK = re.compile(r"<(/?)(?:div|section|article|main|center|form|table|ul|ol|blockquote)\b", re.IGNORECASE)
MOST_NESTED = 2_000
CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f\ufffd]")
MOST_CONTROL, LOOKED_AT = 0.03, 10_000
"""Share of such characters over which the first of a page show that it is none; packed bytes have a tenth."""
WIDER = {"euc_kr": "cp949", "gbk": "gb18030", "gb2312": "gb18030", "shift_jis": "cp932"}
"""Encodings that hold all of another, whose name pages give for them."""


def read_web_archive(path: Path, source: Source) -> Iterator[Records]:
    """Read the pages of an archive, in batches."""
    pages = _Pages(path, source)
    with PlainStream(path) as stream:
        for found in web_records(stream.blocks(), source.max_record_bytes):
            if isinstance(found, Rejected):
                pages.rejected.append(found)
            else:
                pages.take(found)
            if len(pages.rows) >= BATCH_PAGES:
                yield pages.records()
    yield pages.records()


class _Pages:
    """Pages that are taken in one by one."""

    def __init__(self, path: Path, source: Source) -> None:
        self.path, self.source, self.row = path, source, -1
        self.rows: list[tuple[int, str | None, str, str | None]] = []
        self.rejected: list[Rejected] = []
        self.passed: list[str] = []

    def take(self, record: WebRecord) -> None:
        """Take a page in, or set it aside."""
        kind = record.field("warc-type").lower()
        if kind in OTHER_KINDS:
            return
        self.row += 1
        if kind == "continuation":
            self._refuse(record, "malformed_warc", "goes on with a page in segments, which are not joined:")
            return
        if kind not in KINDS:
            self._refuse(record, "malformed_warc", f"a record of type {kind!r}")
            return
        address = record.field("warc-target-uri").strip("<>")
        try:
            text, no_page = _text(record)
        except UnicodeDecodeError:
            self._refuse(record, "invalid_utf8", address)
        except (
            Exception
        ) as error:  # a page is what anyone has put there, and libraries raise whatever they raise
            self._refuse(record, "malformed_html", f"{address} {error}")
        else:
            if no_page:
                self.passed.append(no_page)
                return
            fields = {"url": address, "date": record.field("warc-date")}
            identity = record.field("warc-record-id").strip("<>").removeprefix("urn:uuid:")
            self.rows.append((self.row, _sane(identity) or None, text, members_json(fields)))

    def records(self) -> Records:
        """What was taken in since the last time."""
        found = {self.source.text_field} if self.rows else set()
        found |= {name for name in ("url", "date") if self.rows and name in self.source.metadata_fields}
        records = Records(table_of(self.rows), self.rejected, frozenset(found), tuple(self.passed))
        self.rows, self.rejected, self.passed = [], [], []
        return records

    def _refuse(self, record: WebRecord, reason: str, where: str) -> None:
        words = f"{where} {excerpt(record.content)}"[:EXCERPT_CHARACTERS]
        self.rejected.append(Rejected(self.row, reason, _sane(words), len(record.content)))


def _text(record: WebRecord) -> tuple[str, str]:
    """A page's text, or of what kind it is, where it is no page."""
    given = record.field("content-type")
    sent = "application/http" in given.lower() or record.content.startswith(b"HTTP/")
    if record.field("warc-type").lower() == "response" and sent:
        parsed, body = body_of(record.as_sent().whole)
        headers = parsed.http_headers
        if headers is None or headers.status_code is None:
            raise ValueError("has no HTTP header with a status")
        if headers.status_code != 200:
            return "", f"status {headers.status_code}"
        kind = (parsed.http_content_type or "").lower().partition(",")[0].strip()
        charset = parsed.http_charset
    else:
        kind, body = given.partition(";")[0].strip().lower(), record.content
        found = CHARSET.search(given)
        charset = found[1] if found else None
    if kind == PLAIN and record.field("warc-type").lower() == "conversion":
        return body.decode(), ""
    if kind == PLAIN:
        return page_text(body, charset), ""
    if kind in HTML_TYPES or not kind:
        return html_to_text(body, charset), ""
    return "", kind


def html_to_text(content: bytes, charset: str | None) -> str:
    """The main text of a page, by Resiliparse; the encoding is the header's, or guessed."""
    from resiliparse.extract.html2text import extract_plain_text

    page = page_text(content, charset)
    if _depth(page) > MOST_NESTED:
        raise ValueError(f"nests more than {MOST_NESTED:,} elements")
    return extract_plain_text(page, main_content=True, alt_texts=False)


def _depth(page: str) -> int:
    """How deep blocks lie in one another; the time to find the main one grows with its square."""
    depth = deepest = 0
    for found in BLOCK.finditer(page):
        depth = max(0, depth - 1) if found[1] else depth + 1
        deepest = max(deepest, depth)
    return deepest


def page_text(content: bytes, charset: str | None) -> str:
    """The characters of a page: by the encoding that the header names, where it is one and fits, or by what
    its bytes look like.

    Args:
        content: as it was sent, without encodings of the transfer.
        charset: what the header says.
    """
    from resiliparse.parse.encoding import bytes_to_str, detect_encoding, map_encoding_to_html5

    content = unpacked(content)
    named = map_encoding_to_html5(charset, fallback_utf8=False) if charset else None
    encoding = WIDER.get(named, named) if named else None
    if encoding is None or not _fits(content, encoding):
        encoding = detect_encoding(content, from_html_meta=True) or "utf-8"
    text = bytes_to_str(content, encoding)
    if len(CONTROL.findall(text, 0, LOOKED_AT)) > MOST_CONTROL * min(len(text), LOOKED_AT):
        raise ValueError("is no text")
    return text


def _fits(content: bytes, encoding: str) -> bool:
    try:
        content.decode(encoding)
    except (UnicodeError, LookupError):
        return False
    return True


def _sane(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
