"""Web archives: WARC with its pages' main text (Resiliparse), WET with the text it holds. Addresses go to the
metadata."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from mashbill.config import Source
from mashbill.corpus.records import EXCERPT_CHARACTERS, SCHEMA, Records, Rejected, excerpt, nothing

BATCH_PAGES = 512
HTML_TYPES = ("text/html", "application/xhtml+xml")


def read_web_archive(path: Path, source: Source) -> Iterator[Records]:
    """Read the pages of an archive, in batches."""
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    rows: list[tuple[int, str, str, str]] = []
    rejected: list[Rejected] = []
    row = -1
    kinds = WarcRecordType.response | WarcRecordType.conversion
    try:
        with path.open("rb") as file:
            for row, record in enumerate(ArchiveIterator(file, record_types=kinds, parse_http=True)):
                content = record.reader.read(source.max_record_bytes + 1)
                address = (record.headers.get("WARC-Target-URI") or "").strip("<>")
                text, reason = _text(record, content, source)
                if reason == "not_html":
                    continue
                if reason:
                    rejected.append(
                        Rejected(row, reason, f"{address} {excerpt(content)}"[:EXCERPT_CHARACTERS])
                    )
                else:
                    metadata = json.dumps(
                        {"url": address, "date": record.headers.get("WARC-Date", "")}, ensure_ascii=False
                    )[1:-1]
                    rows.append(
                        (row, (record.record_id or "").strip("<>").removeprefix("urn:uuid:"), text, metadata)
                    )
                if len(rows) >= BATCH_PAGES:
                    yield _table(rows), rejected
                    rows, rejected = [], []
    except (OSError, ValueError) as error:
        rejected.append(
            Rejected(-1, "unreadable", f"{path.name} from row {row + 1}: {error}"[:EXCERPT_CHARACTERS])
        )
    yield _table(rows), rejected


def _text(record: Any, content: bytes, source: Source) -> tuple[str, str]:
    """A page's text, or the reason why it has none; ``not_html`` for what is no page at all."""
    if len(content) > source.max_record_bytes:
        return "", "too_large"
    if record.http_headers is None:  # WET holds plain UTF-8
        try:
            return content.decode(), ""
        except UnicodeDecodeError:
            return "", "invalid_utf8"
    kind = (record.http_content_type or "").lower()
    if record.http_headers.status_code != 200 or (kind and kind not in HTML_TYPES):
        return "", "not_html"
    return html_to_text(content, record.http_charset), ""


def html_to_text(content: bytes, charset: str | None) -> str:
    """The main text of a page, by Resiliparse; the encoding is the header's, or guessed."""
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.encoding import bytes_to_str, detect_encoding

    page = bytes_to_str(content, charset or detect_encoding(content) or "utf-8")
    return extract_plain_text(page, main_content=True, alt_texts=False)


def _table(rows: list[tuple[int, str, str, str]]) -> pa.Table:
    if not rows:
        return nothing()[0]
    columns = zip(*rows, strict=True)
    return pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)], schema=SCHEMA
    )
