"""Where artifacts are kept: found by stage and fingerprint, committed whole, never half-written."""

import logging
import shutil
import uuid
from pathlib import Path

from pydantic import ValidationError

from mashbill.artifacts.artifact import Artifact
from mashbill.artifacts.manifest import MANIFEST, Manifest
from mashbill.artifacts.output import Output
from mashbill.config import PipelineConfig
from mashbill.errors import ConfigError, DataError, RunError
from mashbill.storage import Storage, checked_key, damaged, open_storage, scratch_of

log = logging.getLogger(__name__)
SHARED = ".work"  # end of a result's name for what its tasks share while it is made
RENAME = "name it by letters, digits, dots, dashes and underscores"


class ArtifactStore:
    """Artifacts under one root: ``stage/fingerprint`` for a whole, ``stage/fingerprint.parts/part`` for a
    part."""

    def __init__(self, root: str, scratch: Path) -> None:
        self.scratch = scratch
        self.storage: Storage = open_storage(root, scratch)

    def key(self, stage: str, fingerprint: str, part: str | None = None) -> str:
        """Where a result lives, relative to the root.

        Raises:
            ConfigError: a part's name is no name of a folder.
        """
        whole = f"{stage}/{fingerprint[:16]}"
        return whole if part is None else f"{whole}.parts/{_folder_of(stage, part)}"

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

    def output(self, stage: str, fingerprint: str, part: str | None = None) -> Output:
        """A new empty place to write a result into."""
        name = f"output-{stage}-{fingerprint[:16]}-{uuid.uuid4().hex[:8]}"
        key = self.key(stage, fingerprint, part)
        output = Output(self.storage, key, name, self.storage.attempt())
        output.folder.mkdir(parents=True)
        return output

    def scratch_folder(self, stage: str, fingerprint: str, part: str | None = None) -> Path:
        """The folder that attempts at one result share."""
        name = "whole" if part is None else _folder_of(stage, part)
        folder = self.storage.workspace() / f"scratch-{stage}-{fingerprint[:16]}" / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def progress_path(self, stage: str, part: str | None = None) -> Path:
        """The file that tells how far a running stage or part is."""
        name = stage if part is None else f"{stage}.{_folder_of(stage, part)}"
        return self.storage.workspace() / "progress" / f"{name}.json"

    def shared(self, stage: str, fingerprint: str, part: str | None, *, everywhere: bool) -> Storage:
        """What all tasks of a stage write into and read while it runs: removed on commit.

        Args:
            stage, fingerprint, part: of the result.
            everywhere: whether tasks run on machines that share the store alone.
        """
        scratch = self.scratch_folder(stage, fingerprint, part)
        if not (everywhere and self.storage.attempt()):
            return open_storage(str(scratch), scratch)
        key = self.key(stage, fingerprint, part)
        return open_storage(f"{self.storage.root}/{key}{SHARED}", self.scratch)

    def commit(self, output: Output, manifest: Manifest) -> Artifact:
        """Make what was written an artifact; where another attempt was first, its result is the artifact, and
        nothing is left of this one.

        Args:
            output: what was written.
            manifest: what is known of it; files and where they lie are filled in.
        """
        whole = manifest.model_copy(update={"attempt": output.attempt, "files": output.described()})
        (output.folder / MANIFEST).write_text(whole.as_text())
        self._refuse_swept(output)
        self.storage.commit(output.folder, output.key, MANIFEST, attempt=output.attempt)
        try:
            return self.tidy(self._open(output.key))
        except KeyError:
            what = "was removed by another run as soon as it was there"
            raise RunError(
                f"{self.storage.root}/{output.key}", what, "rerun once nothing else runs"
            ) from None

    def tidy(self, made: Artifact) -> Artifact:
        """Remove what attempts at a result left that is no part of it; the result."""
        manifest = made.manifest
        scratch = self.scratch_folder(manifest.stage, manifest.fingerprint, manifest.part)
        shutil.rmtree(scratch, ignore_errors=True)
        if manifest.attempt:
            self.storage.sweep(made.key, (f"{made.key}/{MANIFEST}", f"{made.key}/{manifest.attempt}/"))
            self.storage.discard(f"{made.key}{SHARED}")
        return made

    def _refuse_swept(self, output: Output) -> None:
        """Refuse to name files that another run has removed: they would be missed by whoever reads them."""
        if not output.attempt:
            return
        within = f"{output.key}/{output.attempt}"
        there = set(self.storage.keys(within))
        lost = [name for name in output.entries if f"{within}/{name}" not in there]
        if lost:
            what = f"lost {len(lost):,} of its files ({lost[0]}), which another run has removed"
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
        """Remove a result with its parts and what unfinished attempts left."""
        key = self.key(stage, fingerprint)
        self.storage.discard(key)
        self.storage.discard(f"{key}.parts")
        self.storage.discard(f"{key}{SHARED}")
        shutil.rmtree(self.storage.workspace() / f"scratch-{stage}-{fingerprint[:16]}", ignore_errors=True)

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
        return Artifact(self.storage, key, self._manifest(key))

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


def other_scratch(scratch: Path) -> list[Path]:
    """Folders that attempts at other results of the same stage and part left beside a scratch folder."""
    stage = scratch.parent.name.rpartition("-")[0]
    folders = scratch.parent.parent.glob(f"{stage}-*/{scratch.name}")
    return sorted(folder for folder in folders if folder != scratch)


def place_at(place: Artifact | Path) -> Artifact | Path:
    """The artifact that a folder is, opened by its manifest; the folder, where it is none.

    Raises:
        DataError: the folder has a manifest that is none.
    """
    if isinstance(place, Artifact) or not (place / MANIFEST).exists():
        return place
    folder = place.resolve()
    return ArtifactStore(str(folder.parent), folder.parent).open(str(folder))


def _folder_of(stage: str, part: str) -> str:
    """The folder of a part, which has its name."""
    try:
        checked_key(part)
    except ValueError as error:
        raise ConfigError(f"stage {stage}: part {part!r:.100}", f"is no name ({error})", RENAME) from error
    if "/" in part or part.startswith("."):
        raise ConfigError(f"stage {stage}: part {part!r:.100}", "is no name of a folder", RENAME)
    return part


def open_store(config: PipelineConfig) -> ArtifactStore:
    """The artifact store that a config names."""
    return ArtifactStore(config.resolve(config.artifacts), scratch_of(config))
