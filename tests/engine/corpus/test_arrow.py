"""Arrow IPC files are read by their batches: however they are cut, on a disk or in a store, whole or damaged,
rows keep their texts and places; streams are read as one."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.corpus import corpus_config, documents, rejections, run_stages, write_jsonl
from mashbill.artifacts import Artifact
from mashbill.config import Source
from mashbill.corpus.arrow_layout import batch_places, rows_at
from mashbill.corpus.pieces import FilePart, Span, in_rows
from mashbill.corpus.readers import read_part
from mashbill.corpus.sources import SourceFile
from mashbill.corpus.spans import records_in

SOURCE = Source(path="it.arrow")
Rows = list[tuple[int, str]]


def written(path: Path, sizes: list[int], *, options: Any = None, new: Any = pa.ipc.new_file) -> list[str]:
    """Write batches of these many rows, with a column of text and two that nobody asks for; the texts."""
    texts = [f"text {i} of {sum(sizes)} " + "word " * (i % 50) for i in range(sum(sizes))]
    kinds = pa.dictionary(pa.int32(), pa.string())
    schema = pa.schema([("n", pa.int64()), ("text", pa.string()), ("kind", kinds)])
    schema = schema.with_metadata({"about": "it" * 50})
    start = 0
    with pa.OSFile(str(path), "wb") as sink, new(sink, schema, options=options) as writer:
        for size in sizes:
            some = texts[start : start + size]
            named = pa.DictionaryArray.from_arrays(
                pa.array([i % 2 for i in range(size)], pa.int32()), ["a", "b"]
            )
            columns = [pa.array(range(size), pa.int64()), pa.array(some, pa.string()), named]
            writer.write_batch(pa.record_batch(columns, schema=schema))
            start += size
    return texts


def part_of(path: Path, span: Span | None = None) -> FilePart:
    file = SourceFile(path, path.name, str(path), "", path.stat().st_size)
    return FilePart(file, SOURCE, "here", "arrow", path.name, 0, span)


def spans_at(path: Path, cuts: list[int]) -> list[FilePart]:
    """A file cut before these bytes, as tasks are given it."""
    size = path.stat().st_size
    bounds = [0, *cuts, size]
    ends: list[int | None] = [*bounds[1:-1], None]
    parts = [part_of(path, Span(a, b, size)) for a, b in zip(bounds[:-1], ends, strict=True)]
    return list(in_rows(parts, iter([records_in(part) for part in parts])))


def taken(parts: list[FilePart]) -> tuple[Rows, list[tuple[int, str, int]]]:
    """Rows and texts of parts of a file, and what is rejected of it."""
    rows, rejected = [], []
    for part in parts:
        for batch in read_part(part):
            rows += [(row["row"], row["text"]) for row in batch.documents.to_pylist()]
            rejected += [(one.row, one.reason, one.records) for one in batch.rejected]
    return rows, rejected


OPTIONS = {
    "plain": pa.ipc.IpcWriteOptions(),
    "lz4": pa.ipc.IpcWriteOptions(compression="lz4"),
    "zstd": pa.ipc.IpcWriteOptions(compression="zstd"),
    "legacy": pa.ipc.IpcWriteOptions(use_legacy_format=True),
    "version 4": pa.ipc.IpcWriteOptions(metadata_version=pa.ipc.MetadataVersion.V4),
}


@pytest.mark.parametrize("options", OPTIONS)
def test_where_batches_are_and_their_rows_are_as_they_were_written(tmp_path: Path, options: str) -> None:
    path, sizes = tmp_path / "it.arrow", [3, 0, 700, 1, 12]
    written(path, sizes, options=OPTIONS[options])
    with path.open("rb") as file:
        places = batch_places(file)
        assert [rows_at(file, place) for place in places] == sizes
    content = path.read_bytes()
    schema = pa.ipc.open_file(path).schema
    for place, size in zip(places, sizes, strict=True):
        message = pa.ipc.read_message(content[place.start : place.start + place.head + place.body])
        assert message.type == "record batch"
        assert len(message.body or b"") == place.body
        assert schema.names
        assert size in sizes


@given(st.lists(st.integers(0, 40), min_size=1, max_size=8), st.lists(st.integers(1, 10_000)))
def test_any_batches_come_once_with_their_rows_from_any_cuts(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], cuts: list[int]
) -> None:
    path = tmp_path_factory.mktemp("cut") / "it.arrow"
    texts = written(path, sizes)
    chosen = sorted({cut % path.stat().st_size for cut in cuts} - {0})
    assert taken(spans_at(path, chosen)) == (list(enumerate(texts)), [])


@pytest.mark.parametrize("new", [pa.ipc.new_stream, pa.ipc.new_file])
def test_a_stream_and_a_file_without_its_end_are_read_as_one(tmp_path: Path, new: Callable[..., Any]) -> None:
    path = tmp_path / "it.arrow"
    texts = written(path, [100] * 6, new=new)
    if new is pa.ipc.new_file:
        path.write_bytes(path.read_bytes()[:-400])
    (whole,) = spans_at(path, [5_000, 20_000])
    assert whole.span is None
    rows, _ = taken([whole])
    assert rows == list(enumerate(texts))[: len(rows)]
    assert len(rows) >= 500


def test_a_damaged_batch_costs_itself_and_those_behind_it_keep_their_rows(tmp_path: Path) -> None:
    path = tmp_path / "it.arrow"
    texts = written(path, [100] * 5, options=OPTIONS["lz4"])
    with path.open("rb") as file:
        place = batch_places(file)[1]
    content = bytearray(path.read_bytes())
    content[place.start + place.head : place.start + place.head + place.body] = b"\xff" * place.body
    path.write_bytes(content)
    rows = [(i, text) for i, text in enumerate(texts) if not 100 <= i < 200]
    size = path.stat().st_size
    for cuts in ([], [size // 2], [place.start, place.start + 1], list(range(1_000, size, 1_000))):
        assert taken(spans_at(path, cuts)) == (rows, [(-1, "unreadable", 100)]), cuts
    assert taken([part_of(path)]) == (rows, [(-1, "unreadable", 100)])


def test_damage_anywhere_costs_no_more_of_a_file_that_is_cut_than_of_a_whole_one(tmp_path: Path) -> None:
    path, dice = tmp_path / "it.arrow", random.Random(0)
    written(path, [20] * 4, options=OPTIONS["lz4"])
    content = path.read_bytes()
    cuts = [len(content) // 3, len(content) * 2 // 3]
    for _ in range(150):
        at = dice.randrange(len(content))
        path.write_bytes(content[:at] + bytes([content[at] ^ 1 << dice.randrange(8)]) + content[at + 1 :])
        assert taken(spans_at(path, cuts))[0] == taken([part_of(path)])[0], at


def ingest(folder: Path, source: str, most: int) -> Artifact:
    write_jsonl(folder / "other.jsonl", ["a fine document"])
    extra = f"partition_bytes = {most}\nmax_rejected_share = 1.0"
    config = corpus_config(folder, {"it": source, "other": "other.jsonl"}, extra=extra)
    return run_stages(config.model_copy(update={"scratch": str(folder / "scratch")}), "ingest")["ingest"]


def test_documents_of_a_file_are_the_same_however_it_is_cut(tmp_path: Path) -> None:
    texts = written(tmp_path / "it.feather", [500] * 12, options=OPTIONS["zstd"])
    written(tmp_path / "odd.arrow", [700, 3, 0, 2_000], new=pa.ipc.new_stream)
    found = [ingest(tmp_path, "*.[fa][er]*", most) for most in (64_000_000, 100_000)]
    first, second = ([(row["id"], row["text"]) for row in documents(artifact, "it")] for artifact in found)
    assert first == second
    assert first[: len(texts)] == [(f"it/it.feather#{i}", text) for i, text in enumerate(texts)]
    assert len(first) == len(texts) + 2_703
    assert rejections(found[1]) == []


def test_an_object_is_read_by_ranges_of_its_batches_once_and_never_copied(root: str, tmp_path: Path) -> None:
    bucket = root.removeprefix("s3://").split("/")[0]
    written(tmp_path / "it.arrow", [500] * 12)
    boto3.client("s3").upload_file(str(tmp_path / "it.arrow"), bucket, "raw/it.arrow")
    here = documents(ingest(tmp_path, "it.arrow", 100_000), "it")
    asked: list[str] = []
    boto3.setup_default_session()
    boto3.DEFAULT_SESSION.events.register(
        "before-parameter-build.s3.GetObject", lambda params, **_: asked.append(params.get("Range", ""))
    )
    try:
        there = documents(ingest(tmp_path, f"s3://{bucket}/raw", 100_000), "it")
    finally:
        boto3.setup_default_session()
    assert [(row["id"], row["text"]) for row in there] == [(row["id"], row["text"]) for row in here]
    assert asked
    assert all(asked), "nothing is asked for whole"
    bounds = [span.removeprefix("bytes=").split("-") for span in asked]
    spans = -(-(tmp_path / "it.arrow").stat().st_size // 100_000)
    assert len(asked) <= 6 * spans
    assert max(int(last) + 1 - int(first) for first, last in bounds) <= 256_000
    assert not [path for path in (tmp_path / "scratch" / "sources").rglob("*") if path.is_file()]
