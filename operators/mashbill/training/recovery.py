"""What a training goes on from: saves, the last checkpoint that is whole, and the way back when steps go
wrong."""

import math
import time
from dataclasses import dataclass, replace
from typing import Any

import torch.distributed as dist

from mashbill.config import TrainingConfig
from mashbill.errors import DamagedError, RunError
from mashbill.training.account import Account
from mashbill.training.checkpoint import Checkpoint, CheckpointRecord, SavedFile
from mashbill.training.engine import Engine
from mashbill.training.fragments import held, overwrite
from mashbill.training.guard import Guard
from mashbill.training.saving import Saver


@dataclass
class Course:
    """How far a training is.

    Attributes:
        step: steps that are behind it, skipped ones among them.
        batches: global batches that were read, those that were left out among them.
        rollbacks: times it went back.
        skipped: of the steps, those that were not taken.
    """

    step: int = 0
    batches: int = 0
    rollbacks: int = 0
    skipped: int = 0


class Recovery:
    """Saves and restores one training.

    Args:
        engine: the model.
        training: the recipe.
        saver: of checkpoints.
        account: written to by the first process.
        identity: of what is trained, as checkpoints hold it.
    """

    def __init__(
        self,
        engine: Engine,
        training: TrainingConfig,
        saver: Saver,
        *,
        account: Account,
        identity: dict[str, str],
    ) -> None:
        self.engine, self.training, self.saver, self.account = engine, training, saver, account
        self.identity, self.shapes = identity, engine.shapes
        self.rank, self.world = dist.get_rank(), dist.get_world_size()
        self.guard, self.course = Guard(training.guard), Course()

    def hear(self) -> None:
        """Account for saves that ended.

        Raises:
            RunError: too many failed one after the other.
        """
        for saved in self.saver.news():
            if saved.retried:
                self.account.event(saved.step, "checkpoint retried", saved.retried)
            if saved.trouble:
                words = f"the checkpoint of step {saved.step} failed and training went on: {saved.trouble}"
                self.account.event(saved.step, "checkpoint failed", words)
                self.saver.refuse_more_failures(saved)
            else:
                self.account.saved(saved.step, stalled=saved.stalled, seconds=saved.seconds)

    def settle(self) -> bool:
        """Wait for the save under way; whether the last one is there."""
        self.saver.wait()
        self.hear()
        return self.saver.failed == 0

    def save(self) -> None:
        """Begin a checkpoint, once the one before has ended.

        Raises:
            RunError: too many failed one after the other.
        """
        since = time.monotonic()
        self.settle()
        course, guard = replace(self.course), self.guard.state()

        def describe(files: list[SavedFile]) -> CheckpointRecord:
            return CheckpointRecord(
                step=course.step,
                batches=course.batches,
                world_size=self.world,
                zero_stage=self.training.zero_stage,
                shapes=self.shapes,
                identity=self.identity,
                guard=guard,
                rollbacks=course.rollbacks,
                skipped=course.skipped,
                files=files,
            )

        self.saver.begin(course.step, list(held(self.engine.engine)), describe, since=since)

    def resume(self) -> None:
        """Go on from the last checkpoint that is whole, if there is one; what is wrong with others is told.

        Raises:
            DataError: the last is of another model or text.
        """
        if not self._take_last():
            self._begin_at(0)

    def _take_last(self) -> bool:
        """Take over the last checkpoint that is whole; whether there is one."""
        for step, found in self._candidates():
            trouble = found if isinstance(found, str) else self._load(found)
            if trouble is None:
                self._begin_at(step)
                return True
            words = f"the checkpoint of step {step} is not whole, and the one before it is taken: {trouble}"
            self.account.event(step, "checkpoint damaged", words)
        return False

    def _begin_at(self, step: int) -> None:
        """Go on after a step; checkpoints of later ones, which are damaged, count for nothing any more."""
        self.saver.good = step or None
        if self.rank == 0:
            self.saver.checkpoints.forget_after(step)
        self.account.resumed(step)

    def _candidates(self) -> list[tuple[int, Any]]:
        """Steps of the checkpoints and their records, as the first process sees them."""
        found: list[Any] = [None]
        if self.rank == 0:
            listed = self.saver.checkpoints.newest_first()
            found = [[(step, str(one) if isinstance(one, DamagedError) else one) for step, one in listed]]
        dist.broadcast_object_list(found, src=0)
        candidates: list[tuple[int, Any]] = found[0]
        return candidates

    def _load(self, checkpoint: Checkpoint) -> str | None:
        """Take over a checkpoint; None, or why none of the processes does."""
        checkpoint.refuse_another(self.shapes, self.identity)
        trouble = ""
        try:
            mine = [(one.name, one.start, one.size) for one in held(self.engine.engine)]
            if self.training.zero_stage == 0:
                mine = [(name, 0, math.prod(shape)) for name, shape in self.shapes.items()]
            checkpoint.check(checkpoint.files_of(mine))
        except DamagedError as error:
            trouble = str(error)
        told: list[Any] = [None] * self.world
        dist.all_gather_object(told, trouble)
        wrong = next(filter(None, told), None)
        if wrong:
            return str(wrong)
        record = checkpoint.record
        overwrite(self.engine.engine, checkpoint.values, record.step - record.skipped)
        self.course = Course(record.step, record.batches, record.rollbacks, record.skipped)
        self.guard.restore(record.guard)
        return None

    def go_back(self) -> None:
        """Go back to the last good checkpoint, and leave out the text that was read since.

        Raises:
            RunError: there is none, or it was done too often.
        """
        reached, read, rollbacks = self.course.step, self.course.batches, self.course.rollbacks + 1
        self.saver.wait()
        what = f"{self.guard.skipped} steps one after the other were no good at step {reached}"
        if rollbacks > self.training.guard.rollbacks:
            mend = "lower the learning rate, or look at the text that was read there (events.jsonl)"
            raise RunError("training", f"{what}, and it went back {rollbacks - 1} times before", mend)
        if not self._take_last():
            mend = "lower training.learning_rate or training.checkpoint_steps"
            raise RunError("training", f"{what}, and there is no good checkpoint to go back to", mend)
        left_out = read - self.course.batches
        self.course.batches, self.course.rollbacks = read, rollbacks
        words = f"{what}: back to step {self.course.step}, and {left_out} batches of text are left out"
        self.account.event(self.course.step, "went back", words)
