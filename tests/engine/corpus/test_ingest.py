"""Ingest keeps every record: as a document, or in ``rejected/`` with its reason."""

import gzip
import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders.corpus import corpus_config, documents, rejections, run_stages, write_jsonl
from mashbill.artifacts import Artifact
from mashbill.config import load_config
from mashbill.errors import ConfigError, DataError

LENIENT = "max_rejected_share = 1.0"


def ingest(folder: Path, source: str, extra: str = LENIENT) -> Artifact:
    """Ingest a source beside a second domain that is always fine."""
    write_jsonl(folder / "other.jsonl", ["a fine document"])
    return run_stages(corpus_config(folder, {"it": source, "other": "other.jsonl"}, extra=extra), "ingest")[
        "ingest"
    ]


def texts(artifact: Artifact) -> list[str]:
    return [d["text"] for d in documents(artifact, "it")]


@pytest.mark.parametrize(
    "ending, opener", [("", None), (".gz", gzip.compress), (".zst", zstandard.ZstdCompressor().compress)]
)
def test_jsonl_is_read_plain_and_compressed(tmp_path: Path, ending: str, opener: object) -> None:
    write_jsonl(tmp_path / "it.jsonl", ["one", "two\nlines", "naïve ☕"])
    if callable(opener):
        (tmp_path / f"it.jsonl{ending}").write_bytes(opener((tmp_path / "it.jsonl").read_bytes()))
    found = documents(ingest(tmp_path, f'it.jsonl{ending}, id_field = "id", license = "CC0-1.0"'), "it")
    assert [d["text"] for d in found] == ["one", "two\nlines", "naïve ☕"]
    assert [d["id"] for d in found] == ["it-0", "it-1", "it-2"]
    assert found[0]["domain"] == "it"
    assert found[0]["source"].endswith(f"it.jsonl{ending}")
    assert json.loads(found[0]["metadata"]) == {"license": "CC0-1.0"}


def test_parquet_txt_folder_and_datasets_are_read(tmp_path: Path) -> None:
    from datasets import Dataset

    pq.write_table(pa.table({"key": [7, 8], "body": ["seven", "eight"]}), tmp_path / "it.parquet")
    assert texts(ingest(tmp_path, 'it.parquet, text_field = "body", id_field = "key"')) == ["seven", "eight"]
    (tmp_path / "books" / "deep").mkdir(parents=True)
    (tmp_path / "books" / "a.txt").write_text("A book")
    (tmp_path / "books" / "deep" / "b.txt").write_text("Another")
    (tmp_path / "books" / "cover.png").write_bytes(b"\x89PNG")
    assert texts(ingest(tmp_path, "books")) == ["A book", "Another"]
    Dataset.from_dict({"text": ["first", "second"]}).save_to_disk(str(tmp_path / "saved"))
    assert texts(ingest(tmp_path, "saved")) == ["first", "second"]


def test_each_bad_record_is_set_aside_with_its_reason(tmp_path: Path) -> None:
    lines = [
        b'{"text": "good"}',
        b'{"text": "bad \xff utf8"}',
        b'{"text": ',
        b'{"other": 1}',
        b'{"text": "  "}',
        b'{"text": null}',
    ]
    lines += [b'{"text": 5}', b"[1, 2]", b'{"text": "lone \\ud800 surrogate"}', b'{"text": "also good"}']
    (tmp_path / "it.jsonl").write_bytes(b"\n".join(lines))
    artifact = ingest(tmp_path, "it.jsonl")
    assert texts(artifact) == ["good", "also good"]
    rejected = {row["row"]: row["reason"] for row in rejections(artifact)}
    assert rejected == {
        1: "invalid_utf8", 2: "malformed_json", 3: "missing_text", 4: "empty_text",
        5: "missing_text", 6: "missing_text", 7: "missing_text", 8: "invalid_utf8",
    }  # fmt: skip
    counts = artifact.manifest.counts
    assert counts["documents_in"] == 10 + 1 == counts["documents_out"] + sum(counts["rejected"].values())


def test_truncated_archive_keeps_what_it_gave(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "plain.jsonl", [f"document {i} " + "word " * 50 for i in range(2_000)])
    whole = gzip.compress((tmp_path / "plain.jsonl").read_bytes())
    (tmp_path / "it.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    artifact = ingest(tmp_path, "it.jsonl.gz")
    assert 500 < len(texts(artifact)) < 2_000
    assert "unreadable" in Counter(row["reason"] for row in rejections(artifact))


def test_same_id_twice_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "it.jsonl").write_text('{"id": 1, "text": "first"}\n{"id": 1, "text": "second"}\n')
    artifact = ingest(tmp_path, 'it.jsonl, id_field = "id"')
    assert texts(artifact) == ["first"]
    assert artifact.manifest.counts["rejected"] == {"duplicate_id": 1}


def test_files_of_one_name_keep_all_their_documents(tmp_path: Path) -> None:
    for folder in ("2026-01/en", "2026-02/en", "2026-02/fr"):
        (tmp_path / folder).mkdir(parents=True)
        write = (tmp_path / folder / "part.jsonl").write_text
        write(
            "".join(json.dumps({"text": f"{folder} {i}", "title": f"of {folder} {i}"}) + "\n" for i in (0, 1))
        )
    artifact = ingest(tmp_path, "*/*/part.jsonl")
    assert {d["id"]: d["text"] for d in documents(artifact, "it")} == {
        f"it/{folder}/part.jsonl#{i}": f"{folder} {i}"
        for folder in ("2026-01/en", "2026-02/en", "2026-02/fr")
        for i in (0, 1)
    }


def test_another_field_of_a_file_is_other_text_and_the_same_field_again_is_not(tmp_path: Path) -> None:
    (tmp_path / "it.jsonl").write_text('{"text": "a text", "title": "its title"}\n')
    sources = '{ path = "it.jsonl" }, { path = "it.jsonl", text_field = "title" }, { path = "*.jsonl" }'
    (tmp_path / "config.toml").write_text(
        f'[corpus]\nmax_rejected_share = 0.5\ndomains = [{{ name = "it", sources = [{sources}] }}, '
        '{ name = "b", sources = [{ path = "it.jsonl" }] }]'
    )
    artifact = run_stages(load_config(tmp_path / "config.toml"), "ingest")["ingest"]
    assert texts(artifact) == ["a text", "its title"]
    assert artifact.manifest.counts["rejected"] == {"duplicate_id": 1}


def test_too_many_rejected_records_fail_with_the_worst_file(tmp_path: Path) -> None:
    (tmp_path / "it.jsonl").write_text('{"text": "good"}\nnot json\n')
    with pytest.raises(
        DataError,
        match=r"domain it: 50\.0% of its records are rejected \(malformed_json 1\), worst in .*it\.jsonl",
    ):
        ingest(tmp_path, "it.jsonl", extra="")
    assert not list((tmp_path / "artifacts").glob("ingest/*"))


def test_unknown_ending_names_the_mend(tmp_path: Path) -> None:
    (tmp_path / "it.docx").write_text("x")
    with pytest.raises(
        ConfigError, match=r"it\.docx: has an ending that names no format; set the source's format"
    ):
        ingest(tmp_path, "it.docx")


def test_arrow_and_csv_are_read_with_metadata(tmp_path: Path) -> None:
    data = pa.table({"text": ["one", "two"], "url": ["http://a/", 'say "hi"\n'], "n": [1, None]})
    with pa.ipc.new_file(tmp_path / "it.arrow", data.schema) as writer:
        writer.write_table(data)
    found = documents(ingest(tmp_path, 'it.arrow, metadata_fields = ["url", "n"]'), "it")
    assert [json.loads(d["metadata"]) for d in found] == [
        {"license": "unknown", "url": "http://a/", "n": "1"}, {"license": "unknown", "url": 'say "hi"\n'},
    ]  # fmt: skip
    (tmp_path / "it.csv").write_text(
        'name,text\nfirst,"a text,\nover two lines"\nodd,row,of,five,fields\nlast,plain\n'
    )
    artifact = ingest(tmp_path, 'it.csv, id_field = "name"')
    assert [(d["id"], d["text"]) for d in documents(artifact, "it")] == [
        ("first", "a text,\nover two lines"),
        ("last", "plain"),
    ]
    assert artifact.manifest.counts["rejected"] == {"malformed_csv": 1}


def test_metadata_of_jsonl_is_the_same_by_blocks_and_by_lines(tmp_path: Path) -> None:
    rows = [{"text": f"t{i}", "url": f'http://{i}/"\\\t é'} for i in range(3)]
    (tmp_path / "it.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    by_block = documents(ingest(tmp_path, 'it.jsonl, metadata_fields = ["url"]'), "it")
    with (tmp_path / "it.jsonl").open("a") as file:
        file.write("not json\n")
    by_line = documents(ingest(tmp_path, 'it.jsonl, metadata_fields = ["url"]'), "it")
    assert [json.loads(d["metadata"]) for d in by_block] == [json.loads(d["metadata"]) for d in by_line]
    assert json.loads(by_line[2]["metadata"])["url"] == rows[2]["url"]


def warc_record(kind: str, address: str, content: bytes) -> bytes:
    head = (
        f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Record-ID: "
        f"<urn:uuid:{abs(hash(address)):032x}>\r\nWARC-Target-URI: {address}\r\n"
    )
    head += (
        "WARC-Date: 2026-01-01T00:00:00Z\r\nContent-Type: application/http\r\nContent-Length: "
        f"{len(content)}\r\n\r\n"
    )
    return head.encode() + content + b"\r\n\r\n"


def http(body: bytes, kind: str = "text/html; charset=utf-8", status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def test_pages_of_a_web_archive_become_text(tmp_path: Path) -> None:
    article = "<p>" + "The harbour of the old town was rebuilt after the great fire. " * 8 + "</p>"
    page = (
        f"<html><body><nav><a href=/>Home</a> <a href=/x>About</a></nav><main>{article}</main></body></html>"
    ).encode()
    records = [
        warc_record("response", "https://town.org/harbour", http(page)),
        warc_record("response", "https://town.org/logo.png", http(b"\x89PNG", "image/png")),
        warc_record("response", "https://town.org/lost", http(b"<p>Not found</p>", status="404 Not Found")),
    ]
    (tmp_path / "it.warc.gz").write_bytes(b"".join(gzip.compress(record) for record in records))
    (tmp_path / "sites.txt").write_text("town.org")
    found = documents(ingest(tmp_path, "it.warc.gz"), "it")
    assert len(found) == 1
    assert found[0]["text"].startswith("The harbour of the old town")
    assert "About" not in found[0]["text"]
    assert json.loads(found[0]["metadata"])["url"] == "https://town.org/harbour"
    wet = warc_record("conversion", "https://town.org/wet", "Plain text of a café.".encode()).replace(
        b"application/http", b"text/plain"
    )
    (tmp_path / "it.wet").write_bytes(wet)
    assert texts(ingest(tmp_path, "it.wet")) == ["Plain text of a café."]


def test_hub_datasets_are_read_by_the_library(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    pq.write_table(pa.table({"text": ["from", "the hub"]}), tmp_path / "set" / "train-00000-of-00001.parquet")
    assert texts(ingest(tmp_path, f'{tmp_path}/set, format = "hub"')) == ["from", "the hub"]


def test_mistaken_encodings_are_mended_where_asked(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "it.jsonl", ["schÃ¶n and cafÃ©"])
    assert texts(ingest(tmp_path, "it.jsonl")) == ["schÃ¶n and cafÃ©"]
    assert texts(ingest(tmp_path, "it.jsonl, repair_unicode = true")) == ["schön and café"]


def test_overlong_line_is_refused_with_its_place_and_the_rest_is_read(tmp_path: Path) -> None:
    with (tmp_path / "it.jsonl").open("wb") as file:
        file.write(b'{"text": "before"}\n{"text": "')
        for _ in range(60):
            file.write(b"x" * 1_000_000)
        file.write(b'"}\n{"text": "after"}\n')
    artifact = ingest(tmp_path, "it.jsonl, max_record_bytes = 20_000_000")
    assert texts(artifact) == ["before", "after"]
    assert [(r["row"], r["reason"]) for r in rejections(artifact)] == [(1, "too_large")]


def test_large_single_document_nul_bytes_and_mixed_schemas(tmp_path: Path) -> None:
    (tmp_path / "it").mkdir()
    (tmp_path / "it" / "big.txt").write_text("many words " * 3_000_000)
    (tmp_path / "it" / "nul.jsonl").write_text('{"text": "a\\u0000b"}\n')
    pq.write_table(pa.table({"text": ["good"]}), tmp_path / "it" / "a.parquet")
    pq.write_table(pa.table({"body": ["other schema"]}), tmp_path / "it" / "b.parquet")
    pq.write_table(pa.table({"text": [b"bytes", b"\xff"]}), tmp_path / "it" / "c.parquet")
    (tmp_path / "it" / "empty.jsonl").write_bytes(b"")
    (tmp_path / "it" / "broken.parquet").write_bytes(b"PAR1 and nothing more")
    artifact = ingest(tmp_path, "it")
    assert sorted(t[:5] for t in texts(artifact)) == ["a\0b", "bytes", "good", "many "]
    assert artifact.manifest.counts["rejected"] == {"missing_text": 1, "invalid_utf8": 1, "unreadable": 1}


def test_folder_without_text_is_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "it").mkdir()
    with pytest.raises(ConfigError, match=r"corpus\.domains\[0\]\.sources\[0\]\.path: no file matches"):
        ingest(tmp_path, "it")


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.one_of(
            st.text(min_size=1).map(lambda t: json.dumps({"text": t}).encode()),
            st.text().map(
                lambda t: json.dumps({"text": t}, ensure_ascii=False).encode("utf-8", "surrogatepass")
            ),
            st.binary(max_size=30).map(lambda b: b.replace(b"\n", b" ")),
            st.integers().map(lambda n: json.dumps({"text": n}).encode()),
        ),
        max_size=12,
    )
)
def test_every_line_is_a_document_or_rejected(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]
) -> None:
    folder = tmp_path_factory.mktemp("lines")
    (folder / "it.jsonl").write_bytes(b"\n".join([b'{"text": "anchor"}', *lines]))
    counts = ingest(folder, "it.jsonl").manifest.counts
    blank = sum(not line.strip() for line in lines)
    assert counts["by_domain"]["it"]["documents_in"] == 1 + len(lines) - blank
