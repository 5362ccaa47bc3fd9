"""Results at a place of one's own: an artifact's files under their plain names, the manifest beside them.

Whoever reads the folder needs to know nothing of fingerprints; whoever opens it by its manifest reads it as
any artifact. What was published there before goes, and nothing else that lies there is touched.
"""

import shutil
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path

from mashbill.artifacts.artifact import WORK, Artifact
from mashbill.artifacts.manifest import MANIFEST
from mashbill.artifacts.sealed import SealedFile
from mashbill.artifacts.store import ArtifactStore
from mashbill.errors import ConfigError, DataError
from mashbill.storage import LOCAL, Storage, open_storage, scheme_of

HIDDEN = "."
OWN = "give an empty folder, or a new one"


class Published:
    """A folder or an address that a result is published at.

    Args:
        address: of it, absolute.
        scratch: local folder for copies, where that is remote.
    """

    def __init__(self, address: str, scratch: Path) -> None:
        self.address = address.rstrip("/")
        self.scratch = scratch
        root, _, self.name = self.address.rpartition("/")
        self.root = root or ("/" if scheme_of(address) == LOCAL else "")

    @property
    def work(self) -> str:
        """Where results are made before they are published: an artifact root."""
        return f"{self.address}/{WORK}"

    def check(self, setting: str, stage: str) -> None:
        """Refuse an address that nothing can be published at; it is tried.

        Args:
            setting: which names it, for the error.
            stage: whose result is published.
        Raises:
            ConfigError: it is a whole bucket, may not be written, or holds files that are no result, or one
                of another stage.
        """
        if self.root.endswith(":/"):
            raise ConfigError(setting, f"{self.address} is a whole bucket", "name a folder in it")
        open_storage(self.address, self.scratch).refuse_unusable(setting)
        there = self.found()
        if there is not None and there.manifest.stage != stage:
            what = f"{self.address} holds a result of {there.manifest.stage}, and not of {stage}"
            raise ConfigError(setting, what, OWN)
        if there is not None:
            return
        keys = [key.removeprefix(f"{self.name}/") for key in self._storage.keys(self.name)]
        begun = any(key.startswith(f"{WORK}/") for key in keys)
        strange = [key for key in keys if not key.startswith(HIDDEN)]
        if strange and not begun:
            what = f"{self.address} holds {strange[0]}, and no result"
            raise ConfigError(setting, what, OWN)

    def found(self) -> Artifact | None:
        """What is published there, or None."""
        try:
            return ArtifactStore(self.root, self.scratch).open(self.address)
        except DataError:
            return None

    def is_whole(self) -> bool:
        """Whether all files that the manifest names are there, each of its size; none is read."""
        found = self.found()
        there = {file.key: file.bytes for file in self._storage.match(self.name)}
        entries = found.manifest.files if found else ()
        return all(there.get(f"{self.name}/{entry.path}") == entry.bytes for entry in entries)

    def publish(self, made: Artifact) -> Artifact:
        """Have a result's files there, and its manifest once they are; the artifact as it is there."""
        before, manifest = self.found(), f"{self.name}/{MANIFEST}"
        self._storage.remove(manifest)
        for name in before.names() if before else ():
            if not made.has(name):
                self._storage.remove(f"{self.name}/{name}")
        for name in made.names():
            self._take(made.sealed(name), f"{self.name}/{name}")
        plain = made.manifest.model_copy(update={"attempt": "", "elsewhere": ""})
        self._storage.put(
            self._passing(made.storage, lambda path: path.write_text(plain.as_text())), manifest
        )
        return ArtifactStore(self.root, self.scratch).open(self.address)

    @property
    def _storage(self) -> Storage:
        return open_storage(self.root, self.scratch)

    def _take(self, file: SealedFile, key: str) -> None:
        """Have a file there too; its bytes come through this machine only where they must."""
        if self._storage.adopt(file.storage, file.key, key):
            return
        with file.reading() as path:
            self._storage.put(self._passing(file.storage, partial(shutil.copyfile, path)), key)

    def _passing(self, storage: Storage, write: Callable[[Path], object]) -> Path:
        """A file on its way, in a folder that a storage has for such."""
        path = storage.passing() / uuid.uuid4().hex
        write(path)
        return path
