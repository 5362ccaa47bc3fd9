"""The account of a training, kept by its first process: the curve, what was measured, what happened, and how
far it is."""

import csv
import io
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mashbill.artifacts import ProgressFile
from mashbill.config.recipe import MetricsConfig
from mashbill.launch.torchrun import PROGRESS
from mashbill.mixtures.forecast import Band
from mashbill.training.metrics import Metrics, StepRecord, over_ranks
from mashbill.training.pace import Pace
from mashbill.training.patient_file import PatientFile

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
        metrics: where the figures go beside tables.
        pace: of the training.
        keeps: whether this process keeps it: the others' accounts do nothing.
        facts: of the recipe, for servers.
    """

    def __init__(
        self,
        folder: Path,
        metrics: MetricsConfig,
        pace: Pace,
        *,
        keeps: bool,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder, self.pace, self.keeps, self.facts = folder, pace, keeps, facts
        self.progress = ProgressFile(folder / PROGRESS)
        self.settings = metrics
        self.metrics: Metrics | None = None
        self.band: Band | None = None
        self.target: Mapping[str, float] = {}
        self.outside = False
        self.files: dict[str, PatientFile] = {}

    def hold_against(self, band: Band | None, target: Mapping[str, float]) -> None:
        """Watch whether training stays within a forecast.

        Args:
            band: bits per byte of the target by step.
            target: weights of its sets.
        """
        self.band, self.target = band, target

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
        over, tokens = over_ranks(by_rank), step * self.pace.batch_tokens
        self.pace.took(seconds)
        speed = self.pace.batch_tokens / seconds
        parts = [round(value, 4) for value in (waited, seconds, over.median, over.worst)]
        row = [step, tokens, loss, rate, round(speed), norm, *parts, over.slowest_rank]
        self._add(CURVE, CURVE_HEAD, row)
        if self.metrics is not None:
            record = StepRecord(
                step=step,
                tokens=tokens,
                loss=loss,
                gradient_norm=norm,
                learning_rate=rate,
                tokens_per_second=speed,
                seconds=over,
                data_wait_seconds=waited,
                mfu=self.pace.mfu,
                **_memory(),
            )
            self.metrics.stepped(record)
        figures = {"step": step, "tokens": tokens, "loss": loss, "tokens_per_second": round(speed)}
        self.progress(step / self.pace.steps, self.pace.words(step, loss), figures)

    def evaluated(self, step: int, values: Mapping[str, float]) -> None:
        """Bits per byte of each set were measured."""
        tokens = step * self.pace.batch_tokens
        self._add(EVALUATIONS, ("step", "tokens", *values), [step, tokens, *values.values()])
        if self.metrics is not None:
            self.metrics.evaluated(step, tokens, values)
        self._hold_against_forecast(step, values)

    def _hold_against_forecast(self, step: int, values: Mapping[str, float]) -> None:
        """Tell where training leaves the band of the forecast, once at each leaving."""
        within = self.band.band_at(step) if self.band else None
        if within is None or not set(self.target) <= set(values):
            return
        loss = sum(weight * values[name] for name, weight in self.target.items())
        outside = not within[0] <= loss <= within[1]
        if outside and not self.outside:
            words = f"step {step}: the target's loss is {loss:.4f} bits per byte, outside the forecast's"
            self.event(step, "left the band", f"{words} {within[0]:.4f} to {within[1]:.4f}")
        self.outside = outside

    def event(self, step: int, kind: str, words: str) -> None:
        """Something happened that whoever trains wants to know."""
        if self.keeps:
            log.warning("%s", words)
            self._note(step, kind, words)
        if self.metrics is not None:
            self.metrics.noted(step, words)

    def alarm(self, step: int, kind: str, words: str) -> None:
        """Something happened after which this process ends: each that finds it out says so."""
        log.error("%s", words)
        self._note(step, kind, words)

    def _note(self, step: int, kind: str, words: str) -> None:
        self._file(EVENTS).add(json.dumps({"step": step, "kind": kind, "words": words}))

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
            self._file(name).keep_while(lambda row: int(row.split(",")[0]) <= step)
        if self.metrics is None:
            name, facts = self.folder.name, self.facts
            self.metrics = Metrics(self.folder, self.settings, name=name, step=step, facts=facts)
        else:
            self.metrics.back_to(step)

    def close(self) -> None:
        """Write what is left, and tell what there is no room for."""
        for file in self.files.values():
            file.settle()
        if self.metrics is not None:
            self.metrics.close()

    def _add(self, name: str, head: Sequence[str], row: Sequence[Any]) -> None:
        if not self.keeps:
            return
        self._file(name).add(_row(row), _row(head))

    def _file(self, name: str) -> PatientFile:
        if name not in self.files:
            self.files[name] = PatientFile(self.folder / name, log.warning, headed=name != EVENTS)
        return self.files[name]


def _row(values: Sequence[Any]) -> str:
    """A row of CSV, without its end."""
    written = io.StringIO()
    csv.writer(written, lineterminator="").writerow(values)
    return written.getvalue()


def _memory() -> dict[str, int]:
    """Bytes of this process's GPU that are taken, and that were at most; nothing without one."""
    import torch

    if not torch.cuda.is_available():
        return {}
    taken, most = torch.cuda.memory_allocated(), torch.cuda.max_memory_allocated()
    return {"memory_allocated_bytes": taken, "memory_peak_bytes": most}
