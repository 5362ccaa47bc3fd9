"""Web archives as they are found: encodings undone, pages told apart whatever is wrong between them."""

import gzip
import re
import zlib
from collections.abc import Callable
from pathlib import Path

import brotli
import pytest
import zstandard

from builders.readers import Read, read

SENTENCE = "The old mill beside the river was sold last year to a couple who bake bread there every morning. "


def page(text: str, head: str = "") -> bytes:
    return f"<html><head>{head}<title>t</title></head><body><main><p>{text}</p></main></body></html>".encode()


def response(body: bytes, extra: str = "", content_type: str = "text/html; charset=utf-8") -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\n{extra}\r\n".encode() + body


def record(
    content: bytes, number: int = 0, kind: str = "response", content_type: str = "application/http"
) -> bytes:
    head = f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Record-ID: <urn:uuid:{number}>\r\n"
    head += f"WARC-Target-URI: http://a.example/{number}\r\nWARC-Date: 2024-01-01T00:00:00Z\r\n"
    head += f"Content-Type: {content_type}\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content + b"\r\n\r\n"


PAGES = [record(response(page((SENTENCE + f"Number {i}. ") * 6)), i) for i in range(12)]


def archive(folder: Path, content: bytes) -> Read:
    (folder / "it.warc").write_bytes(content)
    return read(folder / "it.warc")


def numbers(found: Read) -> list[int]:
    return [int(row["id"]) for row in found.rows]


def chunked(body: bytes, size: int = 200, extension: bytes = b"") -> bytes:
    parts = [body[i : i + size] for i in range(0, len(body), size)]
    return b"".join(b"%x%s\r\n" % (len(p), extension) + p + b"\r\n" for p in parts) + b"0\r\n\r\n"


def raw_deflate(body: bytes) -> bytes:
    made = zlib.compressobj(wbits=-15)
    return made.compress(body) + made.flush()


BODY = page(SENTENCE * 6)
ENCODED: dict[str, tuple[bytes, str]] = {
    "chunked": (chunked(BODY), "Transfer-Encoding: chunked\r\n"),
    "chunks with extensions": (chunked(BODY, extension=b";a=b"), "Transfer-Encoding: chunked\r\n"),
    "not chunked as it says": (BODY, "Transfer-Encoding: chunked\r\n"),
    "gzip": (gzip.compress(BODY), "Content-Encoding: gzip\r\n"),
    "x-gzip": (gzip.compress(BODY), "content-encoding: X-GZIP\r\n"),
    "deflate": (zlib.compress(BODY), "Content-Encoding: deflate\r\n"),
    "raw deflate": (raw_deflate(BODY), "Content-Encoding: deflate\r\n"),
    "brotli": (brotli.compress(BODY), "Content-Encoding: br\r\n"),
    "zstd": (zstandard.compress(BODY), "Content-Encoding: zstd\r\n"),
    "chunked gzip": (
        chunked(gzip.compress(BODY)),
        "Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
    ),
    "not packed as it says": (BODY, "Content-Encoding: gzip\r\n"),
    "not brotli as it says": (BODY, "Content-Encoding: br\r\n"),
    "no encoding at all": (BODY, "Content-Encoding: utf-8\r\n"),
}


@pytest.mark.parametrize("how", ENCODED)
def test_what_enters_is_the_page_and_nothing_of_its_encodings(tmp_path: Path, how: str) -> None:
    body, header = ENCODED[how]
    found = archive(tmp_path, record(response(body, header)))
    assert [text.strip() for text in found.texts] == [(SENTENCE * 6).strip()]
    assert not found.rejected


@pytest.mark.parametrize(
    "label, encoding",
    [
        ("utf8mb4", "utf-8"), ("", "utf-8"), ("utf-8", "cp1252"), ("none", "utf-8"), ("punycode", "utf-8"),
        ("x-sjis", "cp932"), ("euc-kr", "cp949"), ("gb2312", "gb18030"), ("windows-1251", "cp1251"),
        ("iso-8859-1", "cp1252"), ("idna", "utf-8"), ("hex", "utf-8"),
    ],
)  # fmt: skip
def test_a_charset_that_is_none_or_does_not_fit_is_guessed(tmp_path: Path, label: str, encoding: str) -> None:
    samples = {
        "cp932": "日本語の文章",
        "cp949": "한국어 뷁",
        "gb18030": "简体中文句子",
        "cp1251": "Русский текст",
    }
    words = samples.get(encoding, "naïve café résumé") * 8
    body = page(words).decode().encode(encoding)
    found = archive(tmp_path, record(response(body, content_type=f"text/html; charset={label}")) + PAGES[1])
    assert [text.strip() for text in found.texts][:1] == [words]
    assert len(found.texts) == 2


def test_pages_of_other_kinds_of_records_are_read(tmp_path: Path) -> None:
    kinds = [
        record(BODY, 0, "resource", "text/html"),
        record(SENTENCE.encode(), 1, "resource", "text/plain; charset=utf-8"),
        record(response(SENTENCE.encode(), content_type="text/plain"), 2),
        record(SENTENCE.encode(), 3, "conversion", "text/plain"),
        record(response(BODY, content_type="application/xhtml+xml"), 4),
        record(response(b"\x89PNG", content_type="image/png"), 5),
        record(response(BODY).replace(b"200 OK", b"404 Gone"), 6),
        record(b"GET / HTTP/1.1\r\n\r\n", 7, "request"),
        record(b"software: x", 8, "warcinfo", "application/warc-fields"),
        record(response(BODY), 9, "respomse"),
    ]
    found = archive(tmp_path, b"".join(kinds))
    assert numbers(found) == [0, 1, 2, 3, 4]
    assert sorted(found.passed) == ["image/png", "status 404"]
    assert found.reasons == ["malformed_warc"]


def relabelled(raw: bytes, change: Callable[[int], str]) -> bytes:
    return re.sub(rb"Content-Length: (\d+)", lambda m: change(int(m[1])).encode(), raw, count=1)


WRONG: dict[str, Callable[[int], str]] = {
    "too short": lambda size: f"Content-Length: {size - 50}",
    "too long": lambda size: f"Content-Length: {size + 50}",
    "far too long": lambda size: f"Content-Length: {size + 5_000}",
    "of a million records": lambda size: f"Content-Length: {size * 1_000_000}",
    "no number": lambda size: "Content-Length: many",
    "missing": lambda size: "X-Length: 1",
    "negative": lambda size: "Content-Length: -5",
}


@pytest.mark.parametrize("how", WRONG)
@pytest.mark.parametrize("place", [0, 5, 11])
def test_a_wrong_length_costs_one_page_at_most_and_is_counted(tmp_path: Path, how: str, place: int) -> None:
    pages = list(PAGES)
    pages[place] = relabelled(pages[place], WRONG[how])
    found = archive(tmp_path, b"".join(pages))
    assert set(numbers(found)) >= set(range(12)) - {place}
    assert len(found.texts) + len(found.rejected) == 12


def test_line_feeds_alone_are_read(tmp_path: Path) -> None:
    found = archive(tmp_path, b"".join(PAGES).replace(b"\r\n", b"\n"))
    assert numbers(found) == list(range(12))
    assert not found.rejected


@pytest.mark.parametrize("packed", [False, True])
def test_rubbish_between_pages_costs_none(tmp_path: Path, packed: bool) -> None:
    pages = [gzip.compress(one) for one in PAGES] if packed else PAGES
    rubbish = b"\xff\0RUBBISH WARC " * 30
    found = archive(tmp_path, b"".join(pages[:4]) + rubbish + b"".join(pages[4:]))
    assert numbers(found) == list(range(12))
    assert found.reasons == ["unreadable" if packed else "malformed_warc"]
    assert found.rejected[0].bytes == len(rubbish)


@pytest.mark.parametrize("packed", [False, True])
def test_a_cut_archive_gives_the_pages_before_and_says_that_it_ends_early(
    tmp_path: Path, packed: bool
) -> None:
    pages = [gzip.compress(one) for one in PAGES] if packed else PAGES
    whole = b"".join(pages)
    ends = [sum(len(one) for one in pages[:i]) for i in range(13)]
    for cut in range(ends[3] + 20, ends[5], 37):
        found = archive(tmp_path, whole[:cut])
        before = sum(end <= cut for end in ends[1:])
        expected = list(range(before))
        assert numbers(found)[:before] == expected
        assert len(found.texts) <= before + 1
        if len(found.texts) == before and cut not in ends:
            assert [(one.reason, one.cut) for one in found.rejected] == [("unreadable", True)]


def test_one_page_too_large_is_refused_with_its_size(tmp_path: Path) -> None:
    pages = list(PAGES)
    pages[3] = record(response(page("x" * 200_000)), 3)
    (tmp_path / "it.warc").write_bytes(b"".join(pages))
    found = read(tmp_path / "it.warc", max_record_bytes=100_000)
    assert numbers(found) == [i for i in range(12) if i != 3]
    (rejected,) = found.rejected
    assert rejected.reason == "too_large"
    assert rejected.bytes == pytest.approx(200_000, rel=0.01)


def test_a_page_that_holds_an_archive_is_one_page(tmp_path: Path) -> None:
    inner = b"".join(PAGES[:2])
    found = archive(tmp_path, PAGES[0] + record(inner, 1, "resource", "text/plain") + PAGES[2])
    assert numbers(found) == [0, 1, 2]
    assert "WARC-Target-URI" in found.texts[1]


@pytest.mark.parametrize("times, header", [(1, ""), (2, "Content-Encoding: gzip\r\n")])
def test_a_page_packed_once_more_than_it_says_is_the_page(tmp_path: Path, times: int, header: str) -> None:
    body = BODY
    for _ in range(times):
        body = gzip.compress(body)
    found = archive(tmp_path, record(response(body, header)))
    assert [text.strip() for text in found.texts] == [(SENTENCE * 6).strip()]


@pytest.mark.parametrize(
    "content, reason",
    [
        (record(response(zlib.compress(BODY * 9, 9) + bytes(range(256)) * 4)), "malformed_html"),
        (record(BODY), "malformed_html"),
        (record(b"HTTP/1.1 OK\r\nContent-Type: text/html\r\n\r\n" + BODY), "malformed_html"),
        (record(BODY, kind="continuation"), "malformed_warc"),
        (record(response(b"<div>" * 100_000 + b"deep" + b"</div>" * 100_000)), "malformed_html"),
    ],
    ids=["packed bytes", "no header", "no status", "a segment", "nested"],
)
def test_what_is_no_page_is_refused_and_the_next_is_read(tmp_path: Path, content: bytes, reason: str) -> None:
    found = archive(tmp_path, content + PAGES[1])
    assert (numbers(found), found.reasons) == ([1], [reason])


def test_an_answer_that_does_not_say_what_it_is_gives_its_page_without_the_header(tmp_path: Path) -> None:
    bare = record(response(BODY)).replace(b"Content-Type: application/http\r\n", b"")
    found = archive(
        tmp_path, bare + record(response(BODY, content_type="text/html, text/html; charset=utf-8"))
    )
    assert [text.strip() for text in found.texts] == [(SENTENCE * 6).strip()] * 2
