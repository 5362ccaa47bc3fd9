"""SHA-256 of files: each is read once a process, as long as it stays as it is.

What a file's status says serves to know it again, never to trust it: a file that this process has not read is
read whole.
"""

import hashlib
import time
from pathlib import Path

SETTLED_NS = 2_000_000_000
"""A file that was written this lately may be written again without a change of its time."""
_known: dict[tuple[int, int, int, int], str] = {}


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal.

    Args:
        path: the file; renaming it, or writing it anew, does not confuse.
    """
    status = path.stat()
    identity = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
    if identity in _known:
        return _known[identity]
    settled = time.time_ns() - status.st_mtime_ns > SETTLED_NS
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if settled:
        _known[identity] = found
    return found
