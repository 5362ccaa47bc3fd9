"""How far running work is: small files that any process may read while another works."""

import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from mashbill.artifacts.json_file import write_json

Progress = Callable[[float, str], None]
"""Called with the share done, in [0, 1], and a few words on what was just done."""


@dataclass(frozen=True)
class ProgressState:
    """What a progress file says.

    Attributes:
        done: share done, in [0, 1].
        message: a few words on what was just done.
        time: when, in seconds since 1970.
        figures: what was measured on the way, by name, where whoever works gives it.
    """

    done: float
    message: str
    time: float
    figures: Mapping[str, float] = field(default_factory=dict)


class ProgressFile:
    """Writes progress to a file, at most twice a second, replacing it whole; on a disk that is full it stays
    as it was, as no work ends for want of that."""

    def __init__(self, path: Path, interval_seconds: float = 0.5) -> None:
        self.path, self.interval_seconds = path, interval_seconds
        self.last = 0.0
        path.parent.mkdir(parents=True, exist_ok=True)

    def __call__(self, done: float, message: str, figures: Mapping[str, float] | None = None) -> None:
        """Record the share done, a message, and what was measured."""
        now = time.monotonic()
        if now - self.last < self.interval_seconds and done < 1:
            return
        self.last = now
        with suppress(OSError):
            state = ProgressState(min(max(done, 0.0), 1.0), message, time.time(), figures or {})
            write_json(self.path, asdict(state))

    def remove(self) -> None:
        """Forget the progress: the work ended."""
        self.path.unlink(missing_ok=True)


def read_progress_file(path: Path) -> ProgressState | None:
    """What a progress file says; None where the work has not begun, or has ended."""
    try:
        return ProgressState(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def read_progress(workspace: Path) -> dict[str, ProgressState]:
    """Progress of everything running, by ``stage`` or ``stage.part``."""
    states = {path.stem: read_progress_file(path) for path in sorted(workspace.glob("progress/*.json"))}
    return {name: state for name, state in states.items() if state is not None}
