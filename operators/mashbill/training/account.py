"""The account of a training, kept by its first process: the curve, what was measured, what happened, and how
far it is."""

import csv
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mashbill.artifacts import ProgressFile
from mashbill.launch.torchrun import PROGRESS

log = logging.getLogger(__name__)
CURVE, EVALUATIONS, SAVES, EVENTS = "curve.csv", "evaluations.csv", "saves.csv", "events.jsonl"
CURVE_HEAD = (
    "step",
    "tokens",
    "loss",
    "learning_rate",
    "tokens_per_second",
    "gradient_norm",
    "data_seconds",
    "step_seconds",
    "median_rank_seconds",
    "slowest_rank_seconds",
    "slowest_rank",
)


class Account:
    """Writes tables of a training to a folder.

    Args:
        folder: local; kept between attempts.
        steps: of the whole training.
        batch_tokens: tokens of a global batch.
        keeps: whether this process keeps it: the others' accounts do nothing.
    """

    def __init__(self, folder: Path, *, steps: int, batch_tokens: int, keeps: bool) -> None:
        self.folder, self.steps, self.batch_tokens, self.keeps = folder, steps, batch_tokens, keeps
        self.progress = ProgressFile(folder / PROGRESS)

    def stepped(
        self,
        step: int,
        *,
        loss: float,
        norm: float,
        rate: float,
        waited: float,
        seconds: float,
        by_rank: Sequence[float],
    ) -> None:
        """A step ended.

        Args:
            step: steps that are behind.
            loss: mean over the global batch, in nats.
            norm: of the gradient, before clipping.
            rate: learning rate.
            waited: seconds for text.
            seconds: of the step.
            by_rank: seconds that each process took until it waited for the others.
        """
        if not self.keeps:
            return
        slowest = max(range(len(by_rank)), key=by_rank.__getitem__)
        median = sorted(by_rank)[len(by_rank) // 2]
        rounded = [round(value, 4) for value in (waited, seconds, median, by_rank[slowest])]
        speed = round(self.batch_tokens / seconds)
        row = [step, step * self.batch_tokens, loss, rate, speed, norm, *rounded, slowest]
        self._add(CURVE, CURVE_HEAD, row)
        self.progress(step / self.steps, f"step {step} of {self.steps}, loss {loss:.3f}")

    def evaluated(self, step: int, values: Mapping[str, float]) -> None:
        """Bits per byte of each set were measured."""
        row = [step, step * self.batch_tokens, *values.values()]
        self._add(EVALUATIONS, ("step", "tokens", *values), row)

    def event(self, step: int, kind: str, words: str) -> None:
        """Something happened that whoever trains wants to know."""
        if self.keeps:
            log.warning("%s", words)
            self._note(step, kind, words)

    def alarm(self, step: int, kind: str, words: str) -> None:
        """Something happened after which this process ends: each that finds it out says so."""
        log.error("%s", words)
        self._note(step, kind, words)

    def _note(self, step: int, kind: str, words: str) -> None:
        with (self.folder / EVENTS).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "kind": kind, "words": words}) + "\n")

    def saved(self, step: int, *, stalled: float, seconds: float) -> None:
        """A checkpoint is there.

        Args:
            step: of it.
            stalled: seconds that training stood still for it.
            seconds: from then to its end, beside training.
        """
        row = [step, round(stalled, 4), round(seconds, 4)]
        self._add(SAVES, ("step", "stalled_seconds", "seconds"), row)

    def resumed(self, step: int) -> None:
        """Training goes on after a step: what was written of later ones goes."""
        if not self.keeps:
            return
        for name in (CURVE, EVALUATIONS, SAVES):
            path = self.folder / name
            if path.exists():
                head, *rows = path.read_text().splitlines()
                kept = [row for row in rows if int(row.split(",")[0]) <= step]
                path.write_text("\n".join([head, *kept]) + "\n")

    def _add(self, name: str, head: Sequence[str], row: Sequence[Any]) -> None:
        if not self.keeps:
            return
        path = self.folder / name
        new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            if new:
                writer.writerow(head)
            writer.writerow(row)
