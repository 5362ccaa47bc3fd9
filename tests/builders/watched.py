"""Stages run on storages that note who opens what: the driver, which is the thread that runs the stage, or a
task of it."""

import json
import os
import shutil
import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from mashbill.artifacts import Artifact, FileEntry, Output, StageRun
from mashbill.config import PipelineConfig, StageConfig
from mashbill.stages import stages_up_to
from mashbill.storage.local import LocalStorage


class WatchedStorage(LocalStorage):
    """Objects on a disk, of which it is noted who opens them."""

    def __init__(self, root: str, notes: Path) -> None:
        super().__init__(root, notes)
        self.notes = notes

    def _note(self, key: str) -> None:
        main = threading.current_thread() is threading.main_thread()
        line = json.dumps({"process": os.getpid(), "main": main, "key": key})
        with self.notes.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")

    def read(self, key: str) -> bytes:
        self._note(key)
        return super().read(key)

    def part(self, key: str, start: int, size: int) -> memoryview:
        self._note(key)
        return super().part(key, start, size)

    def fetch(self, key: str, *, size: int, sha256: str) -> Path:
        self._note(key)
        return super().fetch(key, size=size, sha256=sha256)

    def reading(self, key: str, *, size: int, sha256: str) -> AbstractContextManager[Path]:
        self._note(key)
        return super().reading(key, size=size, sha256=sha256)


@dataclass(frozen=True)
class Watched:
    """What came of a stage, and who opened what.

    Attributes:
        files: that it wrote.
        driver, tasks: keys of what each opened.
    """

    files: tuple[FileEntry, ...]
    driver: set[str]
    tasks: set[str]


def watched_inputs(inputs: Mapping[str, Artifact], notes: Path) -> dict[str, Artifact]:
    """Artifacts on a disk, of which it is noted who opens a file of them."""
    return {
        name: replace(artifact, storage=WatchedStorage(artifact.storage.root, notes))
        for name, artifact in inputs.items()
    }


def watched_run(config: PipelineConfig, name: str, inputs: Mapping[str, Artifact], folder: Path) -> Watched:
    """Run a stage into a folder, and note who opens a file of its inputs or of what its tasks share; a second
    run finds what the first's tasks shared, as one does after a kill."""
    stage = next(stage for stage in stages_up_to(name) if stage.name == name)
    shutil.rmtree(folder / "output", ignore_errors=True)
    (folder / "output").mkdir(parents=True)
    (folder / "scratch").mkdir(exist_ok=True)
    notes = folder / "notes.jsonl"
    notes.write_text("")
    run = StageRun(
        StageConfig.of(config, (*stage.sections, *stage.identified), reader=name),
        watched_inputs(inputs, notes),
        Output.at(folder / "output"),
        folder / "scratch",
        WatchedStorage(str(folder / "scratch"), notes),
        lambda *_: None,
    )
    stage.load_run(part=False)(run)
    driver, tasks = opened(notes)
    return Watched(run.files.described(), driver, tasks)


def opened(notes: Path) -> tuple[set[str], set[str]]:
    """Keys of what this process's main thread opened, and of what all others did."""
    found = [json.loads(line) for line in notes.read_text(encoding="utf-8").splitlines()]
    mine = [note["key"] for note in found if note["process"] == os.getpid() and note["main"]]
    others = [note["key"] for note in found if note["process"] != os.getpid() or not note["main"]]
    return set(mine), set(others)
