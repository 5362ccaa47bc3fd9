"""Sites on a list: however a line or an address spells one, it is the same; what has no effect is told."""

import json
import logging
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.corpus import corpus_config, documents, run_stages, write_jsonl
from mashbill.artifacts import Artifact
from mashbill.config.filters import UrlFilter
from mashbill.errors import ConfigError
from mashbill.filters.metadata import field_values
from mashbill.filters.sites import sites_of
from mashbill.filters.url import Url


def blocks(
    folder: Path, listed: str | bytes, *addresses: Any, field: str = "url", **extra: Any
) -> list[bool]:
    """Which documents of these addresses a list blocks."""
    path = folder / "sites.txt"
    path.write_bytes(listed if isinstance(listed, bytes) else listed.encode())
    rule = Url(UrlFilter(blocklist=str(path), field=field), path)
    metadata = [json.dumps({"license": "x", field: address} | extra) for address in addresses]
    verdict = rule(pa.array(["text"] * len(addresses)), pa.array(metadata, pa.large_string()))
    return [bool(code) for code in verdict.codes]


@pytest.mark.parametrize(
    "line",
    [
        "bad.example", "BAD.Example", " bad.example\t", "bad.example.", "www.bad.example", "*.bad.example",
        ".bad.example", "http://bad.example", "https://www.bad.example/", "http://bad.example:8080/a?b#c",
        "bad.example:443", "bad.example/", "user:p@ss@bad.example", "//bad.example/", "||bad.example^",
        "||bad.example^$third-party", "0.0.0.0 bad.example", "127.0.0.1\tbad.example  # ads",
        "::1 bad.example", "bad.example # a comment", "\ufeffbad.example", "# a comment\n\nbad.example\r\n",
        "http://*.bad.example/",
        "good.example\nbad.example\nother.example", "0.0.0.0 ads.example bad.example", "b%61d.example",
    ],
)  # fmt: skip
def test_a_line_blocks_its_site_however_it_is_spelt(line: str, tmp_path: Path) -> None:
    others = [
        "https://notbad.example/",
        "https://example/",
        "http://ok.example/bad.example",
        "http://1.2.3.4/",
    ]
    ways = ["http://bad.example/x", "https://a.b.c.d.e.f.g.bad.example/"]
    assert blocks(tmp_path, line, *ways, *others) == [True, True, False, False, False, False]


@pytest.mark.parametrize(
    "address",
    [
        "http://bad.example", "HTTPS://Bad.EXAMPLE/", "http://bad.example./x", "http://bad.example:80/x",
        "//bad.example",
        "http://user:pass@bad.example:1/", "http://p@ss@bad.example/", "bad.example/x?y", "bad.example:80",
        "  http://bad.example ", "http://bad.example?x=/", "http://bad.example#x", "ftp://shop.bad.example",
        "http:\\\\bad.example\\x", "http://b%61d.example/", "http://bad.example/\"quoted\"\\", "http://ｂａｄ.example/",
        "http://bad。example/",
    ],
)  # fmt: skip
def test_an_address_is_of_its_site_however_it_is_spelt(address: str, tmp_path: Path) -> None:
    assert blocks(tmp_path, "bad.example", address, f"http://good.example/?{address}") == [True, False]


@pytest.mark.parametrize(
    "line", ["bücher.example", "BÜCHER.example", "xn--bcher-kva.example", "XN--BCHER-KVA.example"]
)
def test_a_name_in_another_script_matches_in_either_form(line: str, tmp_path: Path) -> None:
    ways = ["http://bücher.example/", "http://XN--bcher-kva.example/", "http://b%C3%BCcher.example"]
    assert blocks(tmp_path, line, *ways, "http://bucher.example/") == [True, True, True, False]
    assert blocks(tmp_path, "❤.example", "http://❤.example", "http://xn--qei.example") == [True, True]


@pytest.mark.parametrize("line", ["[2001:db8::1]", "2001:DB8:0::1", "http://[2001:db8::1]:80/"])
def test_numbered_sites_have_no_parents(line: str, tmp_path: Path) -> None:
    assert blocks(tmp_path, line, "http://[2001:0db8::1]:8080/x", "http://[2001:db8::2]/") == [True, False]
    assert blocks(tmp_path, "1.2.3.4\n3.4", "http://1.2.3.4:1/", "http://9.2.3.4/") == [True, False]


def test_a_list_in_utf_16_is_read(tmp_path: Path) -> None:
    assert blocks(tmp_path, "bad.example\n".encode("utf-16"), "http://bad.example") == [True]


@pytest.mark.parametrize(
    "line", ["", "  ", "# bad.example", "! note", "; note", "127.0.0.1 localhost", "::1 localhost"]
)
def test_comments_name_no_site(line: str) -> None:
    assert sites_of(line) == ()


NOT_SITES = (
    "not a site", "http://", "bad..example", "/ads[0-9]+/", "1,bad.example,ads", "bad.*", "@@||good.example^",
    "{\"site\": 1}", "<html>", "bad_.exa mple", "x" * 64 + ".example", "***", "[Adblock Plus 2.0]", "..",
)  # fmt: skip


@pytest.mark.parametrize("line", NOT_SITES)
def test_what_can_match_no_site_is_none(line: str) -> None:
    assert sites_of(line) is None


def test_a_list_that_can_match_nothing_is_refused(tmp_path: Path) -> None:
    for listed, what in (
        (
            "\n".join(NOT_SITES[:4]),
            r"has no line that can match a site \(line 1 'not a site', line 2 'http://', .*\)",
        ),
        ("# nothing\n\n", "names no site"),
        ("", "names no site"),
    ):
        with pytest.raises(
            ConfigError, match=rf"filters\.url\.blocklist: .*sites\.txt {what}; give a text file"
        ):
            blocks(tmp_path, listed)


def test_lines_without_effect_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    listed = "bad.example\nnot a site\nhttp://blog.example/page\n# fine\n1,2\ncom\n.ru\n"
    assert blocks(tmp_path, listed, "http://blog.example/other") == [True]
    odd, page, top = [record.getMessage() for record in caplog.records]
    assert "2 lines of" in odd
    assert "match no site (line 2 'not a site', line 5 '1,2')" in odd
    assert re.search(r"1 lines of .* name a page and block its whole site \(line 3 'http://blog", page)
    assert re.search(r"1 lines of .* block every site whose name ends so \(line 6 'com'\)", top)


def test_top_level_names_are_not_blocked_by_www(tmp_path: Path) -> None:
    assert blocks(tmp_path, "www.example", "http://other.example", "http://www.example") == [False, True]


def test_an_address_deep_in_the_metadata_is_found(tmp_path: Path) -> None:
    inner = {"url": 'http://bad.example/"x"'}
    for value in (inner, json.dumps(inner)):
        path = tmp_path / "sites.txt"
        path.write_text("bad.example")
        rule = Url(UrlFilter(blocklist=str(path), field="meta.url"), path)
        rows = [
            {"meta": value},
            {"meta": None},
            {"meta": "http://bad.example"},
            {"url": "http://bad.example"},
        ]
        verdict = rule(pa.array(["t"] * 4), pa.array([json.dumps(row) for row in rows], pa.large_string()))
        assert verdict.codes.tolist() == [1, 0, 0, 0]
        assert verdict.counts == {"url_without_address": 3}


VALUES = st.one_of(st.none(), st.text(), st.integers(), st.lists(st.text(), max_size=2))


@given(st.lists(st.dictionaries(st.sampled_from(["url", "a.b", "n"]), VALUES), max_size=6), st.booleans())
def test_values_are_those_of_json(rows: list[dict[str, Any]], plain: bool) -> None:
    metadata = pa.array([json.dumps(row, ensure_ascii=plain) for row in rows], pa.large_string())
    for field in ("url", "a.b"):
        expected = [row.get(field) for row in rows]
        texts = [None if v is None or isinstance(v, list) else str(v) for v in expected]
        assert field_values(metadata, field).to_pylist() == texts


def filtered(folder: Path, sources: dict[str, str], toml: str = "") -> Artifact:
    (folder / "block.txt").write_text("bad.example\n")
    extra = f'[filters]\napply = ["url"]\n{toml}\n[filters.url]\nblocklist = "block.txt"'
    return run_stages(corpus_config(folder, sources, extra=extra), "filter")["filter"]


def test_a_domain_without_addresses_is_told_and_none_with_any_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [
        {"text": f"text {i}", "url": url}
        for i, url in enumerate(["http://bad.example/", "http://ok.example/"])
    ]
    (tmp_path / "web.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_jsonl(tmp_path / "books.jsonl", ["a book", "another"])
    with_field = {"web": 'web.jsonl, metadata_fields = ["url"]', "books": "books.jsonl"}
    with caplog.at_level(logging.WARNING):
        artifact = filtered(tmp_path, with_field)
    assert [d["text"] for d in documents(artifact, "web")] == ["text 1"]
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        "filters.url: decides by url in documents' metadata, which no document of books has, so it removes "
        "none; name url in metadata_fields of their sources, or leave them out of filters.domains"
    ]
    assert json.loads(artifact.file("filters.json").read_text())["figures"] == {"url_without_address": 2}
    caplog.clear()
    filtered(tmp_path, with_field, 'domains = ["web"]')
    assert not caplog.records
    for toml in ("", "dry_run = true", 'domains = ["books"]'):
        with pytest.raises(
            ConfigError, match=r"filters\.url: decides by url .*; name url in metadata_fields of"
        ):
            filtered(tmp_path, {"web": "web.jsonl", "books": "books.jsonl"}, toml)
