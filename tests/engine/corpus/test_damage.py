"""Damaged files give what is whole in them, and say what they lost."""

import bz2
import gzip
import io
import json
import lzma
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings

from builders.readers import read
from fuzz.check import check
from fuzz.damage import Damaged, damaged_files

COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "zst": zstandard.ZstdCompressor(write_checksum=True).compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
}
packed = pytest.mark.parametrize("ending", COMPRESSIONS)


def lines(first: int, count: int) -> bytes:
    return b"".join(
        json.dumps({"text": f"text number {i} " + "word " * (i % 50)}).encode() + b"\n"
        for i in range(first, first + count)
    )


def numbers(texts: list[str]) -> list[int]:
    return [int(text.split()[2]) for text in texts]


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(damaged_files())
def test_no_damage_ends_in_a_traceback_or_an_uncounted_loss(
    tmp_path_factory: pytest.TempPathFactory, damaged: Damaged
) -> None:
    check(damaged, tmp_path_factory.getbasetemp())


@packed
def test_members_follow_one_another_and_zeros_may_fill_up(tmp_path: Path, ending: str) -> None:
    compress = COMPRESSIONS[ending]
    path = tmp_path / "it.dump"
    path.write_bytes(compress(lines(0, 300)) + compress(lines(300, 200)) + b"\0" * 512)
    found = read(path, format="jsonl")
    assert numbers(found.texts) == list(range(500))
    assert not found.rejected


@packed
def test_a_damaged_member_costs_itself_and_is_counted_in_bytes(tmp_path: Path, ending: str) -> None:
    members = [COMPRESSIONS[ending](lines(first, 100)) for first in (0, 100, 200)]
    middle = bytearray(members[1])
    middle[len(middle) // 2] ^= 0xFF
    middle[len(middle) // 2 + 1] ^= 0xFF
    path = tmp_path / "it.dump"
    path.write_bytes(members[0] + bytes(middle) + members[2])
    found = read(path, format="jsonl")
    kept = numbers(found.texts)
    assert kept[:100] == list(range(100))
    assert kept[-100:] == list(range(200, 300))
    assert all(number < 200 for number in kept[100:-100])
    assert found.reasons == ["unreadable"]
    assert 0 < found.rejected[0].bytes <= len(middle)


@packed
def test_rubbish_between_members_costs_no_record(tmp_path: Path, ending: str) -> None:
    compress = COMPRESSIONS[ending]
    path = tmp_path / "it.dump"
    path.write_bytes(compress(lines(0, 50)) + b"<html>rubbish</html>" * 20 + compress(lines(50, 50)))
    found = read(path, format="jsonl")
    assert numbers(found.texts) == list(range(100))
    assert found.reasons == ["unreadable"]
    assert found.rejected[0].bytes == 20 * len(b"<html>rubbish</html>")


@packed
def test_a_cut_archive_gives_its_whole_lines_and_says_that_more_is_missing(
    tmp_path: Path, ending: str
) -> None:
    whole = COMPRESSIONS[ending](lines(0, 60_000))
    path = tmp_path / "it.dump"
    path.write_bytes(whole[: len(whole) * 2 // 3])
    found = read(path, format="jsonl")
    assert numbers(found.texts) == list(range(len(found.texts)))
    assert found.texts or ending in ("bz2", "xz")
    assert [(one.reason, one.cut) for one in found.rejected] == [("unreadable", True)]


def test_what_failed_its_checksum_is_not_kept(tmp_path: Path) -> None:
    content = bytearray(gzip.compress(lines(0, 100)))
    content[-6] ^= 1  # within the checksum at the end
    (tmp_path / "it.jsonl.gz").write_bytes(content)
    found = read(tmp_path / "it.jsonl.gz")
    assert found.texts == []
    assert found.reasons == ["unreadable"]


def test_halves_of_lines_around_damage_make_no_line(tmp_path: Path) -> None:
    first, second = b'{"text": "one"}\n{"text": "half of a', b' line"}\n{"text": "two"}\n'
    (tmp_path / "it.jsonl.gz").write_bytes(gzip.compress(first) + b"rubbish" + gzip.compress(second))
    found = read(tmp_path / "it.jsonl.gz")
    assert found.texts == ["one", "two"]
    assert sorted(found.reasons) == ["malformed_json", "unreadable"]


def test_a_frame_of_a_two_gigabyte_window_is_read(tmp_path: Path) -> None:
    settings_ = zstandard.ZstdCompressionParameters.from_level(3, window_log=31, enable_ldm=True)
    with (tmp_path / "it.jsonl.zst").open("wb") as file:
        compressor = zstandard.ZstdCompressor(compression_params=settings_)
        with compressor.stream_writer(file, closefd=False) as writer:
            writer.write(lines(0, 300))
    assert len(read(tmp_path / "it.jsonl.zst").texts) == 300


@pytest.mark.parametrize(
    "content",
    [b"", b"<Error>AccessDenied</Error>", gzip.compress(lines(0, 9))[:20]],
    ids=["nothing", "an error page", "a beginning"],
)
def test_an_archive_that_is_none_is_unreadable(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "it.jsonl.gz").write_bytes(content)
    found = read(tmp_path / "it.jsonl.gz")
    assert found.texts == []
    assert "unreadable" in found.reasons


def test_plain_lines_in_a_file_that_is_called_an_archive_are_read(tmp_path: Path) -> None:
    (tmp_path / "it.jsonl.gz").write_bytes(lines(0, 9))
    found = read(tmp_path / "it.jsonl.gz")
    assert numbers(found.texts) == list(range(9))
    assert not found.rejected


def test_a_damaged_group_of_rows_costs_itself(tmp_path: Path) -> None:
    texts = [f"text {i} " + "word " * 200 for i in range(300)]
    path = tmp_path / "it.parquet"
    pq.write_table(pa.table({"text": texts}), path, row_group_size=100, write_page_checksum=True)
    about = pq.ParquetFile(path).metadata.row_group(1).column(0)
    content = bytearray(path.read_bytes())
    place = (about.dictionary_page_offset or about.data_page_offset) + about.total_compressed_size // 2
    content[place : place + 8] = b"\xff" * 8
    path.write_bytes(content)
    found = read(path)
    assert found.texts == texts[:100] + texts[200:]
    assert [(one.reason, one.records) for one in found.rejected] == [("unreadable", 100)]
    assert found.rejected[0].bytes == about.total_compressed_size


def test_an_arrow_file_without_its_end_gives_its_batches(tmp_path: Path) -> None:
    path = tmp_path / "it.arrow"
    schema = pa.schema([("text", pa.string())])
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for i in range(5):
            writer.write_batch(pa.record_batch([[f"text {i}"] * 100], schema=schema))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 3 // 5])
    found = read(path)
    assert len(found.texts) in (200, 300)
    assert [(one.reason, one.cut) for one in found.rejected] == [("unreadable", True)]


def test_an_arrow_stream_that_ends_between_two_batches_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "it.arrow"
    schema = pa.schema([("text", pa.string())])
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(pa.record_batch([["text"] * 10], schema=schema))
    assert not read(path).rejected
    path.write_bytes(path.read_bytes()[:-8])
    found = read(path)
    assert len(found.texts) == 10
    assert [(one.reason, one.cut) for one in found.rejected] == [("unreadable", True)]


def tar_of(content: bytes) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        about = tarfile.TarInfo("a.txt")
        about.size = len(content)
        archive.addfile(about, io.BytesIO(content))
    return made.getvalue()


def zip_of(content: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("a.jsonl", content)
    return made.getvalue()


LINE = b'{"text": "a line"}\n'
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 12\n"


@pytest.mark.parametrize(
    "name, content, said",
    [
        ("it.txt", tar_of(LINE), "tar"), ("it.txt.gz", gzip.compress(tar_of(LINE)), "tar"),
        ("it.jsonl.zst", zstandard.compress(tar_of(LINE)), "tar"), ("it.jsonl", zip_of(LINE), "zip"),
        ("it.csv.gz", zip_of(LINE), "zip"), ("it.txt", POINTER, "Git LFS"),
        ("it.parquet", POINTER, "Git LFS"),
        ("it.jsonl.gz", gzip.compress(gzip.compress(LINE)), "packed twice"),
        ("it.parquet.gz", gzip.compress(b"PAR1"), "packed with gzip"),
        ("it.feather", b"FEA1....", "version 1"),
        ("it.warc", b"%PDF-1.4", "PDF"), ("it.jsonl", b"\x04\x22\x4d\x18" + LINE, "lz4"),
    ],
    ids=lambda value: value if isinstance(value, str) else "content",
)  # fmt: skip
def test_a_file_that_is_something_else_is_called_what_it_is(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    found = read(tmp_path / name)
    assert (found.texts, found.reasons) == ([], ["unreadable"])
    assert said in found.rejected[0].excerpt
    assert found.rejected[0].bytes == len(content)
