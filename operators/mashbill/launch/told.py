"""What a job leaves in its record for whoever waits: how far it is, why it failed, what its nodes said."""

import json
import time
from typing import Any

from mashbill.artifacts import ProgressState
from mashbill.errors import (
    ConfigError,
    DamagedError,
    DataError,
    MashbillError,
    RunError,
    Several,
    all_of,
)
from mashbill.launch.records import Attempt
from mashbill.launch.torchrun import PausedError

PROGRESS, ERROR, LOG = "progress.json", "error.json", "log"
_KINDS = {kind.__name__: kind for kind in (ConfigError, DataError, DamagedError, RunError, PausedError)}


def name_of(node: int, what: str) -> str:
    """Name of a node's file in a record."""
    return f"node-{node}.{what}"


def progress_of(attempt: Attempt) -> ProgressState | None:
    """How far a job said it was last; None where it has said nothing."""
    text = attempt.read(PROGRESS)
    return None if text is None else ProgressState(**json.loads(text))


def log_of(attempt: Attempt, node: int) -> str | None:
    """What a node said; None where nothing of it was gathered."""
    return attempt.read(name_of(node, LOG))


def error_of(attempt: Attempt, node: int | None = None) -> MashbillError | None:
    """The error that a node of a job ended with; without its number, or where it told none, that of the node
    that told one first; None where none did."""
    if node is not None and (text := attempt.read(name_of(node, ERROR))) is not None:
        return _error(json.loads(text)["errors"])
    names = (key.rpartition("/")[2] for key in attempt.storage.keys(attempt.key))
    texts = (attempt.read(name) for name in names if name.endswith(f".{ERROR}"))
    found = [json.loads(text) for text in texts if text is not None]
    return _error(min(found, key=lambda told: told["time"])["errors"]) if found else None


def text_of(error: MashbillError) -> str:
    """An error as it is kept in a record."""
    each = error.found if isinstance(error, Several) else (error,)
    rows = [
        {"kind": type(one).__name__, "where": one.where, "what": one.what, "mend": one.mend} for one in each
    ]
    return json.dumps({"time": time.time(), "errors": rows})


def _error(rows: list[dict[str, Any]]) -> MashbillError:
    return all_of([_KINDS.get(row["kind"], RunError)(row["where"], row["what"], row["mend"]) for row in rows])
