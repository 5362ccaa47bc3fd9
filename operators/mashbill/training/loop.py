"""The loop of a final training in one process: steps, what is measured on the way, checkpoints, and what is
done when a step goes wrong.

Which text is read at which step is a function of the seed, the step, and how many global batches were left
out by going back, so a training that goes on from a checkpoint, on any number of processes, reads what an
undisturbed one would.
"""

import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import torch
import torch.distributed as dist

from mashbill.config import TrainingConfig
from mashbill.errors import RunError
from mashbill.mixtures import Batches, MixtureLoader
from mashbill.training.account import Account
from mashbill.training.engine import Engine, sum_over_processes
from mashbill.training.recipe import rates
from mashbill.training.recovery import Course, Recovery
from mashbill.training.watch import COMPUTING, READING, WAITING, Watch

Evaluate = Callable[[], Mapping[str, float]]


class Paused(Exception):
    """The training was asked to end; a checkpoint of the step that it names is there."""


class Loop:
    """Trains to the end.

    Args:
        engine: the model.
        loader: its text.
        training: the recipe.
        steps: of the whole training.
        account: written to by the first process.
        recovery: keeps the course, and what it goes on from.
        watch: over the processes.
        ask: a file by which this node's processes are asked to end, as by SIGTERM.
    """

    def __init__(
        self,
        engine: Engine,
        loader: MixtureLoader,
        training: TrainingConfig,
        *,
        steps: int,
        account: Account,
        recovery: Recovery,
        watch: Watch,
        ask: Path,
    ) -> None:
        self.engine, self.training, self.steps = engine, training, steps
        self.account, self.recovery, self.watch, self.ask = account, recovery, watch, ask
        self.rank, self.world, self.rates = dist.get_rank(), dist.get_world_size(), rates(training)
        self.batches = Batches(
            loader, batch_sequences=training.batch_sequences, rank=self.rank, world=self.world
        )
        self.guard, self.signalled, self.all_end = recovery.guard, False, False

    @property
    def course(self) -> Course:
        """How far it is."""
        return self.recovery.course

    def run(self, evaluate: Evaluate) -> None:
        """Take all steps that are left.

        Raises:
            Paused: the processes were asked to end.
            RunError: training went back too often, or checkpoints cannot be saved.
        """
        signal.signal(signal.SIGTERM, self._ask_to_end)
        measured_at = {
            round(self.steps * (i + 1) / self.training.evaluations) for i in range(self.training.evaluations)
        }
        self.recovery.resume()
        while self.course.step < self.steps:
            self._step()
            if self.guard.gives_up:
                self.recovery.go_back()
                continue
            if self.course.step in measured_at:
                self.watch.at(COMPUTING, self.course.step)
                self.account.evaluated(self.course.step, evaluate())
            self._look_after_checkpoints()
        self.batches.close()
        self.recovery.settle()

    def _step(self) -> None:
        """Take a step, or skip it."""
        step, started = self.course.step, time.monotonic()
        self.watch.at(READING, step)
        rows = self._rows()
        waited = time.monotonic() - started
        self.watch.at(COMPUTING, step)
        rate = self.rates.rate_at(step)
        self.engine.set_rate(rate)
        nats, counted = torch.zeros((), device=self.engine.device), 0.0
        micro = torch.split(rows, self.training.micro_batch_sequences)
        for i, part in enumerate(micro):
            forward = self.engine.forward(part)
            self.engine.backward(forward)
            nats, counted = nats + forward.nats, counted + forward.counted
            if i < len(micro) - 1:
                self.engine.step()
        told = self._tell(float(nats), counted, time.monotonic() - started)
        reason: list[str | None] = [None]

        def judge(norm: float) -> bool:
            reason[0] = self.guard.judge(told.loss, norm)
            return reason[0] is None

        self.engine.step(judge)
        self.course.step, self.course.batches = step + 1, self.course.batches + 1
        if reason[0] is not None:
            self.course.skipped += 1
            self.account.event(step + 1, "skipped", f"step {step + 1} was skipped, as {reason[0]}")
        self.all_end = told.asked_to_end
        self.account.stepped(
            step + 1,
            loss=told.loss,
            norm=self.engine.norm,
            rate=rate,
            waited=waited,
            seconds=time.monotonic() - started,
            by_rank=told.seconds,
        )

    def _rows(self) -> torch.Tensor:
        """[sequences, context + 1] this process's share of the next global batch."""
        return torch.from_numpy(self.batches.at(self.course.batches))

    def _tell(self, nats: float, counted: float, seconds: float) -> "Told":
        """What all processes say at the end of a batch: one exchange."""
        self.watch.at(WAITING, self.course.step)
        said = torch.zeros(3 + self.world, dtype=torch.float64)
        asked = self.signalled or self.ask.exists()
        said[0], said[1], said[2], said[3 + self.rank] = nats, counted, asked, seconds
        heard = sum_over_processes(said.to(self.engine.device)).tolist()
        return Told(heard[0] / max(heard[1], 1.0), heard[2] > 0, heard[3:])

    def _look_after_checkpoints(self) -> None:
        """Save where it is time, and pause where it was asked for."""
        self.recovery.hear()
        due = self.course.step % self.training.checkpoint_steps == 0 and self.course.step < self.steps
        if due or self.all_end:
            self.recovery.save()
        if self.all_end:
            if self.recovery.settle():
                raise Paused(str(self.course.step))
            raise RunError("checkpoint", "failed on the way out", "rerun, which goes on from the one before")

    def _ask_to_end(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.signalled = True


@dataclass(frozen=True)
class Told:
    """What all processes said at the end of a batch.

    Attributes:
        loss: mean over the global batch.
        asked_to_end: whether any was asked to end.
        seconds: that each took until it waited for the others, by rank.
    """

    loss: float
    asked_to_end: bool
    seconds: list[float]
