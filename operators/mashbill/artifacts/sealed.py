"""A file of an artifact, with the sum that its manifest has of it.

It is a small value that can be sent to a process or a machine that reaches the same storage. Whoever opens it
there fetches it, where it is no file of a disk, and reads its bytes once to know that they are those that
were committed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mashbill.storage import Storage, damaged, sha256_of


@dataclass(frozen=True)
class SealedFile:
    """A file whose bytes are known.

    Attributes:
        storage: where it is.
        key: its place there.
        bytes: its size.
        sha256: of its bytes, as they were committed.
        artifact: address of what it is a file of, for the error.
        rows: how many it has, where its manifest says so.
    """

    storage: Storage
    key: str
    bytes: int
    sha256: str
    artifact: str
    rows: int | None = None

    @property
    def path(self) -> str:
        """Where it is on this machine, or will be once it is opened."""
        return str(self.storage.place(self.key))

    def opened(self) -> Path:
        """Its path, to be read now.

        Raises:
            DataError: it is gone, or its bytes are others.
        """
        return self._checked(self.storage.fetch(self.key, size=self.bytes, sha256=self.sha256))

    @contextmanager
    def reading(self) -> Iterator[Path]:
        """Its path, to be read within the block: where it is a copy, that may go afterwards.

        Raises:
            DataError: it is gone, or its bytes are others.
        """
        with self.storage.reading(self.key, size=self.bytes, sha256=self.sha256) as path:
            yield self._checked(path)

    def _checked(self, path: Path) -> Path:
        try:
            found = sha256_of(path)
        except OSError as error:
            raise damaged(self.path, f"cannot be read ({error.strerror})") from error
        if found != self.sha256:
            what = f"has SHA-256 {found[:12]} where the manifest of {self.artifact} says {self.sha256[:12]}"
            raise damaged(self.path, what)
        return path
