"""Writing checkpoints beside training: the optimiser's state is copied, and training goes on while a thread
writes the copy, tells the other processes' threads of it, and the first names the whole.

A save that fails is tried again with growing pauses. One that failed for good is given up and counted;
training goes on without it, until too many failed one after the other.
"""

import queue
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from mashbill.config.final_run import CheckpointsConfig
from mashbill.errors import MashbillError, RunError, one_line
from mashbill.training.checkpoint import (
    CheckpointRecord,
    Checkpoints,
    SavedFile,
    file_name,
    write_fragments,
)
from mashbill.training.fragments import Fragment

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 60.0
Describe = Callable[[list[SavedFile]], CheckpointRecord]
"""The record of a checkpoint, given what the processes wrote."""


@dataclass(frozen=True)
class Saved:
    """How a save ended.

    Attributes:
        step: of the checkpoint.
        stalled: seconds that training stood still for it: the copy, and the end of the save before.
        seconds: from then to its end.
        trouble: why there is none, where it failed.
    """

    step: int
    stalled: float
    seconds: float
    trouble: str | None = None


class Saver:
    """Writes one checkpoint at a time, beside training.

    Args:
        checkpoints: where they go.
        settings: what is kept, and how often a save is tried.
        folder: local, for files on their way.
    """

    def __init__(self, checkpoints: Checkpoints, settings: CheckpointsConfig, folder: Path) -> None:
        self.checkpoints, self.settings, self.folder = checkpoints, settings, folder
        self.rank, self.world = dist.get_rank(), dist.get_world_size()
        self.group = dist.new_group(backend="gloo")
        self.copies: dict[tuple[str, int, str], torch.Tensor] = {}
        self.ended: queue.Queue[Saved] = queue.Queue()
        self.thread: threading.Thread | None = None
        self.failed = 0

    def begin(self, step: int, fragments: Sequence[Fragment], describe: Describe) -> None:
        """Copy what this process holds, and write it while training goes on.

        Args:
            step: of the checkpoint.
            fragments: what this process holds.
            describe: makes the record, in the first process.
        """
        started = time.monotonic()
        self.wait()
        copied = [self._copied(fragment) for fragment in fragments]
        if torch.cuda.is_available():
            torch.cuda.current_stream().synchronize()
        stalled = time.monotonic() - started
        self.thread = threading.Thread(
            target=self._save, args=(step, copied, describe), kwargs={"stalled": stalled}, daemon=True
        )
        self.thread.start()

    def wait(self) -> None:
        """Wait for the save under way, if there is one."""
        if self.thread is not None:
            self.thread.join()
            self.thread = None

    def news(self) -> list[Saved]:
        """How saves ended since the last call.

        Raises:
            RunError: too many failed one after the other.
        """
        found = []
        while not self.ended.empty():
            one = self.ended.get()
            self.failed = self.failed + 1 if one.trouble else 0
            found.append(one)
            if self.failed >= self.settings.failures:
                last = self.checkpoints.last()
                rest = f"the last good one is of step {last}" if last is not None else "there is no good one"
                what = f"failed {self.failed} times one after the other ({one.trouble}); {rest}"
                raise RunError("checkpoint", what, "mend the storage, and run again to go on from there")
        return found

    def _copied(self, fragment: Fragment) -> Fragment:
        """A copy in memory that the next save uses again; pinned, where it comes from a GPU."""
        values = {}
        for kind, value in fragment.values.items():
            key = fragment.name, fragment.start, kind
            if key not in self.copies:
                self.copies[key] = torch.empty(value.shape, dtype=value.dtype, pin_memory=value.is_cuda)
            self.copies[key].copy_(value, non_blocking=True)
            values[kind] = self.copies[key]
        return Fragment(fragment.name, fragment.start, values)

    def _save(self, step: int, fragments: Sequence[Fragment], describe: Describe, *, stalled: float) -> None:
        started = time.monotonic()
        mine: SavedFile | str
        try:
            mine = self._tried(lambda: self._put(step, fragments))
        except (MashbillError, OSError) as error:
            mine = one_line(error)
        told: list[Any] = [None] * self.world
        dist.all_gather_object(told, mine, group=self.group)
        wrong = next((one for one in told if isinstance(one, str)), None)
        end: list[str | None] = [wrong]
        if wrong is None and self.rank == 0:
            try:
                self._tried(lambda: self._name(step, describe(told)))
            except (MashbillError, OSError) as error:
                end = [one_line(error)]
        dist.broadcast_object_list(end, src=0, group=self.group)
        self.ended.put(Saved(step, stalled, time.monotonic() - started, end[0]))

    def _put(self, step: int, fragments: Sequence[Fragment]) -> SavedFile:
        """Write this process's file and hand it to the storage."""
        folder = self.folder / f"saving-{self.rank}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        path = folder / file_name(self.rank, self.world)
        saved = write_fragments(fragments, path)
        self.checkpoints.storage.put(path, f"{self.checkpoints.key(step)}/{path.name}")
        return saved

    def _name(self, step: int, record: CheckpointRecord) -> None:
        """Make the files a checkpoint, and remove those that are not kept any more."""
        folder = self.folder / "naming"
        folder.mkdir(parents=True, exist_ok=True)
        record.write(folder)
        key = f"{self.checkpoints.key(step)}/{CheckpointRecord.FILE}"
        self.checkpoints.storage.put(folder / CheckpointRecord.FILE, key)
        steps = self.checkpoints.steps()
        every = self.settings.milestone_steps
        milestones = [one for one in steps if every and one % every == 0]
        self.checkpoints.forget([*steps[: self.settings.keep], *milestones])

    def _tried(self, act: Callable[[], Any]) -> Any:
        """What an act returns, tried again with growing pauses where it fails."""
        pause = FIRST_PAUSE_SECONDS
        for _ in range(self.settings.retries):
            try:
                return act()
            except (MashbillError, OSError):
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        return act()
