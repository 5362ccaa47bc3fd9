"""Sources are cut into pieces by their listing; however they are cut, and whoever reads them, they give the
same documents with the same ids in the same order."""

import codecs
import gzip
import io
import itertools
import json
import logging
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.checkout import TESTS
from builders.corpus import corpus_config, documents, rejections, run_stages, write_jsonl
from mashbill.artifacts import Artifact
from mashbill.config import PipelineConfig, Source
from mashbill.corpus import ingest as ingesting
from mashbill.corpus import pieces as cutting
from mashbill.corpus import taking
from mashbill.corpus.columnar import read_groups
from mashbill.corpus.jsonl import read_lines
from mashbill.corpus.pieces import FilePart, Span, grouped, in_rows
from mashbill.corpus.sources import SourceFile, source_files
from mashbill.corpus.spans import line_blocks, records_in
from mashbill.documents import DocumentStore
from mashbill.partitions import spread as on_engine

SOURCE = Source(path="it.jsonl")


def config_of(folder: Path, source: str, most: int = 64_000_000, extra: str = "") -> PipelineConfig:
    write_jsonl(folder / "other.jsonl", ["a fine document"])
    more = f"max_rejected_share = 1.0\npartition_bytes = {most}\n{extra}"
    return corpus_config(folder, {"it": source, "other": "other.jsonl"}, extra=more)


def ingest(folder: Path, source: str, most: int = 64_000_000) -> Artifact:
    return run_stages(config_of(folder, source, most), "ingest")["ingest"]


def part_of(path: Path, number: int = 0, span: Span | None = None, size: int | None = None) -> FilePart:
    file = SourceFile(path, path.name, str(path), "", path.stat().st_size if size is None else size)
    return FilePart(file, SOURCE, "here", "jsonl", path.name, number, span)


def spans_at(path: Path, cuts: list[int]) -> list[FilePart]:
    """A file cut before these bytes, as tasks are given it."""
    size = path.stat().st_size
    bounds = [0, *cuts, size]
    ends: list[int | None] = [*bounds[1:-1], None]
    parts = [part_of(path, 0, Span(a, b, size)) for a, b in zip(bounds[:-1], ends, strict=True)]
    return list(in_rows(parts, iter([records_in(part) for part in parts])))


def rows_of(path: Path, parts: list[FilePart]) -> list[tuple[int, str]]:
    """Rows and texts, or reasons, that parts of a file of lines give."""
    found = []
    for part in parts:
        assert part.span is not None
        with path.open("rb") as file:
            for records in read_lines(line_blocks(file, part.span), SOURCE, first_row=part.span.row):
                found += [(row["row"], row["text"]) for row in records.table.to_pylist()]
                found += [(one.row, one.reason) for one in records.rejected]
    return found


LINES = ['{"text": "one"}', '{"text": "zwölf ☕"}', "", "no json", '{"text": "𝄞"}', '{"text": "last"}']


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
def test_lines_are_the_same_wherever_a_file_is_cut(
    tmp_path: Path, end: str, closed: bool, mark: bytes
) -> None:
    path = tmp_path / "it.jsonl"
    path.write_bytes(mark + (end.join(LINES) + end * closed).encode())
    whole = [(0, "one"), (1, "zwölf ☕"), (3, "malformed_json"), (4, "𝄞"), (5, "last")]
    size = path.stat().st_size
    for first in range(1, size):
        for second in {first + 1, first + 2, first + 20} & set(range(size)):
            assert sorted(rows_of(path, spans_at(path, [first, second]))) == whole, (first, second)
    assert sorted(rows_of(path, spans_at(path, list(range(1, size))))) == whole


@given(st.lists(st.text(max_size=30), min_size=1), st.lists(st.integers(1, 10_000)), st.booleans())
def test_any_texts_come_once_with_their_rows_from_any_cuts(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], cuts: list[int], escaped: bool
) -> None:
    path = tmp_path_factory.mktemp("cut") / "it.jsonl"
    usable = [text.encode("utf-8", "replace").decode() for text in texts]
    lines = [json.dumps({"text": text}, ensure_ascii=escaped) for text in usable]
    path.write_text("\n".join(lines), encoding="utf-8", newline="")
    chosen = sorted({cut % path.stat().st_size for cut in cuts} - {0})
    assert rows_of(path, spans_at(path, chosen)) == list(enumerate(usable))


def test_a_line_longer_than_many_spans_belongs_to_the_one_that_it_begins_in(tmp_path: Path) -> None:
    path = tmp_path / "it.jsonl"
    texts = ["short", "long " * 100, "short again"]
    write_jsonl(path, texts)
    parts = spans_at(path, list(range(10, path.stat().st_size, 10)))
    assert rows_of(path, parts) == list(enumerate(texts))
    assert sum(bool(rows_of(path, [part])) for part in parts) == len(texts)


def test_spans_of_a_table_share_its_groups_of_rows_evenly(tmp_path: Path) -> None:
    path = tmp_path / "it.parquet"
    pq.write_table(pa.table({"text": [f"text {i}" for i in range(1_000)]}), path, row_group_size=50)
    size = path.stat().st_size
    bounds: list[int | None] = [0, size // 4, size // 2, size * 3 // 4, None]
    found = []
    for start, end in itertools.pairwise(bounds):
        with path.open("rb") as file:
            records = read_groups(path, file, SOURCE, span=Span(start or 0, end, size))
            found.append([row["row"] for some in records for row in some.table.to_pylist()])
    assert [row for rows in found for row in rows] == list(range(1_000))
    assert all(200 <= len(rows) <= 300 for rows in found)


@pytest.mark.parametrize(
    "content",
    [
        json.dumps([{"text": f"text {i}"} for i in range(9_000)], indent=1).encode(),
        "".join(f'{{"text": "text {i}"}}\n' for i in range(9_000)).encode("utf-16"),
        gzip.compress("".join(f'{{"text": "text {i}"}}\n' for i in range(70_000)).encode()),
    ],
    ids=["an array", "utf-16", "packed"],
)
def test_what_is_not_made_of_plain_lines_is_read_whole_whatever_its_name(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "it.jsonl").write_bytes(content)
    assert len(content) > 100_000
    found = documents(ingest(tmp_path, "it.jsonl", 100_000), "it")
    assert [row["text"] for row in found] == [f"text {i}" for i in range(len(found))]
    assert len(found) in (9_000, 70_000)


def mixed(folder: Path) -> str:
    """Files of several formats, some large, whose ids come again in one another and in themselves."""
    folder.mkdir()
    rows = [{"id": f"{i % 2_900}", "text": f"text {i} of many " + "word " * (i % 60)} for i in range(3_000)]
    lines = [json.dumps(row) + "\n" for row in rows]
    lines[1_000] = "no json\n"
    (folder / "a.jsonl").write_text("".join(lines))
    (folder / "b.jsonl.gz").write_bytes(gzip.compress("".join(lines[2_000:]).encode()))
    table = pa.table({name: [row[name] for row in rows[1_500:]] for name in ("id", "text")})
    pq.write_table(table, folder / "c.parquet", row_group_size=100, compression="none")
    for i in range(50):
        (folder / f"d{i:02}.jsonl").write_text(json.dumps({"id": f"d{i // 2}", "text": f"small {i}"}) + "\n")
    return f'{folder.name}, id_field = "id"'


def given_by(artifact: Artifact) -> tuple[object, ...]:
    store = DocumentStore.of(artifact)
    rejected = sorted(rejections(artifact), key=lambda row: (row["source"], row["row"], row["reason"]))
    counts = artifact.manifest.counts
    return [row for name in store.sets() for row in documents(artifact, name)], rejected, counts


def test_documents_ids_and_what_is_lost_are_the_same_however_sources_are_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = mixed(tmp_path / "raw")
    found = [given_by(ingest(tmp_path, source, most)) for most in (64_000_000, 300_000, 100_000)]
    monkeypatch.setattr(taking, "MOST_ROWS", 1)  # so that a task sends and writes often
    found.append(given_by(ingest(tmp_path, source, 64_000_001)))
    assert found[0] == found[1] == found[2] == found[3]
    rows = found[0][0]
    assert isinstance(rows, list)
    ids = [row["id"] for row in rows if row["domain"] == "it"]
    assert len(set(ids)) == len(ids) == 2_899 + 25
    texts = {row["id"]: row["text"] for row in rows}
    assert texts["5"].startswith("text 5 of many"), "the first of an id stays"
    assert texts["d3"] == "small 6"


def test_files_are_the_same_whoever_works_and_in_whatever_order_they_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, sums = mixed(tmp_path / "raw"), []
    listed = Path.iterdir
    for cores, back in ((1, False), (4, False), (3, True)):
        monkeypatch.setattr("os.cpu_count", lambda cores=cores: cores)
        monkeypatch.setattr("os.sched_getaffinity", lambda _, cores=cores: set(range(cores)))
        order = reversed if back else iter
        monkeypatch.setattr(Path, "iterdir", lambda path, order=order: order(sorted(listed(path))))
        artifact = ingest(tmp_path, source, 100_000)
        sums.append(artifact.manifest.files)
        (tmp_path / "artifacts").rename(tmp_path / f"made-{cores}")
    assert sums[0] == sums[1] == sums[2]
    assert len(sums[0]) > 5


def test_partitions_are_numbered_without_gaps_in_the_order_of_the_files(tmp_path: Path) -> None:
    artifact = ingest(tmp_path, mixed(tmp_path / "raw"), 100_000)
    partitions = DocumentStore.of(artifact).partitions("it")
    assert [part.number for part in partitions] == list(range(len(partitions)))
    sources = [name for part in partitions for name in part.read(["source"])["source"].to_pylist()]
    assert sources == sorted(sources)
    assert len({name for name in sources if name.endswith("a.jsonl")}) == 1
    assert sum(name.endswith("a.jsonl") for name in sources) > 2_800


def test_a_killed_run_goes_on_with_the_pieces_that_are_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = mixed(tmp_path / "raw")
    config = config_of(tmp_path, source, 100_000)
    read: list[int] = []
    whole = taking.PieceWriter.take

    def until_the_fourth(writer: taking.PieceWriter, part: FilePart) -> taking.TakenPart:
        read.append(writer.piece.number)
        if fail and writer.piece.number == 3:
            raise KeyboardInterrupt
        return whole(writer, part)

    monkeypatch.setattr("os.cpu_count", lambda: 1)
    monkeypatch.setattr(taking.PieceWriter, "take", until_the_fourth)
    fail = True
    with pytest.raises(KeyboardInterrupt):
        run_stages(config, "ingest")
    before, fail = set(read) - {3}, False
    read.clear()
    again = given_by(run_stages(config, "ingest")["ingest"])
    assert before
    assert not before & set(read)
    (tmp_path / "artifacts").rename(tmp_path / "resumed")
    assert given_by(run_stages(config, "ingest")["ingest"]) == again


def test_two_thousand_small_files_are_few_tasks(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    for i in range(2_000):
        (tmp_path / "raw" / f"{i:04}.txt").write_text(f"text {i} " + "word " * 20)
    seen: list[int] = []

    def counted(engine: object, work: object, items: list[object], **more: object) -> Iterator[object]:
        seen.append(len(items))
        yield from on_engine(engine, work, items, **more)  # type: ignore[arg-type]

    original, ingesting.spread = ingesting.spread, counted  # type: ignore[assignment]
    try:
        artifact = ingest(tmp_path, "raw", 100_000)
    finally:
        ingesting.spread = original
    assert len(documents(artifact, "it")) == 2_000
    assert max(seen) <= 5


def test_small_files_share_a_piece_and_large_ones_have_their_own(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.touch()
    sizes = [10, 20, 70, 0, 5, 500, 30, 30, 30, 30]
    parts = [part_of(path, i, None, size) for i, size in enumerate(sizes)]
    found = [[part.file.bytes for part in group] for group in grouped(parts, 100)]
    assert found == [[10, 20, 70, 0], [5], [500], [30, 30, 30], [30]]


def test_a_large_file_that_cannot_be_split_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cutting, "HEAVY_BYTES", 200_000)
    mixed(tmp_path / "raw")
    rows = b"".join(b'{"text": "%d"}\n' % (i * i * 7_919) for i in range(18_000))
    (tmp_path / "raw" / "heavy.jsonl.gz").write_bytes(gzip.compress(rows))
    light = b"".join(b'{"text": "%d"}\n' % (i * i * 7_919) for i in range(6_000))
    heavy, packed = len(gzip.compress(rows)), len(gzip.compress(light))
    assert cutting.PACKED * heavy > 200_000 > heavy, "it holds more than it takes"
    assert cutting.PACKED * packed < 200_000
    (tmp_path / "raw" / "light.jsonl.gz").write_bytes(gzip.compress(light))
    with caplog.at_level(logging.WARNING):
        ingest(tmp_path, "raw", 100_000)
    (told,) = [message for message in caplog.messages if "cannot be split" in message]
    assert told.startswith("1 files of about 0 GB")
    assert "heavy.jsonl.gz" in told
    assert "light.jsonl.gz" not in told
    assert "a.jsonl" not in told


@pytest.fixture
def asked(root: str) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """A bucket, and the keys and ranges that are asked for in it."""
    found: list[tuple[str, str]] = []
    boto3.setup_default_session()
    boto3.DEFAULT_SESSION.events.register(
        "before-parameter-build.s3.GetObject",
        lambda params, **_: found.append((params["Key"], params.get("Range", ""))),
    )
    yield root.removeprefix("s3://").split("/")[0], found
    boto3.setup_default_session()


def test_a_large_object_is_read_by_ranges_and_no_copy_of_it_is_made(
    asked: tuple[str, list[tuple[str, str]]], tmp_path: Path
) -> None:
    bucket, requests = asked
    rows = [{"text": f"text {i} " + "word " * (i % 60)} for i in range(4_000)]
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    made = io.BytesIO()
    pq.write_table(pa.table({"text": [row["text"] for row in rows]}), made, 200, compression="none")
    for name, body in (("a.jsonl", lines), ("b.parquet", made.getvalue())):
        (tmp_path / name).write_bytes(body)
        boto3.client("s3").put_object(Bucket=bucket, Key=f"raw/{name}", Body=body)
    local = documents(ingest(tmp_path, "[ab].*", 100_000), "it")
    config = config_of(tmp_path, f"s3://{bucket}/raw", 100_000)
    config = config.model_copy(update={"scratch": str(tmp_path / "scratch")})
    found = documents(run_stages(config, "ingest")["ingest"], "it")
    assert [(row["id"], row["text"]) for row in found] == [(row["id"], row["text"]) for row in local]
    assert len(found) == 8_000
    ranges = {key: [span for asked, span in requests if asked == key] for key, _ in requests}
    assert ranges.keys() == {"raw/a.jsonl", "raw/b.parquet"}
    assert all(span for spans in ranges.values() for span in spans), "nothing is asked for whole"
    bounds = [span.removeprefix("bytes=").split("-") for span in ranges["raw/a.jsonl"]]
    assert max(int(last) - int(first) for first, last in bounds) < 110_000
    assert not [path for path in (tmp_path / "scratch" / "sources").rglob("*") if path.is_file()]


def test_small_objects_of_a_piece_are_asked_for_once_each_and_come_in_order(
    asked: tuple[str, list[tuple[str, str]]], tmp_path: Path
) -> None:
    bucket, requests = asked
    texts = [f"text {i} " + "word " * (i % 7) for i in range(40)]
    for i, text in enumerate(texts):
        boto3.client("s3").put_object(Bucket=bucket, Key=f"raw/{i:02}.txt", Body=text.encode())
    config = config_of(tmp_path, f"s3://{bucket}/raw")
    config = config.model_copy(update={"scratch": str(tmp_path / "scratch")})
    found = documents(run_stages(config, "ingest")["ingest"], "it")
    assert [row["text"] for row in found] == texts
    assert sorted(key for key, _ in requests) == [f"raw/{i:02}.txt" for i in range(40)]


def test_a_piece_that_is_sent_to_another_machine_is_copied_to_the_scratch_folder_there(
    asked: tuple[str, list[tuple[str, str]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket, _ = asked
    boto3.client("s3").put_object(Bucket=bucket, Key="raw/a.jsonl", Body=b'{"text": "here"}')
    config = config_of(tmp_path, f"s3://{bucket}/raw")
    config = config.model_copy(update={"scratch": str(tmp_path / "scratch")})
    (file,) = source_files(config, config.corpus.domains[0].sources[0], "here").files
    sent = pickle.dumps(file)
    monkeypatch.setenv("MASHBILL_SCRATCH", str(tmp_path / "theirs"))
    with pickle.loads(sent).opened() as path:
        assert path.is_relative_to(tmp_path / "theirs")
        assert path.read_bytes() == b'{"text": "here"}'
    assert not list((tmp_path / "scratch").rglob("*.jsonl"))


def test_an_object_that_is_written_anew_while_it_is_read_is_named(
    asked: tuple[str, list[tuple[str, str]]], tmp_path: Path
) -> None:
    from mashbill.errors import DataError
    from mashbill.storage import open_storage

    bucket, _ = asked
    client = boto3.client("s3")
    client.put_object(Bucket=bucket, Key="raw/a.jsonl", Body=b"0123456789")
    storage = open_storage(f"s3://{bucket}", tmp_path)
    (file,) = storage.match("raw/*")
    assert bytes(storage.window(file, 3, 4)) == b"3456"
    assert bytes(storage.window(file, 8, 4)) == b"89"
    client.put_object(Bucket=bucket, Key="raw/a.jsonl", Body=b"others")
    with pytest.raises(DataError, match=r"raw/a\.jsonl: changed since it was listed"):
        storage.window(file, 3, 2)
    client.delete_object(Bucket=bucket, Key="raw/a.jsonl")
    with pytest.raises(DataError, match=r"raw/a\.jsonl: was listed and cannot be read"):
        storage.window(file, 3, 2)


MEASURED = """
import sys
from pathlib import Path
from builders.corpus import run_stages
from builders.memory import peak_bytes
from mashbill.config import load_config
before = peak_bytes()
artifact = run_stages(load_config(Path(sys.argv[1])), "ingest")["ingest"]
print(artifact.manifest.counts["documents_out"], peak_bytes() - before)
"""


GROUP = """
import sys
from pathlib import Path
from builders.memory import peak_bytes
from mashbill.config import Source
from mashbill.corpus.columnar import read_groups
from mashbill.corpus.spans import StoredBytes
from mashbill.storage import open_storage
path = Path(sys.argv[1])
storage = open_storage(str(path.parent), path.parent)
(listed,) = storage.match(path.name)
given = StoredBytes(storage, listed) if sys.argv[2] == "store" else path
before = peak_bytes()
with path.open("rb") as opened:
    rows = sum(len(some.table) for some in read_groups(given, opened, Source(path=str(path))))
print(rows, peak_bytes() - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize("rows, characters", [(400_000, 1_000), (400, 1_000_000)])
@pytest.mark.parametrize("place", ["disk", "store"])
def test_a_group_of_rows_of_many_times_the_memory_is_read_in_bounded_memory(
    rows: int, characters: int, place: str, tmp_path: Path
) -> None:
    path, letters = tmp_path / "it.parquet", np.random.default_rng(0)
    pages = {"compression": "none", "write_batch_size": 1_000_000 // characters}
    with pq.ParquetWriter(path, pa.schema([("text", pa.string())]), **pages) as writer:
        ends = np.arange(0, rows * characters + 1, characters, np.int32)
        drawn = letters.integers(97, 123, rows * characters, np.uint8)
        text = pa.StringArray.from_buffers(rows, pa.py_buffer(ends), pa.py_buffer(drawn))
        writer.write_table(pa.table({"text": text}), row_group_size=rows)
    command = [sys.executable, "-c", GROUP, str(path), place]
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])}
    printed = subprocess.run(command, check=True, capture_output=True, text=True, env=paths).stdout
    found, taken = map(int, printed.split())
    assert pq.read_metadata(path).num_row_groups == 1
    assert found == rows
    assert taken < 250_000_000, "of 400 MB of text"


@pytest.mark.slow
def test_a_stream_of_many_times_the_memory_is_read_in_bounded_memory(tmp_path: Path) -> None:
    few, many = (_taken(tmp_path / str(count), count) for count in (60, 500))
    assert many < few + 100_000_000, "of half a gigabyte of text"


def _taken(folder: Path, count: int) -> int:
    """Bytes of memory that ingest takes for a stream of so many megabytes."""
    folder.mkdir()
    with gzip.open(folder / "it.jsonl.gz", "wb", compresslevel=1) as file:
        for i in range(count):
            file.write((json.dumps({"text": f"{i} " + "many words " * 90_000}) + "\n").encode())
    config_of(folder, "it.jsonl.gz", 16_000_000)
    command = [sys.executable, "-c", MEASURED, str(folder / "config.toml")]
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])}
    printed = subprocess.run(command, check=True, capture_output=True, text=True, env=paths).stdout
    documents_out, taken = map(int, printed.split())
    assert documents_out == count + 1
    return taken
