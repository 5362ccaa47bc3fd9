"""Ingest keeps every record: as a document, or in ``rejected/`` with its reason."""

import gzip
import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from corpus_writer import corpus_config, documents, run_stages, table, write_jsonl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mashbill.artifacts import Artifact
from mashbill.errors import ConfigError, DataError

LENIENT = "max_rejected_share = 1.0"


def ingest(folder: Path, source: str, extra: str = LENIENT) -> Artifact:
    """Ingest a source beside a second domain that is always fine."""
    write_jsonl(folder / "other.jsonl", ["a fine document"])
    return run_stages(corpus_config(folder, {"it": source, "other": "other.jsonl"}, extra=extra), "ingest")["ingest"]


def texts(artifact: Artifact) -> list[str]:
    return [d["text"] for d in documents(artifact, "it")]


@pytest.mark.parametrize("ending, opener", [("", None), (".gz", gzip.compress), (".zst", zstandard.ZstdCompressor().compress)])
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
    lines = [b'{"text": "good"}', b'{"text": "bad \xff utf8"}', b'{"text": ', b'{"other": 1}', b'{"text": "  "}', b'{"text": null}']
    lines += [b'{"text": 5}', b"[1, 2]", b'{"text": "lone \\ud800 surrogate"}', b'{"text": "also good"}']
    (tmp_path / "it.jsonl").write_bytes(b"\n".join(lines))
    artifact = ingest(tmp_path, "it.jsonl")
    assert texts(artifact) == ["good", "also good"]
    rejected = {row["row"]: row["reason"] for row in table(artifact, "rejected/rejected.parquet")}
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
    assert "unreadable" in Counter(row["reason"] for row in table(artifact, "rejected/rejected.parquet"))


def test_same_id_twice_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "it.jsonl").write_text('{"id": 1, "text": "first"}\n{"id": 1, "text": "second"}\n')
    artifact = ingest(tmp_path, 'it.jsonl, id_field = "id"')
    assert texts(artifact) == ["first"]
    assert artifact.manifest.counts["rejected"] == {"duplicate_id": 1}


def test_too_many_rejected_records_fail_with_the_worst_file(tmp_path: Path) -> None:
    (tmp_path / "it.jsonl").write_text('{"text": "good"}\nnot json\n')
    with pytest.raises(DataError, match=r"domain it: 50\.0% of its records are rejected \(malformed_json 1\), worst in .*it\.jsonl"):
        ingest(tmp_path, "it.jsonl", extra="")
    assert not list((tmp_path / "artifacts").glob("ingest/*"))


def test_unknown_ending_names_the_mend(tmp_path: Path) -> None:
    (tmp_path / "it.docx").write_text("x")
    with pytest.raises(ConfigError, match=r"it\.docx: has an ending that names no format; set the source's format"):
        ingest(tmp_path, "it.docx")


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.one_of(
            st.text(min_size=1).map(lambda t: json.dumps({"text": t}).encode()),
            st.text().map(lambda t: json.dumps({"text": t}, ensure_ascii=False).encode("utf-8", "surrogatepass")),
            st.binary(max_size=30).map(lambda b: b.replace(b"\n", b" ")),
            st.integers().map(lambda n: json.dumps({"text": n}).encode()),
        ),
        max_size=12,
    )
)
def test_every_line_is_a_document_or_rejected(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]) -> None:
    folder = tmp_path_factory.mktemp("lines")
    (folder / "it.jsonl").write_bytes(b"\n".join([b'{"text": "anchor"}', *lines]))
    counts = ingest(folder, "it.jsonl").manifest.counts
    blank = sum(not line.strip() for line in lines)
    assert counts["by_domain"]["it"]["documents_in"] == 1 + len(lines) - blank
