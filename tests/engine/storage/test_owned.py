"""Folders of processes that live are left alone, and those of killed ones go."""

import subprocess
import sys
from pathlib import Path

import pytest

from mashbill.storage import held, remove_left
from mashbill.storage.owned import passing

OWNER = """
import sys
from pathlib import Path
from mashbill.storage.owned import passing
folder = passing(Path(sys.argv[1]))
(folder / "half").write_text("half")
print(folder, flush=True)
sys.stdin.read()
"""


def test_files_on_their_way_go_with_their_process_and_not_before(tmp_path: Path) -> None:
    mine = passing(tmp_path)
    (mine / "own").write_text("mine")
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        theirs = Path(owner.stdout.readline().strip())
        assert theirs != mine
        assert passing(tmp_path) == mine
        assert (theirs / "half").exists()
        assert (mine / "own").exists()
        owner.kill()
    assert passing(tmp_path) == mine
    assert [path.name for path in tmp_path.iterdir()] == [mine.name]
    assert (mine / "own").exists()


def test_a_folder_that_is_gone_is_made_anew(tmp_path: Path) -> None:
    first = passing(tmp_path)
    first.rmdir()
    second = passing(tmp_path)
    assert second.is_dir()
    assert second != first


def test_who_wants_a_folder_alone_waits_for_nobody_and_is_told(tmp_path: Path) -> None:
    with held(tmp_path), held(tmp_path), pytest.raises(BlockingIOError), held(tmp_path, alone=True):
        pass
    with held(tmp_path, alone=True):
        remove_left([tmp_path, tmp_path / "gone"])
        assert tmp_path.is_dir()
    remove_left([tmp_path])
    assert not tmp_path.exists()
