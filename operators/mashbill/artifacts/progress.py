"""How far running stages are: small files that any process may read while another works."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mashbill.artifacts.json_file import write_json

Progress = Callable[[float, str], None]
"""Called with the share done, in [0, 1], and a few words on what was just done."""


class ProgressFile:
    """Writes progress to a file, at most twice a second, replacing it whole."""

    def __init__(self, path: Path, interval_seconds: float = 0.5) -> None:
        self.path, self.interval_seconds = path, interval_seconds
        self.last = 0.0
        path.parent.mkdir(parents=True, exist_ok=True)

    def __call__(self, done: float, message: str) -> None:
        """Record the share done and a message."""
        now = time.monotonic()
        if now - self.last < self.interval_seconds and done < 1:
            return
        self.last = now
        write_json(self.path, {"done": min(max(done, 0.0), 1.0), "message": message, "time": time.time()})

    def remove(self) -> None:
        """Forget the progress: the work ended."""
        self.path.unlink(missing_ok=True)


def read_progress(workspace: Path) -> dict[str, dict[str, Any]]:
    """Progress of everything running, by ``stage`` or ``stage.part``."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(workspace.glob("progress/*.json")):
        try:
            found[path.stem] = json.loads(path.read_text())
        except (OSError, ValueError):
            continue
    return found
