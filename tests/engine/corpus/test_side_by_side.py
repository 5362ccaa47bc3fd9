"""Files that are read side by side come in order, a few batches ahead, and end with whoever wanted them."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders.corpus import corpus_config, documents, run_stages, write_jsonl
from mashbill.corpus import ingest
from mashbill.corpus.side_by_side import AHEAD, side_by_side


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_what_is_read_comes_in_the_files_order(threads: int) -> None:
    met = threading.Barrier(min(2, threads))

    def read(number: int) -> Iterator[tuple[int, int]]:
        if number < 2:
            met.wait(30)  # the first two are read at a time, where there are two threads
        yield from ((number, i) for i in range(number % 4 * 5))

    found = [(file, list(items)) for file, items in side_by_side(range(9), read, threads)]
    assert found == [(n, [(n, i) for i in range(n % 4 * 5)]) for n in range(9)]


def test_a_thread_reads_no_more_than_a_few_batches_ahead() -> None:
    read_of = [0, 0]
    full = threading.Event()

    def read(number: int) -> Iterator[int]:
        for i in range(100):
            read_of[number] += 1
            if number == 1 and i == AHEAD:
                full.set()
            yield i

    for file, items in side_by_side(range(2), read, 2):
        if file == 0:
            assert full.wait(30)
            assert read_of[1] <= AHEAD + 1
        assert list(items) == list(range(100))


def test_what_reading_raises_is_raised_where_the_file_is_taken() -> None:
    def read(number: int) -> Iterator[int]:
        yield number
        if number == 1:
            raise ValueError("the second cannot be read")

    files = side_by_side(range(3), read, 2)
    assert list(next(files)[1]) == [0]
    items = next(files)[1]
    assert next(items) == 1
    with pytest.raises(ValueError, match="the second cannot be read"):
        next(items)


def test_threads_end_where_nobody_wants_the_rest() -> None:
    before = threading.active_count()
    for _, items in side_by_side(range(5), lambda number: iter(range(10**9)), 3):
        next(items)
        break
    assert threading.active_count() == before


def test_documents_are_the_same_however_many_files_are_read_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "it").mkdir()
    for i in range(7):
        write_jsonl(
            tmp_path / "it" / f"{i}.jsonl", [f"text {j} of file {i}" for j in range(i * 40)] or ["one"]
        )
    (tmp_path / "it" / "3.jsonl").write_text("not json\n")
    write_jsonl(tmp_path / "other.jsonl", ["a fine document"])
    config = corpus_config(
        tmp_path,
        {"it": "it", "other": "other.jsonl"},
        extra="max_rejected_share = 1.0\npartition_bytes = 100_000",
    )
    sums = []
    for cores in (1, 4):
        monkeypatch.setattr(ingest.os, "cpu_count", lambda cores=cores: cores)
        artifact = run_stages(config, "ingest")["ingest"]
        sums.append(artifact.manifest.files)
        assert len(documents(artifact, "it")) == sum(max(1, i * 40) for i in range(7) if i != 3)
        for path in (tmp_path / "artifacts" / "ingest").iterdir():
            path.rename(tmp_path / f"made-with-{cores}")
    assert sums[0] == sums[1]
