"""A disk of its own that is small, and one that is full."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

PAGE = 4_096


@dataclass(frozen=True)
class Disk:
    """A disk in memory, mounted at a folder."""

    folder: Path

    def fill(self) -> None:
        """Take all the room that is left."""
        try:
            with (self.folder / "filler").open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(PAGE))
        except OSError:
            pass

    def free(self) -> None:
        """Give the room back that was taken."""
        (self.folder / "filler").unlink()

    def grow(self, size: int) -> None:
        """Make it a disk of so many bytes."""
        subprocess.run(["mount", "-o", f"remount,size={size}", str(self.folder)], check=True)


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Disk]:
    """A disk of so many bytes at a folder, for the time of the block; the test is skipped where none can be
    mounted."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no disk can be mounted here, for which one must be root")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", str(folder)], check=True)
