"""Where artifacts are kept: found by stage and fingerprint, committed whole, never half-written."""

import logging
import shutil
from pathlib import Path

from pydantic import ValidationError

from mashbill.artifacts.artifact import Artifact
from mashbill.artifacts.manifest import MANIFEST, Manifest
from mashbill.artifacts.output import Output
from mashbill.artifacts.workplace import BEGUN, SHARED, TURN, Workplace
from mashbill.config import PipelineConfig
from mashbill.errors import DamagedError, DataError, RunError
from mashbill.storage import (
    LOCAL,
    Storage,
    checked_key,
    damaged,
    open_storage,
    scratch_of,
)

log = logging.getLogger(__name__)


class ArtifactStore(Workplace):
    """Artifacts under one root: ``stage/fingerprint`` for a whole, ``stage/fingerprint.parts/part`` for a
    part."""

    def __init__(self, root: str, scratch: Path) -> None:
        super().__init__(open_storage(root, scratch), scratch)

    def find(self, stage: str, fingerprint: str, part: str | None = None) -> Artifact | None:
        """The committed result, or None; its manifest is read, and no file."""
        try:
            return self._open(self.key(stage, fingerprint, part))
        except KeyError:
            return None

    def part_names(self, stage: str, fingerprint: str) -> list[str]:
        """Names of the finished parts of a result, whoever cut it so."""
        folder = f"{self.key(stage, fingerprint)}.parts/"
        found = (key.removeprefix(folder).split("/") for key in self.storage.keys(folder.rstrip("/")))
        return sorted({place[0] for place in found if place[1:] == [MANIFEST]})

    def newest(self, stage: str) -> Artifact | None:
        """The result of a stage that was begun last, whatever it was made from, or None."""
        made = self.manifests(stage)
        return self.open(max(made, key=lambda address: made[address].started)) if made else None

    def manifests(self, stage: str) -> dict[str, Manifest]:
        """Manifests of all results of a stage, by address; no other file is read."""
        depth = 2  # stage/fingerprint/manifest.json: neither parts nor files within
        found = [
            key
            for key in self.storage.keys(stage)
            if key.endswith(f"/{MANIFEST}") and key.count("/") == depth and ".parts/" not in key
        ]
        keys = [key.removesuffix(f"/{MANIFEST}") for key in found]
        return {f"{self.storage.root}/{key}": self._manifest(key) for key in keys}

    def manifest_at(self, address: str) -> Manifest:
        """The manifest of the artifact at an address; no other file is read.

        Raises:
            DataError: there is none, or it belongs to another root.
        """
        return self.open(address).manifest

    def open(self, address: str) -> Artifact:
        """The artifact at an address that ``Artifact.address`` gave; its manifest is read, and no file.

        Raises:
            DataError: there is none, or it belongs to another root, or the address leads out of this one.
        """
        key = self._key_of(address)
        try:
            return self._open(key)
        except KeyError:
            raise DataError(
                address, "is no artifact (it has no manifest)", "rerun the stage that makes it"
            ) from None

    def commit(self, output: Output, manifest: Manifest, *, shared: Storage | None = None) -> Artifact:
        """Make what was written an artifact; where another attempt was first, its result is the artifact, and
        nothing is left of this one.

        Args:
            output: what was written.
            manifest: what is known of it; files and where they lie are filled in.
            shared: what its tasks shared, where that may be gone.
        Raises:
            RunError: another run has removed what was written or shared; of it nothing is left.
        """
        whole = manifest.model_copy(update={"attempt": output.attempt, "files": output.described()})
        (output.folder / MANIFEST).write_text(whole.as_text())
        self._refuse_swept(output, shared)
        self.storage.commit(output.folder, output.key, MANIFEST, attempt=output.attempt)
        try:
            return self.tidy(self._open(output.key))
        except KeyError:
            what = "was removed by another run as soon as it was there"
            raise RunError(
                f"{self.storage.root}/{output.key}", what, "rerun once nothing else runs"
            ) from None

    def refer(self, manifest: Manifest) -> Artifact:
        """Have an artifact that refers to the files of another, wherever that is.

        Args:
            manifest: what it is, with the other's files and address.
        """
        output = self.output(manifest.stage, manifest.fingerprint)
        (output.folder / MANIFEST).write_text(manifest.as_text())
        self.storage.commit(output.folder, output.key, MANIFEST)
        return self._open(output.key)

    def tidy(self, made: Artifact) -> Artifact:
        """Remove what attempts at a result left that is no part of it; the result."""
        manifest = made.manifest
        self.tidy_here(manifest.stage, manifest.fingerprint, manifest.part)
        if manifest.attempt:
            self.storage.sweep(made.key, (f"{made.key}/{MANIFEST}", f"{made.key}/{manifest.attempt}/"))
            self.storage.discard(f"{made.key}{SHARED}")
        return made

    def reused(self, stage: str, fingerprint: str, part: str | None = None) -> Artifact | None:
        """The committed result, or None; what a run left that was killed before it had tidied is removed."""
        made = self.find(stage, fingerprint, part)
        if made is None:
            return None
        try:
            untidy = self.untidy_here(stage, fingerprint, part)
        except PermissionError:  # who may only read leaves what is left
            return made
        remote = made.manifest.attempt and self.storage.keys(f"{made.key}{SHARED}")
        return self.tidy(made) if untidy or remote else made

    def _refuse_swept(self, output: Output, shared: Storage | None) -> None:
        """Refuse to name files that another run has removed, as they would be missed by whoever reads them,
        or files that were made while it removed what they are made from."""
        if not output.attempt:
            return
        within = f"{output.key}/{output.attempt}"
        there = set(self.storage.keys(within))
        lost = [name for name in output.entries if f"{within}/{name}" not in there]
        what = ""
        if lost:
            what = f"lost {len(lost):,} of its files ({lost[0]}), which another run has removed"
        elif shared is not None and shared.scheme != LOCAL and not shared.exists(BEGUN):
            what = "was made while another run removed what its tasks shared"
        if what:
            raise RunError(f"{self.storage.root}/{output.key}", what, "rerun once nothing else runs")

    def abandon(self, output: Output) -> None:
        """Remove what an attempt wrote, unless it became the artifact; who makes that removes what is left
        where the store does not answer."""
        shutil.rmtree(output.folder, ignore_errors=True)
        if not output.attempt:
            return
        left = f"{output.key}/{output.attempt}"
        try:
            made = self._manifest_if_made(output.key)
            if made is None or made.attempt != output.attempt:
                self.storage.discard(left)
        except RunError as error:
            log.warning("%s/%s is left, as the store does not answer: %s", self.storage.root, left, error)

    def discard(self, stage: str, fingerprint: str) -> None:
        """Remove a result with its parts, and have the next attempt begin anew; what those of other machines
        write stays theirs until one of all is committed.

        Raises:
            RunError: another run of this machine is making it; nothing is removed.
        """
        key = self.key(stage, fingerprint)
        try:
            with self.nobody_making(stage, fingerprint):
                if self.storage.attempt():
                    for part in (None, *self.part_names(stage, fingerprint)):
                        self._withdraw(self.key(stage, fingerprint, part))
                    self.storage.remove(f"{key}{SHARED}/{TURN}")
                else:
                    self.storage.discard(key)
                    self.storage.discard(f"{key}.parts")
        except BlockingIOError as error:
            what = "is being made by another run of this machine, and is not discarded"
            mend = "wait for that run, or end it, and rerun"
            raise RunError(f"{self.storage.root}/{key}", what, mend) from error

    def _withdraw(self, key: str) -> None:
        """Remove what a key's manifest names, that first: nobody finds a result that misses files."""
        try:
            made = self._manifest_if_made(key)
        except DamagedError:
            self.storage.remove(f"{key}/{MANIFEST}")
            self.storage.discard(key)
            return
        if made is not None:
            self.storage.remove(f"{key}/{MANIFEST}")
            self.storage.discard(f"{key}/{made.attempt}")

    def _key_of(self, address: str) -> str:
        """The key of an address: what comes after the root, slashes and dots that say nothing left out."""
        start = f"{self.storage.root.rstrip('/')}/"
        parts = [part for part in address.removeprefix(start).split("/") if part not in {"", "."}]
        if not address.startswith(start):
            mend = "set the config's artifacts to its root"
            raise DataError(address, f"is not under the artifact root {self.storage.root}", mend)
        try:
            key = checked_key("/".join(parts))
        except ValueError as error:
            mend = "give the address that the result was printed with"
            raise DataError(
                address, f"leaves the artifact root {self.storage.root} ({error})", mend
            ) from error
        return key

    def _open(self, key: str) -> Artifact:
        manifest = self._manifest(key)
        if not manifest.elsewhere:
            return Artifact(self.storage, key, manifest)
        root, _, name = manifest.elsewhere.rpartition("/")
        return Artifact(self.storage, key, manifest, (open_storage(root, self.scratch), name))

    def _manifest_if_made(self, key: str) -> Manifest | None:
        """The manifest of a key, or None."""
        try:
            return self._manifest(key)
        except KeyError:
            return None

    def _manifest(self, key: str) -> Manifest:
        """The manifest of a key; KeyError where there is none."""
        try:
            return Manifest.model_validate_json(self.storage.read(f"{key}/{MANIFEST}"))
        except ValidationError as error:
            where = f"{self.storage.root}/{key}/{MANIFEST}"
            raise damaged(where, "is not a manifest") from error


def place_at(place: Artifact | Path) -> Artifact | Path:
    """The artifact that a folder is, opened by its manifest; the folder, where it is none.

    Raises:
        DataError: the folder has a manifest that is none.
    """
    if isinstance(place, Artifact) or not (place / MANIFEST).exists():
        return place
    folder = place.resolve()
    return ArtifactStore(str(folder.parent), folder.parent).open(str(folder))


def open_store(config: PipelineConfig) -> ArtifactStore:
    """The artifact store that a config names."""
    return ArtifactStore(config.resolve(config.artifacts), scratch_of(config))
