"""A reader of an artifact through less room than it takes, to be run in several processes, and what they
know of that room."""

import fcntl
import hashlib
import random
from pathlib import Path

from mashbill.artifacts import ArtifactStore
from mashbill.storage import Copies
from mashbill.storage.copies import LEASES, LOCK
from mashbill.storage.s3 import S3Storage

FILES, BYTES, PROCESSES, TURNS = 24, 20_000, 3, 20
LIMIT = 5 * BYTES  # of a machine on which at most one file a process is in use


def content(name: str) -> bytes:
    """What a file holds: random bytes by its name."""
    return random.Random(name).randbytes(BYTES)


def read(given: tuple[int, str, str, Path]) -> tuple[int, int]:
    """Read files in an order of this process's own; how many were wrong, and the most bytes seen."""
    number, root, address, scratch = given
    Copies.under(scratch).limit = LIMIT
    made = ArtifactStore(root, scratch).open(address)
    dice, wrong, most = random.Random(number), 0, 0
    for name in dice.choices(made.names("documents"), k=TURNS):
        with made.sealed(name).reading() as path:
            wrong += hashlib.sha256(path.read_bytes()).digest() != hashlib.sha256(content(name)).digest()
        most = max(most, copied(scratch))
    return wrong, most


def copied(scratch: Path) -> int:
    """Bytes of the copies that are there, seen while none may come or go."""
    with (scratch / LEASES / LOCK).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return sum(path.stat().st_size for path in (scratch / "copies").rglob("*.bin*"))


def limit_of(storage: S3Storage) -> int:
    """Bytes that copies of a storage may take, where it was sent to."""
    return storage.copies.limit
