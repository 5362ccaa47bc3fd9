"""Checkpoints of a training: whole or not there, known by their sums, read on any layout.

A checkpoint is a folder of one file a process, with the fragments of parameters that it holds, and a record
that names them all, written last. Without that record nothing is a checkpoint.
"""

import json
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from mashbill.artifacts import Part, Record
from mashbill.errors import DamagedError, DataError, RunError, one_line
from mashbill.storage import Storage, damaged, sha256_of
from mashbill.training.fragments import KINDS, WEIGHT, Fragment, Values
from mashbill.training.guard import GuardState

FOLDER, NAME = "checkpoints", "step{:010}"
STEP = slice(len("step"), None)


class SavedFile(Part):
    """What one process wrote.

    Attributes:
        name: of the file in the checkpoint.
        bytes, sha256: of it.
        fragments: name, first element and elements of each that it holds.
    """

    name: str
    bytes: int
    sha256: str
    fragments: list[tuple[str, int, int]]


class CheckpointRecord(Record):
    """A checkpoint.

    Attributes:
        step: steps it was taken after.
        batches: global batches read until then, those of skipped steps among them.
        world_size, zero_stage: the layout that wrote it.
        shapes: of the parameters by name.
        identity: what it was trained on and as what, in words by what they are of.
        guard: state of the guard.
        rollbacks: times that training went back until then.
        skipped: of the steps, those that were not taken.
        files: of the processes.
    """

    FILE = "checkpoint.json"
    step: int
    batches: int
    world_size: int
    zero_stage: int
    shapes: dict[str, list[int]]
    identity: dict[str, str]
    guard: GuardState
    rollbacks: int = 0
    skipped: int = 0
    files: list[SavedFile]


def file_name(rank: int, world: int) -> str:
    """The file of a process."""
    return f"rank-{rank:05}-of-{world:05}.safetensors"


def write_fragments(fragments: Sequence[Fragment], path: Path) -> SavedFile:
    """Write what a process holds to a local file; what is to be known of it.

    Raises:
        RunError: the disk does not take it.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    tensors = {
        f"{kind}:{fragment.start}:{fragment.name}": fragment.values[kind]
        for fragment in fragments
        for kind in KINDS
    }
    try:
        save_file(tensors, path)
    except SafetensorError as error:
        raise RunError(str(path), f"cannot be written ({one_line(error)})", "free the disk") from error
    named = [(fragment.name, fragment.start, fragment.size) for fragment in fragments]
    return SavedFile(
        name=path.name, bytes=path.stat().st_size, sha256=sha256_of(path), fragments=sorted(named)
    )


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint in a storage.

    Attributes:
        storage: where it is.
        key: its folder there.
        record: what it says of itself.
    """

    storage: Storage
    key: str
    record: CheckpointRecord

    @classmethod
    def at(cls, storage: Storage, key: str) -> "Checkpoint":
        """The checkpoint of a folder.

        Raises:
            DamagedError: its record is none.
        """
        try:
            content = storage.read(f"{key}/{CheckpointRecord.FILE}")
            return cls(storage, key, CheckpointRecord.model_validate(json.loads(content)))
        except (KeyError, ValueError) as error:
            raise damaged(f"{storage.root}/{key}", f"has no record ({one_line(error)})") from error

    @property
    def address(self) -> str:
        """Where it is, in words."""
        return f"{self.storage.root}/{self.key}"

    @cached_property
    def _places(self) -> dict[str, list[tuple[int, int, SavedFile]]]:
        """By parameter: first element, elements and file of each fragment, in order."""
        found: dict[str, list[tuple[int, int, SavedFile]]] = {name: [] for name in self.record.shapes}
        for file in self.record.files:
            for name, start, size in file.fragments:
                found[name].append((start, size, file))
        return {name: sorted(places, key=lambda place: place[0]) for name, places in found.items()}

    def refuse_another(self, shapes: dict[str, list[int]], identity: dict[str, str]) -> None:
        """Refuse a checkpoint of another model or of another text.

        Raises:
            DataError: it is one.
        """
        mend = "give the checkpoint of this training, or start from its exported model (training.initial)"
        if self.record.shapes != shapes:
            names = sorted(
                name
                for name in shapes.keys() | self.record.shapes.keys()
                if shapes.get(name) != self.record.shapes.get(name)
            )
            had, has = self.record.shapes.get(names[0]), shapes.get(names[0])
            what = f"is of another architecture: {names[0]} has the shape {had} there and {has} here"
            raise DataError(self.address, what, mend)
        for what, value in identity.items():
            if self.record.identity.get(what) != value:
                raise DataError(self.address, f"was trained with another {what}", mend)

    def check(self, needed: Sequence[SavedFile]) -> None:
        """Read files whole and compare their sums.

        Raises:
            DamagedError: one is gone or has other bytes.
        """
        for file in needed:
            path = self._path(file)
            try:
                found = sha256_of(path)
            except OSError as error:
                raise damaged(str(path), f"cannot be read ({error.strerror})") from error
            if found != file.sha256:
                what = f"has SHA-256 {found[:12]} where its checkpoint says {file.sha256[:12]}"
                raise damaged(str(path), what)

    def files_of(self, fragments: Sequence[tuple[str, int, int]]) -> list[SavedFile]:
        """The files that hold some elements, each named by parameter, first element and count."""
        needed = {
            file.name: file for name, start, size in fragments for _, file in self._within(name, start, size)
        }
        return [needed[name] for name in sorted(needed)]

    def values(self, name: str, start: int, size: int) -> Values:
        """The values of some elements of a parameter.

        Raises:
            DamagedError: they are not all there.
        """
        cuts: dict[str, list[torch.Tensor]] = {kind: [] for kind in KINDS}
        for (first, end, begin), file in self._within(name, start, size):
            opened = self._opened(file)
            for kind in KINDS:
                tensor = opened.get_slice(f"{kind}:{begin}:{name}")
                cuts[kind].append(tensor[first - begin : end - begin])
        found = {kind: torch.cat(cut) if len(cut) != 1 else cut[0] for kind, cut in cuts.items() if cut}
        if not found or found[WEIGHT].numel() != size:
            raise damaged(self.address, f"lacks elements of {name}")
        return found

    def _within(self, name: str, start: int, size: int) -> Iterator[tuple[tuple[int, int, int], SavedFile]]:
        """The cuts that make up some elements: first and end of each, and where its fragment begins."""
        places = self._places.get(name, [])
        place = max(0, bisect_right(places, start, key=lambda one: one[0]) - 1)
        for begin, count, file in places[place:]:
            if begin >= start + size:
                break
            first, end = max(begin, start), min(begin + count, start + size)
            if first < end:
                yield (first, end, begin), file

    def _path(self, file: SavedFile) -> Path:
        return self.storage.fetch(f"{self.key}/{file.name}", size=file.bytes, sha256=file.sha256)

    @cached_property
    def _files(self) -> dict[str, Any]:
        return {}

    def _opened(self, file: SavedFile) -> Any:
        from safetensors import SafetensorError, safe_open

        if file.name not in self._files:
            try:
                self._files[file.name] = safe_open(self._path(file), framework="pt")
            except (OSError, SafetensorError) as error:
                raise damaged(f"{self.address}/{file.name}", f"cannot be read ({one_line(error)})") from error
        return self._files[file.name]


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one training.

    Attributes:
        storage: where they are.
    """

    storage: Storage

    def steps(self) -> list[int]:
        """Steps of those that are whole, the last first."""
        keys = [key.split("/") for key in self.storage.keys(FOLDER)]
        found = {
            int(parts[1][STEP])
            for parts in keys
            if len(parts) == 3 and parts[2] == CheckpointRecord.FILE and parts[1][STEP].isdigit()
        }
        return sorted(found, reverse=True)

    def last(self) -> int | None:
        """The step of the last one; None where there is none."""
        return next(iter(self.steps()), None)

    def at(self, step: int) -> Checkpoint:
        """The checkpoint of a step."""
        return Checkpoint.at(self.storage, self.key(step))

    def key(self, step: int) -> str:
        """The folder of a step's checkpoint."""
        return f"{FOLDER}/{NAME.format(step)}"

    def newest_first(self) -> Iterator[tuple[int, Checkpoint | DamagedError]]:
        """Step of each and what is there, the last first."""
        for step in self.steps():
            try:
                yield step, self.at(step)
            except DamagedError as error:
                yield step, error

    def forget(self, kept: Sequence[int]) -> None:
        """Remove all but some, and what saves that were not finished left of steps before the last kept."""
        last = max(kept, default=0)
        folders = {key.split("/")[1] for key in self.storage.keys(FOLDER) if key.count("/") >= 2}
        for folder in sorted(name for name in folders if name[STEP].isdigit()):
            step = int(folder[STEP])
            if step not in kept and step < last:
                self.storage.discard(f"{FOLDER}/{folder}")

    def forget_after(self, step: int) -> None:
        """Remove those of later steps."""
        for later in self.steps():
            if later > step:
                self.storage.discard(self.key(later))
