"""The interface of a storage: keys under one root, files out, whole folders in, and a commit that is all or
nothing."""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mashbill.errors import DamagedError, DataError

PART, PART_DIGITS = ".part", 8  # end of the name of a file that is being copied, and digits before it
LEADS_NOWHERE = "leads nowhere"  # version of a symbolic link to what is not there


@dataclass(frozen=True)
class StoredFile:
    """A file as its storage lists it.

    Attributes:
        key: where it is under the storage's root.
        bytes: its size.
        version: changes when the file is written anew.
    """

    key: str
    bytes: int
    version: str


class Storage(Protocol):
    """Objects under one root, addressed by keys such as ``ingest/0f3a/manifest.json``.

    A storage is made from its root and a local folder for copies, and says in ``scheme`` which addresses are
    its own; its module is named so too.
    """

    scheme: str
    root: str

    def __hash__(self) -> int:
        """That of the object: two storages at one root are two."""

    def read(self, key: str) -> bytes:
        """The bytes of one object; KeyError where there is none."""

    def exists(self, key: str) -> bool:
        """Whether the object is there."""

    def keys(self, prefix: str) -> list[str]:
        """Keys that start with ``prefix + "/"``, sorted."""

    def attempt(self) -> str:
        """Name of a folder under a key for the files of one attempt, where nothing can be renamed: what it
        writes is nobody's until it is committed. Empty where a commit is one rename."""

    def commit(self, folder: Path, key: str, last: str, *, attempt: str = "") -> bool:
        """Move a local folder's files under ``key/``, so that ``last`` appears only when all others are
        there.

        Args:
            folder: local; gone afterwards.
            key: where they go.
            last: the file that makes the others count.
            attempt: folder under the key where all but the last go; others' files there are left.
        Returns:
            False where another writer had committed the key before; its content stays.
        """

    def put(self, path: Path, key: str) -> None:
        """Move a local file to a key, whole or not at all, over what is there."""

    def adopt(self, source: "Storage", name: str, key: str) -> bool:
        """Have here too what another storage has at a key, where no byte of it comes through this machine
        for that.

        Args:
            source: the other storage, or this one.
            name: of the object there; key: here.
        Returns:
            False where it would, and nothing is done.
        Raises:
            DataError: there is nothing.
        """

    def part(self, key: str, start: int, size: int) -> memoryview:
        """Some bytes of one object, of which no other is read.

        Raises:
            DataError: they are not there.
        """

    def place(self, key: str) -> Path:
        """Where a key is on this machine: a file or folder itself, or where copies of it go."""

    def fetch(self, key: str, *, size: int, sha256: str) -> Path:
        """A local file with the bytes of one object, copied once where it is remote.

        Args:
            key: of the object.
            size: its bytes, which every reading checks.
            sha256: of its bytes, which a copy is checked for; a file that is no copy is checked by who opens
                it (``artifacts/sealed.py``).
        Raises:
            DataError: there is no such object, or it holds other bytes.
        """

    def reading(self, key: str, *, size: int, sha256: str) -> AbstractContextManager[Path]:
        """What ``fetch`` gives, for a while: then a copy may go again.

        Raises:
            DataError: there is no such object, or it holds other bytes.
        """

    def discard(self, key: str) -> None:
        """Remove everything under ``key/``, if there is anything."""

    def sweep(self, key: str, kept: tuple[str, ...] = ()) -> None:
        """Remove what is under ``key/`` and not kept: what attempts left that are no more.

        Args:
            key: of what was committed.
            kept: what the keys begin with that stay.
        """

    def refuse_unusable(self, where: str) -> None:
        """Refuse a root under which objects cannot be listed, written, read and removed; it is tried.

        Args:
            where: what names the root, for the error.
        Raises:
            ConfigError: something that is needed may not be done; all of it is named.
        """

    def remove(self, key: str) -> None:
        """Remove one object, if it is there."""

    def workspace(self) -> Path:
        """A local folder for work in progress, from which a commit is cheap."""

    def passing(self) -> Path:
        """A local folder for files that are on their way, from which ``put`` is cheap; what killed processes
        left in such is removed."""

    def match(self, pattern: str) -> list[StoredFile]:
        """Files that a key, a folder or a glob stands for, by the rules of ``storage/patterns.py``; none is
        no error.

        Raises:
            RunError: they cannot be listed.
        """

    def window(self, file: StoredFile, start: int, size: int) -> bytes:
        """Some bytes of what ``match`` found, fewer where it ends before; no other is read.

        Raises:
            DataError: it is gone since, or was written anew.
        """

    def copy(self, file: StoredFile, path: Path) -> None:
        """Write what ``match`` found to a local path of its own, unless it is there; whole or not at all.

        Raises:
            DataError: it is gone since, or was written anew.
        """


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A file beside a path to write to, which takes its place at the end, however many do so at once."""
    part = part_beside(path)
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def link(path: Path, place: Path) -> None:
    """Have a file at another place too, without a copy where the disk allows it; over what is there."""
    with written_whole(place) as part:
        try:
            os.link(path, part)
        except OSError:
            shutil.copyfile(path, part)


def part_beside(path: Path) -> Path:
    """A new name beside a path, in a folder that is there, for what is to take its place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f"{path.name}.{uuid.uuid4().hex[:PART_DIGITS]}{PART}")


def part_of_a_copy(name: str) -> str | None:
    """The name of the file that one so named is becoming, in ``written_whole``; None where it is none."""
    whole, _, number = name.removesuffix(PART).rpartition(".")
    return whole if name.endswith(PART) and len(number) == PART_DIGITS else None


def damaged(address: str, what: str) -> DamagedError:
    """The error of an object that is not what its manifest says."""
    return DamagedError(
        address, what, "discard the artifact and rerun the stage that makes it, as mashbill run --repair does"
    )


def gone(address: str, reason: object) -> DataError:
    """The error of a file that is not there any more."""
    return DataError(address, f"was listed and cannot be read ({reason})", "restore it, or name another")


def changed(address: str) -> DataError:
    """The error of a file that was written anew while it was wanted as it was listed."""
    return DataError(
        address, "changed since it was listed", "rerun, which lists it anew, once nothing writes to it"
    )
