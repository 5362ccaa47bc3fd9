"""Processes of one machine that read one artifact through less room than it takes: all read right bytes, and
the copies stay within their limit, those that are on their way among them."""

import multiprocessing
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from builders.pressure import BYTES, FILES, LIMIT, PROCESSES, content, copied, read
from mashbill.artifacts import Artifact, ArtifactStore, Manifest
from mashbill.storage import Copies

ROOM = 100


def written(store: ArtifactStore) -> Artifact:
    """An artifact of several files."""
    output = store.output("mix", "f" * 32)
    for i in range(FILES):
        with output.writing(f"documents/{i:02}.bin") as path:
            path.write_bytes(content(f"documents/{i:02}.bin"))
    facts = {"started": "2026-01-01T00:00:00+00:00", "seconds": 0.1, "mashbill": "0", "counts": {}}
    made = {"stage": "mix", "fingerprint": "f" * 32, "version": 1, "settings": {}, "inputs": {}}
    return store.commit(output, Manifest(**made, **facts))


@pytest.mark.slow
def test_processes_that_read_through_too_little_room_all_read_right_bytes(root: str, tmp_path: Path) -> None:
    address = written(ArtifactStore(root, tmp_path / "writer")).address
    scratch = tmp_path / "reader"
    assert FILES * BYTES > 3 * LIMIT
    jobs = [(number, root, address, scratch) for number in range(PROCESSES)]
    with ProcessPoolExecutor(PROCESSES, multiprocessing.get_context("spawn")) as pool:
        found = list(pool.map(read, jobs))
    assert [wrong for wrong, _ in found] == [0] * PROCESSES
    assert max(most for _, most in found) <= LIMIT
    assert 0 < copied(scratch) <= LIMIT


@pytest.fixture
def copying(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process in the middle of copying 60 bytes, of which 30 are there; a line has it go on."""
    with subprocess.Popen(
        [sys.executable, "-c", COPIES, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "under way\n"
        yield process
        process.kill()


COPIES = f"""
import sys
from pathlib import Path
from mashbill.storage import Copies
copies = Copies.under(Path(sys.argv[1]))
copies.limit = {ROOM}
path = Path(sys.argv[1], "copies", "theirs")
with copies.held([path]), copies.written(path, 60) as part:
    part.write_bytes(b"x" * 30)
    print("under way", flush=True)
    if sys.stdin.readline() == "fail\\n":
        raise OSError("the disk is full")
    part.write_bytes(b"x" * 60)
"""


def copy(scratch: Path, name: str, size: int) -> Path:
    """A copy by this process, let go at once."""
    copies, path = Copies.under(scratch), scratch / "copies" / name
    copies.limit = ROOM
    with copies.held([path]), copies.written(path, size) as part:
        part.write_bytes(b"x" * size)
    return path


def test_what_another_process_is_copying_counts_in_full(
    tmp_path: Path, copying: subprocess.Popen[str]
) -> None:
    first = copy(tmp_path, "first", 40)
    second = copy(tmp_path, "second", 40)
    assert not first.exists(), "there is no room for it beside what comes"
    copying.communicate("go on\n")
    there = [path.stat().st_size for path in (tmp_path / "copies").iterdir()]
    assert second.exists()
    assert sorted(there) == [40, 60]


@pytest.mark.parametrize("end", ["killed", "fails"])
def test_what_a_process_did_not_copy_in_the_end_is_given_back(
    end: str, tmp_path: Path, copying: subprocess.Popen[str]
) -> None:
    if end == "killed":
        copying.kill()
        copying.wait()
    else:
        copying.communicate("fail\n")
        assert [path.name for path in (tmp_path / "copies").iterdir()] == []
    paths = [copy(tmp_path, name, 45) for name in ("first", "second")]
    assert all(path.exists() for path in paths)
    assert {path.name for path in (tmp_path / "copies").iterdir()} == {"first", "second"}


def test_a_copy_that_fails_leaves_room_for_others(tmp_path: Path) -> None:
    first = copy(tmp_path, "first", 40)
    with pytest.raises(OSError, match="full"), Copies.under(tmp_path).written(tmp_path / "copies" / "x", 60):
        raise OSError("full")
    second = copy(tmp_path, "second", 60)
    assert first.exists()
    assert second.exists()


def test_a_copy_in_place_of_another_counts_once(tmp_path: Path) -> None:
    first = copy(tmp_path, "first", 10)
    for _ in range(8):
        copy(tmp_path, "second", 40)
    assert first.exists()


def test_what_is_dropped_is_what_no_other_process_holds(
    tmp_path: Path, copying: subprocess.Popen[str]
) -> None:
    mine, theirs = copy(tmp_path, "mine", 40), tmp_path / "copies" / "theirs"
    with Copies.under(tmp_path).held([mine]):
        Copies.under(tmp_path).drop(tmp_path / "copies")
    assert not mine.exists()
    assert copy(tmp_path, "again", 40).exists()
    copying.communicate("go on\n")
    assert theirs.stat().st_size == 60
    assert (tmp_path / "copies" / "again").exists(), "the room of what was dropped is free"
