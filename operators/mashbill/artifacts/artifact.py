"""A committed result, opened by its manifest: its files are fetched when they are asked for.

On a disk a file is there already. Of an artifact on S3 one file, the files under one prefix or, by ``path``,
all are copied to this machine, each once. What is opened is checked against the manifest, once a process;
looking for results reads manifests alone. An artifact may refer to files that lie elsewhere; who reads it
notices nothing of that.
"""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from mashbill.artifacts.manifest import MANIFEST, FileEntry, Manifest
from mashbill.artifacts.sealed import SealedFile
from mashbill.errors import DataError
from mashbill.storage import Storage, part_of_a_copy, written_whole

OUTSIDE = "outside.json"
"""File of an artifact that says where its documents are, which are others' files."""
WORK = ".mashbill"
"""Folder beside a published result's files, in which it is made."""


@dataclass(frozen=True)
class Artifact:
    """A committed result.

    Attributes:
        storage: where it is.
        key: its place there.
        manifest: what it is and what it was made from.
        origin: the storage and the place in it of the artifact whose files it refers to, where it has none
            of its own.
    """

    storage: Storage
    key: str
    manifest: Manifest
    origin: tuple[Storage, str] | None = None
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
        """A local folder with all its files, each checked; where the address is remote, they are copied
        first."""
        return self.folder("")

    def names(self, prefix: str = "") -> list[str]:
        """Names of its files, or of those under a folder of it; what else lies beside them is not its."""
        return [name for name in self._entries if not prefix or name.startswith(f"{prefix}/")]

    def has(self, name: str) -> bool:
        """Whether it has a file of that name."""
        return name in self._entries

    def file(self, name: str) -> Path:
        """The local path of one of its files, to be read now.

        Args:
            name: as the manifest has it, relative to the artifact, with slashes.
        Raises:
            DataError: the artifact has no such file, or the file is gone or damaged.
        """
        return self.sealed(name).opened()

    def sealed(self, name: str) -> SealedFile:
        """One of its files, to be fetched and checked by who opens it.

        Args:
            name: as the manifest has it.
        Raises:
            DataError: the artifact has no such file.
        """
        entry = self._entries.get(name)
        if entry is None:
            mend = f"rerun {self.manifest.stage} with this version"
            raise DataError(self.address, f"has no file {name}", mend)
        return SealedFile(
            self._storage, self._under(name), entry.bytes, entry.sha256, self.address, entry.rows
        )

    def folder(self, prefix: str) -> Path:
        """A local folder with the files under a prefix; where there are none, there may be no folder.

        Args:
            prefix: a folder of the artifact, without a slash at its end.
        Raises:
            DataError: a file is gone or damaged, or one lies there that is not the artifact's, which who
                reads the folder would read too.
        """
        for name in self.names(prefix):
            self.file(name)
        if prefix not in self._folders:
            place = self._storage.place(self._under(prefix))
            self._refuse_strangers(place, f"{prefix}/" if prefix else "")
            self._folders[prefix] = place
        return self._folders[prefix]

    def here(self) -> Path:
        """A local folder with all its files and its manifest, for another process: that opens it by its
        manifest (``place_at``), and checks what it reads."""
        for entry in self.manifest.files:
            self._storage.fetch(self._under(entry.path), size=entry.bytes, sha256=entry.sha256)
        place = self._storage.place(self._under(""))
        if not (place / MANIFEST).exists():
            own = self.manifest.model_copy(update={"attempt": "", "elsewhere": ""})
            with written_whole(place / MANIFEST) as part:
                part.write_text(own.as_text())
        return place

    def _refuse_strangers(self, place: Path, prefix: str) -> None:
        known = {*self._entries, MANIFEST}
        for path in sorted(place.rglob("*")):
            name = f"{prefix}{path.relative_to(place)}"
            own = name in known or part_of_a_copy(name) in known or name.startswith(f"{WORK}/")
            if not own and (path.is_symlink() or not path.is_dir()):
                what = f"is not in the manifest of {self.address}"
                raise DataError(str(path), what, "take it out of the folder, or rerun the stage")

    @property
    def _storage(self) -> Storage:
        """Where its files are."""
        return self.storage if self.origin is None else self.origin[0]

    def _under(self, name: str) -> str:
        """Key of one of its files, or of a folder of them."""
        key = self.key if self.origin is None else self.origin[1]
        return "/".join(part for part in (key, self.manifest.attempt, name) if part)

    @cached_property
    def _entries(self) -> dict[str, FileEntry]:
        return {entry.path: entry for entry in self.manifest.files}
