"""A training's metrics: one record a step and an evaluation, written to metrics.jsonl and to what else the
config names.

The first process writes them. metrics.jsonl is written at once, a line a record; every other sink has a
thread of its own, so that a server that is away delays nothing. A sink that fails is told of once, and
counted; training goes on. After going back to a checkpoint no step stands twice.
"""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mashbill.config.recipe import MetricsConfig
from mashbill.errors import one_line
from mashbill.training.sink_thread import SinkThread
from mashbill.training.sinks import MlflowSink, Sink, TensorBoardSink, WandbSink

log = logging.getLogger(__name__)
METRICS = "metrics.jsonl"
SEEN = "metrics_seen.json"
STEP, EVALUATION, EVENT = "step", "evaluation", "event"
JSONL = "jsonl"


@dataclass(frozen=True, kw_only=True)
class StepSeconds:
    """How long a step took on the processes: the median, the longest, and which process that was."""

    median: float
    worst: float
    slowest_rank: int


@dataclass(frozen=True, kw_only=True)
class StepRecord:
    """One optimiser step.

    Attributes:
        step: counted from 1; tokens: read by then.
        loss: mean over the global batch, nats; gradient_norm: before clipping.
        learning_rate: of the step.
        tokens_per_second: of all processes together.
        mfu: share of the processors' peak; None where that is not known.
        memory_allocated_bytes, memory_peak_bytes: of the first process's GPU; None without one.
        data_wait_seconds: waited for data.
        seconds: over the processes.
    """

    step: int
    tokens: int
    loss: float
    gradient_norm: float
    learning_rate: float
    tokens_per_second: float
    seconds: StepSeconds
    data_wait_seconds: float = 0.0
    mfu: float | None = None
    memory_allocated_bytes: int | None = None
    memory_peak_bytes: int | None = None


class Metrics:
    """Writes a training's metrics.

    Args:
        folder: where metrics.jsonl lies; that of an earlier attempt is gone on with.
        settings: which sinks there are besides.
        name: of the run, for servers.
        step: that training goes on from: later records of earlier attempts are dropped.
        facts: of the recipe, for servers.
        tell: told of a failing sink, once each.
    """

    def __init__(
        self,
        folder: Path,
        settings: MetricsConfig,
        *,
        name: str = "training",
        step: int = 0,
        facts: Mapping[str, Any] | None = None,
        tell: Callable[[str], None] = log.warning,
    ) -> None:
        self.path, self.tell = folder / METRICS, tell
        self.written_failures, self.cut_off = 0, False
        self.seen = _seen(folder)
        self._guarded(lambda: self._forget(step))
        self.threads = [
            SinkThread(kind, make, tell)
            for kind, make in _sinks(folder, settings, name=name, step=step, facts=facts or {})
        ]

    @property
    def failures(self) -> dict[str, int]:
        """Records that a sink did not take, by sink."""
        return {JSONL: self.written_failures} | {thread.kind: thread.failures for thread in self.threads}

    def stepped(self, record: StepRecord) -> None:
        """Record a step."""
        values = asdict(record)
        values |= {f"step_seconds_{name}": value for name, value in values.pop("seconds").items()}
        self._write(STEP, record.step, values)

    def evaluated(self, step: int, tokens: int, bits_per_byte: Mapping[str, float]) -> None:
        """Record bits per byte of each validation set."""
        self._write(EVALUATION, step, {"step": step, "tokens": tokens, "bits_per_byte": dict(bits_per_byte)})

    def noted(self, step: int, words: str) -> None:
        """Record in words what happened at a step; it goes to metrics.jsonl alone."""
        self._write(EVENT, step, {"step": step, "event": words})

    def back_to(self, step: int) -> None:
        """Training goes on from an earlier step: what was recorded of later ones no longer counts."""
        self._guarded(lambda: self._forget(step))
        for thread in self.threads:
            thread.back_to(step)

    def close(self, timeout_seconds: float = 30.0) -> None:
        """Wait for the sinks to write what is left, for so long at most."""
        for thread in self.threads:
            thread.close(timeout_seconds)

    def _write(self, kind: str, step: int, values: dict[str, Any]) -> None:
        line = json.dumps({"kind": kind, **_plain(values)}, allow_nan=False)
        self._guarded(lambda: self._append(line))
        fresh = step > self.seen.get(kind, 0)
        self.seen[kind] = max(step, self.seen.get(kind, 0))
        scalars = _scalars(kind, values)
        for thread in self.threads:
            if scalars and (fresh or thread.forgets):
                thread.take(step, scalars)

    def _forget(self, step: int) -> None:
        """Drop records of later steps from metrics.jsonl, keeping in mind which steps servers were told."""
        if not self.path.exists():
            return
        there = self.path.read_bytes()
        lines = there.decode("utf-8", "replace").splitlines()
        records = [(line, _read(line)) for line in lines]
        kept = [line for line, record in records if record is not None and record["step"] <= step]
        for _, record in records:
            if record is not None:
                kind = record["kind"]
                self.seen[kind] = max(record["step"], self.seen.get(kind, 0))
        text = "".join(f"{line}\n" for line in kept)
        if text.encode() != there:
            _replace(self.path.with_name(SEEN), json.dumps(self.seen))
            _replace(self.path, text)

    def _append(self, line: str) -> None:
        """Add a line, on a new one where the last was cut off as the disk was full."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        start, self.cut_off = "\n" if self.cut_off else "", True
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"{start}{line}\n")
        self.cut_off = False

    def _guarded(self, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:
            if not self.written_failures:
                self.tell(f"metrics: {self.path} cannot be written ({one_line(error)}); training goes on")
            self.written_failures += 1


def over_ranks(seconds: Sequence[float]) -> StepSeconds:
    """A step's seconds on each process, summed up."""
    slowest = int(np.argmax(seconds))
    return StepSeconds(median=float(np.median(seconds)), worst=float(seconds[slowest]), slowest_rank=slowest)


def model_flops_utilisation(
    tokens_per_second: float, flops_per_token: float, *, peak_flops: float | None, processors: int
) -> float | None:
    """MFU: model FLOPs a second over the dense bf16 peak of all processors; None without a peak.

    A token's model FLOPs are 6 N + 12 L d T, N without the input embedding (``models.sizes``); what is
    computed again for the sake of memory counts for nothing.
    """
    if not peak_flops:
        return None
    return tokens_per_second * flops_per_token / (peak_flops * processors)


def _sinks(
    folder: Path, settings: MetricsConfig, *, name: str, step: int, facts: Mapping[str, Any]
) -> list[tuple[str, Callable[[], Sink]]]:
    """The sinks that are configured, each yet to be opened."""
    found: list[tuple[str, Callable[[], Sink]]] = []
    mlflow, wandb = settings.mlflow, settings.wandb
    if settings.tensorboard:
        found.append(("tensorboard", lambda: TensorBoardSink(folder / "tensorboard", step)))
    if mlflow is not None:
        found.append(("mlflow", lambda: MlflowSink(mlflow, name=name, folder=folder, facts=facts)))
    if wandb is not None:
        found.append(("wandb", lambda: WandbSink(wandb, name=name, folder=folder, facts=facts)))
    return found


def _scalars(kind: str, values: Mapping[str, Any]) -> dict[str, float]:
    """The named numbers of a record: ``train/loss``, ``validation/wiki``."""
    if kind == EVALUATION:
        return {f"validation/{name}": float(value) for name, value in values["bits_per_byte"].items()}
    if kind == EVENT:
        return {}
    return {
        f"train/{name}": float(value)
        for name, value in values.items()
        if name != "step" and value is not None
    }


def _seen(folder: Path) -> dict[str, int]:
    try:
        seen: dict[str, int] = json.loads((folder / SEEN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return seen


def _read(line: str) -> dict[str, Any] | None:
    """A record, or None where the line was cut off."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    whole = isinstance(record, dict) and isinstance(record.get("step"), int) and "kind" in record
    return record if whole else None


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as JSON has them: what is no number, as a loss that overflowed, is null."""
    return {
        name: _plain(value)
        if isinstance(value, Mapping)
        else None
        if isinstance(value, float) and not np.isfinite(value)
        else value
        for name, value in values.items()
    }


def _replace(path: Path, text: str) -> None:
    whole = path.with_name(f"{path.name}.new")
    whole.write_text(text, encoding="utf-8")
    whole.replace(path)
