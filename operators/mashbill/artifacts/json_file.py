"""JSON files written whole: a reader, and who comes after a kill, sees the old content or the new."""

import json
import os
from pathlib import Path
from typing import Any

PART = ".part"  # end of the name of a file that is being written; what a kill left of one is no result


def write_json(path: Path, value: Any, indent: int | None = None) -> None:
    """Write a value as JSON and rename the file into place, so that nobody reads half of it.

    Args:
        path: the file, in a folder that is there; what it held is replaced.
        value: any JSON value.
        indent: spaces a level; None means one line.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}{PART}")  # two processes may write one file
    temporary.write_text(json.dumps(value, indent=indent))
    temporary.replace(path)
