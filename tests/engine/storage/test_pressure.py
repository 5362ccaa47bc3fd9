"""Processes of one machine that read one artifact through less room than it takes: all read right bytes, and
the copies stay within their limit, but for those that are on their way."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from builders.pressure import BYTES, FILES, LIMIT, PROCESSES, content, copied, read
from mashbill.artifacts import Artifact, ArtifactStore, Manifest


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
    under_way = PROCESSES * BYTES  # which others do not see yet when they make room
    assert max(most for _, most in found) <= LIMIT + under_way
    assert 0 < copied(scratch) <= LIMIT + under_way
