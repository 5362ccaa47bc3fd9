"""What earlier attempts at a final model left, put into words before another begins: a checkpoint that it
goes on from, or one that it leaves behind, and which settings have changed."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mashbill.artifacts.workplace import other_scratch
from mashbill.storage import open_storage
from mashbill.training.checkpoint import Checkpoints
from mashbill.training.job import Job

TRAINED_ON = {"phases": "its mixture", "tokens": "its text", "seed": "seed"}
"""What else of a job determines a model, beside the settings of training."""


def earlier_attempts(scratch: Path, told: Job) -> list[str]:
    """What a training finds of earlier attempts.

    Args:
        scratch: its folder, shared by attempts at the same result.
        told: what its processes are going to be told.
    Returns:
        A line on the checkpoint it goes on from; where there is none, a line for each checkpoint that
        attempts at another result left.
    """
    job = told.model_dump(mode="json")
    step = Checkpoints(open_storage(told.checkpoints, Path(told.copies))).last()
    before = _read(scratch / Job.FILE)
    if step is not None:
        changes = _changes(before, job)
        return [f"goes on from step {step}" + (f", though {_listed(changes)}" if changes else "")]
    lines = []
    for folder in other_scratch(scratch):
        step = Checkpoints(open_storage(str(folder), folder)).last()
        if step is not None:
            changes = _changes(_read(folder / Job.FILE), job)
            why = f"as {_listed(changes)}" if changes else "as it was made from other inputs"
            lines.append(
                f"a checkpoint at step {step} is left behind, {why}; it lies in {folder}: delete it, or run "
                "with what it was made with to go on from it"
            )
    return lines


def _read(path: Path) -> dict[str, Any]:
    """A job, or nothing where none is left that can be read."""
    try:
        job: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return job


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What of a job is another now, setting by setting."""
    was, now_is = before.get("training", {}), now["training"]
    found = []
    for name, value in now_is.items():
        if name in was and was[name] != value:
            found += _differences(f"training.{name}", was[name], value)
    return [
        *found,
        *(
            f"{words} is another"
            for key, words in TRAINED_ON.items()
            if key in before and before[key] != now[key]
        ),
    ]


def _differences(name: str, before: Any, now: Any) -> list[str]:
    """The settings of a section that differ, each with both values."""
    if isinstance(before, dict) and isinstance(now, dict):
        return [
            line
            for key in now
            if before.get(key) != now[key]
            for line in _differences(f"{name}.{key}", before.get(key), now[key])
        ]
    return [f"{name} was {before} and is {now}"]


def _listed(changes: list[str]) -> str:
    return ", ".join(changes)
