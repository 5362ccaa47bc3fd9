"""Where attempts at a result work before it is one: folders of this machine, and what tasks on all share.

Attempts at one result share a folder for checkpoints, each has one of its own for files, and those whose
tasks run on several machines share a place in the store. Who makes a result holds its folders, so that others
know what a killed attempt left from what is being written.
"""

import shutil
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from mashbill.artifacts.output import Output
from mashbill.errors import ConfigError
from mashbill.storage import Storage, checked_key, held, open_storage, remove_left

SHARED = ".work"  # end of a result's name for what its tasks share while it is made
TURN = "turn"  # file there that names the folder in use; who discards the result has the next begin another
BEGUN = "begun"  # file in that folder, which is gone once the folder was removed
UNIQUE = 8  # digits that tell attempts apart
RENAME = "name it by letters, digits, dots, dashes and underscores"


class Workplace:
    """Where results of a storage are made.

    Args:
        storage: where they will be.
        scratch: local folder for copies, where that is remote.
    """

    def __init__(self, storage: Storage, scratch: Path) -> None:
        self.storage, self.scratch = storage, scratch

    def key(self, stage: str, fingerprint: str, part: str | None = None) -> str:
        """Where a result lives, relative to the root.

        Raises:
            ConfigError: a part's name is no name of a folder.
        """
        whole = f"{stage}/{fingerprint[:16]}"
        return whole if part is None else f"{whole}.parts/{_folder_of(stage, part)}"

    def output(self, stage: str, fingerprint: str, part: str | None = None) -> Output:
        """A new empty place to write a result into."""
        name = f"{_outputs(stage, fingerprint, part)}{uuid.uuid4().hex[:UNIQUE]}"
        key = self.key(stage, fingerprint, part)
        output = Output(self.storage, key, name, self.storage.attempt())
        output.folder.mkdir(parents=True)
        return output

    def scratch_folder(self, stage: str, fingerprint: str, part: str | None = None) -> Path:
        """The folder that attempts at one result share."""
        folder = self._scratch(stage, fingerprint) / _own_name(stage, part)
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
        place = f"{self.key(stage, fingerprint, part)}{SHARED}"
        return open_storage(f"{self.storage.root}/{place}/{self._turn(place)}", self.scratch)

    @contextmanager
    def making(self, stage: str, fingerprint: str, output: Output | None = None) -> Iterator[None]:
        """Within the block a result, or a part of it, is being made: no other run of this machine discards
        it, or takes what is written for what a killed one left.

        Args:
            stage, fingerprint: of the whole.
            output: what is written.
        """
        folder = self._scratch(stage, fingerprint)
        folder.mkdir(parents=True, exist_ok=True)
        with held(folder), ExitStack() as stack:
            if output is not None:
                stack.enter_context(held(output.folder))
            yield

    @contextmanager
    def nobody_making(self, stage: str, fingerprint: str) -> Iterator[None]:
        """Within the block no run of this machine makes a result or a part of it; at its end what they shared
        on this machine is gone.

        Raises:
            BlockingIOError: one does.
        """
        folder = self._scratch(stage, fingerprint)
        folder.mkdir(parents=True, exist_ok=True)
        with held(folder, alone=True):
            yield
            for left in folder.iterdir():
                shutil.rmtree(left, ignore_errors=True)

    def untidy_here(self, stage: str, fingerprint: str, part: str | None) -> bool:
        """Whether attempts at a result work on this machine, or have been killed."""
        scratch, progress = self._scratch(stage, fingerprint), self.progress_path(stage, part)
        places = [scratch / _own_name(stage, part), progress]
        return bool(self._outputs(stage, fingerprint, part)) or any(place.exists() for place in places)

    def tidy_here(self, stage: str, fingerprint: str, part: str | None) -> None:
        """Remove what attempts at a result share on this machine, and what killed ones wrote."""
        remove_left(self._outputs(stage, fingerprint, part))
        self.storage.passing()  # where files on their way go with killed processes
        shutil.rmtree(self._scratch(stage, fingerprint) / _own_name(stage, part), ignore_errors=True)
        self.progress_path(stage, part).unlink(missing_ok=True)  # who still works writes it anew

    def _outputs(self, stage: str, fingerprint: str, part: str | None) -> list[Path]:
        """Folders that attempts at a result write into."""
        start, folders = _outputs(stage, fingerprint, part), self.storage.workspace().glob("output-*")
        return [folder for folder in folders if folder.name[:-UNIQUE] == start]

    def _scratch(self, stage: str, fingerprint: str) -> Path:
        """Folder of what attempts at a result and its parts share; who makes one of them holds it."""
        return self.storage.workspace() / f"scratch-{stage}-{fingerprint[:16]}"

    def _turn(self, place: str) -> str:
        """The folder that all attempts use until the result is discarded, which one of them begins."""
        try:
            return self.storage.read(f"{place}/{TURN}").decode()
        except KeyError:
            name = self.storage.attempt()
            folder = self.storage.passing() / name
            (folder / name).mkdir(parents=True)
            for file in (folder / name / BEGUN, folder / TURN):
                file.write_text(name)
            self.storage.commit(folder, place, TURN)
            return self._turn(place)


def other_scratch(scratch: Path) -> list[Path]:
    """Folders that attempts at other results of the same stage and part left beside a scratch folder."""
    stage = scratch.parent.name.rpartition("-")[0]
    folders = scratch.parent.parent.glob(f"{stage}-*/{scratch.name}")
    return sorted(folder for folder in folders if folder != scratch)


def _own_name(stage: str, part: str | None) -> str:
    """Name of the folder of a part, or of the whole, among those of a result."""
    return "whole" if part is None else _folder_of(stage, part)


def _outputs(stage: str, fingerprint: str, part: str | None) -> str:
    """How the names of the folders begin that attempts at a result write into."""
    return f"output-{stage}-{fingerprint[:16]}-{_own_name(stage, part)}-"


def _folder_of(stage: str, part: str) -> str:
    """The folder of a part, which has its name."""
    try:
        checked_key(part)
    except ValueError as error:
        raise ConfigError(f"stage {stage}: part {part!r:.100}", f"is no name ({error})", RENAME) from error
    if "/" in part or part.startswith("."):
        raise ConfigError(f"stage {stage}: part {part!r:.100}", "is no name of a folder", RENAME)
    return part
