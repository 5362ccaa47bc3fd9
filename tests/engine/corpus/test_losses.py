"""What files lost is estimated in bytes and records, said, and compared with what a domain may lose."""

import gzip
import json
import logging
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from builders.corpus import corpus_config, documents, rejections, run_stages, write_jsonl
from mashbill.artifacts import Artifact
from mashbill.errors import DataError

SENTENCE = "some words about a harbour and its boats. "


def shards(folder: Path, damage: dict[int, bytes | float], *, count: int = 10, each: int = 200) -> None:
    """Packed shards; of some only a share is there, or other bytes."""
    (folder / "shards").mkdir()
    for k in range(count):
        rows = (json.dumps({"text": f"Shard {k}, page {i}: {SENTENCE * 5}"}) + "\n" for i in range(each))
        whole = gzip.compress("".join(rows).encode())
        done = damage.get(k, 1.0)
        (folder / "shards" / f"shard-{k}.jsonl.gz").write_bytes(
            whole[: int(done * len(whole))] if isinstance(done, float) else done
        )


def ingest(folder: Path, source: str, extra: str = "") -> Artifact:
    write_jsonl(folder / "other.jsonl", ["a fine document"])
    return run_stages(corpus_config(folder, {"it": source, "other": "other.jsonl"}, extra=extra), "ingest")[
        "ingest"
    ]


DAMAGE: dict[int, bytes | float] = {3: 0.01, 5: b"<Error>AccessDenied</Error>", 7: 0.5}


def test_a_quarter_of_the_text_gone_fails_and_names_the_files(tmp_path: Path) -> None:
    shards(tmp_path, DAMAGE)
    with pytest.raises(DataError) as failure:
        ingest(tmp_path, "shards")
    for number in DAMAGE:
        assert f"shard-{number}.jsonl.gz" in str(failure.value)
    assert "unreadable 3" in str(failure.value)


def test_the_estimate_of_what_is_lost_is_near_the_truth(tmp_path: Path) -> None:
    shards(tmp_path, DAMAGE)
    lost = ingest(tmp_path, "shards", "max_rejected_share = 0.5").manifest.counts["lost"]["it"]
    assert lost["share_of_text"] == pytest.approx(0.25, abs=0.03)
    assert lost["share_of_records"] == pytest.approx(0.25, abs=0.03)
    assert lost["records"] == pytest.approx(500, rel=0.12)
    assert lost["files_not_read_to_their_end"] == 3


def test_where_the_share_allows_it_what_is_lost_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shards(tmp_path, DAMAGE)
    with caplog.at_level(logging.WARNING):
        ingest(tmp_path, "shards", "max_rejected_share = 0.5")
    said = [message for message in caplog.messages if message.startswith("domain it: about")]
    assert len(said) == 1
    assert "3 of 10 files not read to their end" in said[0]


def test_one_shard_of_many_that_gave_nothing_fails_unless_it_is_named(tmp_path: Path) -> None:
    shards(tmp_path, {7: b"rubbish"}, count=60, each=20)
    with pytest.raises(DataError, match=r"1 of its files gave no document: .*shard-7\.jsonl\.gz"):
        ingest(tmp_path, "shards")
    named = 'shards, may_give_nothing = ["*shard-7*"]'
    assert ingest(tmp_path, named).manifest.counts["lost"]["it"]["files_not_read_to_their_end"] == 1


def test_an_empty_file_lost_nothing(tmp_path: Path) -> None:
    shards(tmp_path, {})
    (tmp_path / "shards" / "part-empty.jsonl").write_bytes(b"")
    (tmp_path / "shards" / "packed-empty.jsonl.gz").write_bytes(gzip.compress(b""))
    assert "lost" not in ingest(tmp_path, "shards").manifest.counts


def test_what_was_rejected_is_kept_where_the_stage_fails(tmp_path: Path) -> None:
    (tmp_path / "it.jsonl").write_text('{"text": "good"}\nnot json\n')
    with pytest.raises(DataError) as failure:
        ingest(tmp_path, "it.jsonl")
    folder = Path(str(failure.value).partition("all that is rejected: ")[2].rstrip(")"))
    rows = pq.read_table(folder / "it" / "part-00000.parquet").to_pylist()
    assert [(row["row"], row["reason"], row["bytes"]) for row in rows] == [(1, "malformed_json", 8)]


def test_a_domain_without_a_document_fails_with_the_reasons(tmp_path: Path) -> None:
    (tmp_path / "it.jsonl").write_text('{"body": "text in another field"}\n{"text": ""}\n')
    with pytest.raises(DataError, match=r"has no document: .*missing_text 1, empty_text 1"):
        ingest(tmp_path, "it.jsonl", "max_rejected_share = 1.0")


def test_every_domain_that_lost_too_much_is_named_at_once(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.jsonl").write_text('{"text": "good"}\nnot json\n')
    with pytest.raises(DataError) as failure:
        run_stages(corpus_config(tmp_path, {"one": "one.jsonl", "two": "two.jsonl"}), "ingest")
    assert "domain one:" in str(failure.value)
    assert "domain two:" in str(failure.value)


def test_a_field_of_ids_that_no_record_has_is_an_error_of_the_config(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "it.jsonl", ["one", "two"])
    where = r"corpus\.domains\[0\]\.sources\[0\]\.id_field: no record of domain it has a field 'idd'"
    with pytest.raises(DataError, match=where):
        ingest(tmp_path, 'it.jsonl, id_field = "idd"')


def test_a_field_of_metadata_that_no_record_has_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "it.jsonl").write_text('{"text": "one", "url": "http://a/"}\n{"text": "two"}\n')
    artifact = ingest(tmp_path, 'it.jsonl, metadata_fields = ["url", "adress"]')
    assert artifact.manifest.counts["documents_out"] == 3
    assert [m for m in caplog.messages if "has a field" in m] == [
        "corpus.domains[0].sources[0]: no record of domain it has a field 'adress'"
    ]


def test_bytes_of_what_is_rejected_stand_beside_its_reason(tmp_path: Path) -> None:
    (tmp_path / "it.jsonl").write_bytes(b'{"text": "good"}\n{"text": "' + b"x" * 5_000 + b'"}\n')
    artifact = ingest(tmp_path, "it.jsonl, max_record_bytes = 1000", "max_rejected_share = 1.0")
    (row,) = rejections(artifact)
    assert (row["reason"], row["bytes"]) == ("too_large", 5_012)


def test_files_of_which_none_is_whole_fail_unless_a_share_is_set(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shards(tmp_path, {0: 0.5, 1: 0.9}, count=2)
    with pytest.raises(DataError, match=r"2 of its files end too early, and no whole one tells .*shard-0"):
        ingest(tmp_path, "shards")
    with caplog.at_level(logging.WARNING):
        ingest(tmp_path, "shards", "max_rejected_share = 0.5")
    assert "domain it: at least " in caplog.text


def test_files_without_a_record_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shards(tmp_path, {}, count=1)
    (tmp_path / "shards" / "empty.jsonl").write_bytes(b"")
    (tmp_path / "shards" / "none.json").write_text("[]")
    with caplog.at_level(logging.WARNING):
        ingest(tmp_path, "shards")
    assert "domain it: 2 of 3 files hold no record" in caplog.text
    assert "empty.jsonl" in caplog.text


def test_an_archive_without_a_page_says_what_it_holds(tmp_path: Path) -> None:
    record = "WARC/1.0\r\nWARC-Type: metadata\r\nContent-Length: 2\r\n\r\n{}\r\n\r\n"
    (tmp_path / "it.warc").write_text(record * 3, newline="")
    with pytest.raises(DataError, match=r"has no document: 1 of 1 files hold no record \(.*it\.warc\)"):
        ingest(tmp_path, "it.warc")


def test_what_is_said_of_a_record_holds_nothing_that_a_terminal_obeys(tmp_path: Path) -> None:
    (tmp_path / "it.jsonl").write_bytes(b"\x1b[31mbad\x07\n")
    with pytest.raises(DataError) as failure:
        ingest(tmp_path, "it.jsonl")
    assert str(failure.value).isprintable()


def test_a_licence_of_its_own_stands_alone_in_the_metadata(tmp_path: Path) -> None:
    rows = [{"text": "a", "license": "CC0"}, {"text": 'b "license": "x"'}]
    (tmp_path / "it.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    artifact = ingest(tmp_path, 'it.jsonl, license = "MIT", metadata_fields = ["license", "text"]')
    pairs = [json.loads(row["metadata"], object_pairs_hook=list) for row in documents(artifact, "it")]
    assert pairs == [
        [("license", "CC0"), ("text", "a")],
        [("license", "MIT"), ("text", rows[1]["text"])],
    ]


def test_a_split_that_a_dataset_has_not_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    write_jsonl(tmp_path / "data" / "a.jsonl", ["a"])
    with pytest.raises(DataError, match="Bad split: nope"):
        ingest(tmp_path, f'{tmp_path}/data, format = "hub", split = "nope"')
