"""A committed result, opened by its manifest: its files are fetched when they are asked for.

On a disk a file is there already. Of an artifact on S3 one file, the files under one prefix or, by ``path``,
all are copied to this machine, each once and checked against the manifest; looking for results reads
manifests alone.
"""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from mashbill.artifacts.manifest import FileEntry, Manifest
from mashbill.errors import DataError
from mashbill.storage import Storage


@dataclass(frozen=True)
class Artifact:
    """A committed result.

    Attributes:
        storage: where it is.
        key: its place there.
        manifest: what it is and what it was made from.
    """

    storage: Storage
    key: str
    manifest: Manifest
    _folders: dict[str, Path] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def address(self) -> str:
        """Folder or s3:// address, which any other machine can open."""
        return f"{self.storage.root}/{self.key}"

    @property
    def fingerprint(self) -> str:
        """The identity of the result."""
        return self.manifest.fingerprint

    @property
    def path(self) -> Path:
        """A local folder with all its files; where the address is remote, they are copied first."""
        return self.folder("")

    def has(self, name: str) -> bool:
        """Whether it has a file of that name."""
        return name in self._entries

    def file(self, name: str) -> Path:
        """The local path of one of its files.

        Args:
            name: as the manifest has it, relative to the artifact, with slashes.
        Raises:
            DataError: the artifact has no such file, or the file is gone or damaged.
        """
        entry = self._entries.get(name)
        if entry is None:
            raise DataError(
                self.address, f"has no file {name}", f"rerun {self.manifest.stage} with this version"
            )
        return self.storage.fetch(f"{self.key}/{name}", size=entry.bytes, sha256=entry.sha256)

    def folder(self, prefix: str) -> Path:
        """A local folder with the files under a prefix; where there are none, there may be no folder.

        Args:
            prefix: a folder of the artifact, without a slash at its end.
        Raises:
            DataError: a file is gone or damaged.
        """
        if prefix not in self._folders:
            for name in self._entries:
                if not prefix or name.startswith(f"{prefix}/"):
                    self.file(name)
            self._folders[prefix] = self.storage.place(f"{self.key}/{prefix}" if prefix else self.key)
        return self._folders[prefix]

    @cached_property
    def _entries(self) -> dict[str, FileEntry]:
        return {entry.path: entry for entry in self.manifest.files}
