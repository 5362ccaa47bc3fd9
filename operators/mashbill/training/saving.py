"""Writing checkpoints beside training: the optimiser's state is copied, and training goes on while a thread
writes the copy, tells the other processes' threads of it, and the first names the whole.

A save that fails is tried again with growing pauses. One that failed for good is given up and counted;
training goes on without it, until too many failed one after the other.
"""

import logging
import queue
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from mashbill.config.final_run import CheckpointsConfig
from mashbill.errors import MashbillError, RunError, one_line
from mashbill.storage import LOCAL
from mashbill.training.checkpoint import (
    CheckpointRecord,
    Checkpoints,
    SavedFile,
    file_name,
    write_fragments,
)
from mashbill.training.fragments import Fragment

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 60.0
Result = TypeVar("Result")
log = logging.getLogger(__name__)
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
        retried: times that it was tried again, and why, where it was.
    """

    step: int
    stalled: float
    seconds: float
    trouble: str | None = None
    retried: str = ""


class Saver:
    """Writes one checkpoint at a time, beside training.

    Args:
        checkpoints: where they go.
        settings: what is kept, and how often a save is tried.
        folder: local, for files on their way.

    Attributes:
        good: step of the last checkpoint that is whole, as far as it is known.
    """

    def __init__(self, checkpoints: Checkpoints, settings: CheckpointsConfig, folder: Path) -> None:
        self.checkpoints, self.settings, self.folder = checkpoints, settings, folder
        self.rank, self.world = dist.get_rank(), dist.get_world_size()
        self.group = dist.new_group(backend="gloo")
        self.copies: dict[tuple[str, int, str], torch.Tensor] = {}
        self.ended: queue.Queue[Saved] = queue.Queue()
        self.thread: threading.Thread | None = None
        self.failed = 0
        self.good: int | None = None

    def begin(self, step: int, fragments: Sequence[Fragment], describe: Describe, *, since: float) -> None:
        """Copy what this process holds, and write it while training goes on; the save before has ended.

        Args:
            step: of the checkpoint.
            fragments: what this process holds.
            describe: makes the record, in the first process.
            since: when training stood still for it, by the monotonic clock.
        """
        assert self.thread is None, "wait for the save before"
        copied = [self._copied(fragment) for fragment in fragments]
        if torch.cuda.is_available():
            torch.cuda.current_stream().synchronize()
        stalled = time.monotonic() - since
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
        """How saves ended since the last call."""
        found = []
        while not self.ended.empty():
            one = self.ended.get()
            self.failed = self.failed + 1 if one.trouble else 0
            self.good = self.good if one.trouble else one.step
            found.append(one)
        return found

    def refuse_more_failures(self, last: Saved) -> None:
        """End a training whose checkpoints fail.

        Args:
            last: save that failed.
        Raises:
            RunError: too many failed one after the other.
        """
        if self.failed >= self.settings.failures:
            good = (
                "there is no good one" if self.good is None else f"the last good one is of step {self.good}"
            )
            what = f"failed {self.failed} times one after the other ({last.trouble}); {good}"
            raise RunError("checkpoint", what, "mend the storage, and run again to go on from there")

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
        started, retries = time.monotonic(), Retries(self.settings.retries, f"the checkpoint of step {step}")
        mine: SavedFile | str
        try:
            mine = retries.tried(lambda: self._put(step, fragments))
        except Exception as error:  # whatever it is: a thread that died would leave the others waiting
            mine = one_line(error)
        told: list[Any] = [None] * self.world
        dist.all_gather_object(told, (mine, retries.words), group=self.group)
        written, tries = zip(*told, strict=True)
        wrong = next((one for one in written if isinstance(one, str)), None)
        end: list[str | None] = [wrong, next(filter(None, tries), "")]
        if wrong is None and self.rank == 0:
            try:
                retries.tried(lambda: self._name(step, describe(list(written))))
            except Exception as error:  # as above
                end[0] = one_line(error)
            end[1] = end[1] or retries.words
        dist.broadcast_object_list(end, src=0, group=self.group)
        if end[0] is not None:
            self._clear(step)
        self.ended.put(Saved(step, stalled, time.monotonic() - started, end[0], end[1] or ""))

    def _clear(self, step: int) -> None:
        """Remove what a save that failed has left, here and, on a disk, where it was to be: the next needs
        that room."""
        shutil.rmtree(self.folder / f"saving-{self.rank}", ignore_errors=True)
        storage, key = self.checkpoints.storage, self.checkpoints.key(step)
        if self.rank == 0 and storage.scheme == LOCAL:
            with suppress(OSError):
                if not storage.exists(f"{key}/{CheckpointRecord.FILE}"):
                    storage.discard(key)

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


class Retries:
    """Tries what may fail again, with growing pauses, and tells.

    Args:
        times: that it is tried again.
        what: it is, in words.

    Attributes:
        words: how often it was tried again, and what was wrong first; empty where it never was.
    """

    def __init__(self, times: int, what: str) -> None:
        self.times, self.what, self.count, self.words = times, what, 0, ""

    def tried(self, act: Callable[[], Result]) -> Result:
        """What an act returns."""
        pause = FIRST_PAUSE_SECONDS
        for _ in range(self.times):
            try:
                return act()
            except (MashbillError, OSError) as error:
                self._tell(one_line(error), pause)
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        return act()

    def _tell(self, why: str, pause: float) -> None:
        log.warning("%s: %s; trying again in %g s", self.what, why, pause)
        self.count += 1
        first = self.words.partition(": ")[2] or why
        self.words = f"{self.what} was tried again {self.count} times: {first}"
