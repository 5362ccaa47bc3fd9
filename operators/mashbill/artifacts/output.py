"""Where the files of an artifact are written, by the stage itself or by tasks of it on any machine.

On a disk that is a folder, which becomes the artifact by one rename. Where nothing can be renamed, each file
goes into the store as soon as it is whole, under a folder of this attempt that nobody looks into before the
manifest names it. Whoever writes a file tells its size and checksum; none is read again for the manifest.
"""

import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from mashbill.artifacts.manifest import FileEntry, describe_files
from mashbill.artifacts.sealed import SealedFile
from mashbill.storage import Storage, link, open_storage, sha256_of, written_whole

_told: ContextVar[list[FileEntry] | None] = ContextVar("files that a task wrote", default=None)


@dataclass(frozen=True)
class Output:
    """An artifact that is being written. It can be sent to other machines that reach the storage.

    Attributes:
        storage: where it will be.
        key: its place there, once it is committed.
        name: of the folder of this machine's workspace in which files are made.
        attempt: folder under the key where files are before that; empty where the folder is the artifact.
        entries: files that are written, by name; those of tasks elsewhere once their results are there.
    """

    storage: Storage
    key: str
    name: str
    attempt: str
    entries: dict[str, FileEntry] = field(default_factory=dict, compare=False)

    @classmethod
    def at(cls, folder: Path) -> "Output":
        """Files that are written into a folder, for who needs no artifact of them."""
        whole = folder.absolute()
        return cls(open_storage(str(whole), whole), "", "", "")

    @property
    def folder(self) -> Path:
        """A folder of this machine: what a stage leaves there becomes part of the artifact."""
        return self.storage.workspace() / self.name if self.name else Path(self.storage.root)

    @contextmanager
    def writing(self, name: str, rows: int | None = None) -> Iterator[Path]:
        """A path to write one file to, which is there, whole, at the end of the block.

        Args:
            name: of the file within the artifact, with slashes.
            rows: how many it will have, where that is something to be told.
        """
        with self._passing(name) if self.attempt else written_whole(self.folder / name) as part:
            yield part
            entry = FileEntry(path=name, bytes=part.stat().st_size, sha256=sha256_of(part), rows=rows)
            if self.attempt:
                self.storage.put(part, self._stored(name))
        self.tell([entry])

    def adopt(self, source: SealedFile, name: str, rows: int | None = None) -> None:
        """Take over a file of another artifact as it is; where both are in one store, it stays there.

        Args:
            source: the file.
            name: that it gets in this artifact.
            rows: how many it has, where that is known.
        """
        entry = FileEntry(path=name, bytes=source.bytes, sha256=source.sha256, rows=rows)
        if not self.attempt:
            link(source.opened(), self.folder / name)
        elif not self.storage.adopt(source.storage, source.key, self._stored(name)):
            with source.reading() as path, self.writing(name, rows) as part:
                shutil.copyfile(path, part)
            return
        self.tell([entry])

    def tell(self, entries: Iterable[FileEntry]) -> None:
        """Say what was written: a task does to whoever sent it, who does here."""
        told = _told.get()
        if told is None:
            self.entries.update((entry.path, entry) for entry in entries)
        else:
            told.extend(entries)

    def described(self) -> tuple[FileEntry, ...]:
        """All files of the artifact, sorted by path; those that lie in the folder and nobody told of are
        read."""
        mine = describe_files(self.folder, told=self.entries)
        return tuple(sorted([*mine, *self.entries.values()], key=lambda entry: entry.path))

    @contextmanager
    def _passing(self, name: str) -> Iterator[Path]:
        part = self.storage.passing() / f"{uuid.uuid4().hex}{Path(name).suffix}"
        try:
            yield part
        finally:
            part.unlink(missing_ok=True)

    def _stored(self, name: str) -> str:
        return f"{self.key}/{self.attempt}/{name}"


@contextmanager
def telling() -> Iterator[list[FileEntry]]:
    """What is written within the block, by this thread, for whoever is to be told."""
    told: list[FileEntry] = []
    token = _told.set(told)
    try:
        yield told
    finally:
        _told.reset(token)
