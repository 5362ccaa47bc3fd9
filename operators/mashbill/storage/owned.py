"""Folders that processes own as long as they live, told by locks: what a killed one left is known by that.

A folder itself is locked, so that no file is left of it. Where a disk knows no locks, nothing is taken for
left, and nobody is waited for.
"""

import fcntl
import os
import shutil
import threading
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_mine: dict[tuple[int, Path], tuple[Path, int]] = {}
_once = threading.Lock()


@contextmanager
def held(folder: Path, *, alone: bool = False) -> Iterator[None]:
    """Hold a folder to the end of the block, with others or alone.

    Args:
        folder: a local folder, which is there.
        alone: whether nobody else may hold it; who holds it with others waits until nobody does alone.
    Raises:
        BlockingIOError: it is wanted alone, and another holds it.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB if alone else fcntl.LOCK_SH)
        except BlockingIOError:
            raise
        except OSError:
            pass
        yield
    finally:
        os.close(descriptor)


def remove_left(folders: Iterable[Path]) -> None:
    """Remove those folders that nobody holds."""
    for folder in folders:
        with suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
            finally:
                os.close(descriptor)


def passing(parent: Path) -> Path:
    """A folder of this process for files that are on their way; those of dead processes are removed.

    Args:
        parent: local folder of all such folders.
    """
    me = os.getpid(), parent
    with _once:
        if me not in _mine or not _mine[me][0].exists():
            _mine[me] = _own_folder(parent)
        remove_left(parent.iterdir())
        return _mine[me][0]


def _own_folder(parent: Path) -> tuple[Path, int]:
    """A new folder, locked, with the descriptor that holds it."""
    while True:
        folder = parent / uuid.uuid4().hex
        folder.mkdir(parents=True)
        descriptor = os.open(folder, os.O_RDONLY)
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        if folder.exists():  # nobody removed it before it was locked
            return folder, descriptor
        os.close(descriptor)
