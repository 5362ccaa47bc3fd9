"""The interface of a storage: keys under one root, files out, whole folders in, and a commit that is all or
nothing."""

from pathlib import Path
from typing import Protocol

from mashbill.errors import DataError


class Storage(Protocol):
    """Objects under one root, addressed by keys such as ``ingest/0f3a/manifest.json``."""

    root: str

    def read(self, key: str) -> bytes:
        """The bytes of one object; KeyError where there is none."""

    def exists(self, key: str) -> bool:
        """Whether the object is there."""

    def keys(self, prefix: str) -> list[str]:
        """Keys that start with ``prefix + "/"``, sorted."""

    def commit(self, folder: Path, key: str, last: str) -> bool:
        """Move a local folder's files under ``key/``, so that ``last`` appears only when all others are
        there.

        Returns:
            False where another writer had committed the key before; its content stays.
        """

    def place(self, key: str) -> Path:
        """Where a key is on this machine: a file or folder itself, or where copies of it go."""

    def fetch(self, key: str, *, size: int, sha256: str) -> Path:
        """A local file with the bytes of one object, copied once where it is remote.

        Args:
            key: of the object.
            size: its bytes, which every reading checks.
            sha256: of its bytes, which a copy is checked for when it is made.
        Raises:
            DataError: there is no such object, or it holds other bytes.
        """

    def discard(self, key: str) -> None:
        """Remove everything under ``key/``, if there is anything."""

    def workspace(self) -> Path:
        """A local folder for work in progress, from which a commit is cheap."""


def open_storage(root: str, scratch: Path) -> Storage:
    """The storage at a folder or an ``s3://bucket/prefix`` address.

    Args:
        root: where the objects live.
        scratch: local folder for work in progress and copies, used where the root is remote.
    """
    if root.startswith("s3://"):
        from mashbill.storage.s3 import S3Storage

        return S3Storage(root, scratch)
    from mashbill.storage.local import LocalStorage

    return LocalStorage(root)


def damaged(address: str, what: str) -> DataError:
    """The error of an object that is not what its manifest says."""
    return DataError(address, what, "discard the artifact and rerun the stage that makes it")
