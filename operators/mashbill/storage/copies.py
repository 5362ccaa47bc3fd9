"""Copies of remote files on this machine, kept to a limit: what was used longest ago goes first, and nothing
that a process holds.

The processes of a machine share the copies of a scratch folder. What changes them does so under one lock.
Each process has a lease, a file that it keeps locked as long as it lives, with the paths that it holds, and
with what it is copying and how large that will be: a lease that can be locked is a dead process's, and holds
nothing. A copy counts in full before its first byte is there.
"""

import fcntl
import json
import logging
import os
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from mashbill.storage.storage import part_beside, part_of_a_copy

log = logging.getLogger(__name__)
DEFAULT_BYTES = 50_000_000_000
FOLDERS = ("copies", "sources", "given")
LEASES, LOCK = "held", "lock.json"
EVICTED_TO = 0.9  # of the limit, so that not each file that comes looks at all

SCRATCH = "MASHBILL_SCRATCH"
"""Variable of a machine whose folder for copies is another than the config's."""


def scratch_here(folder: Path) -> Path:
    """The scratch folder of this machine, where the config has this one."""
    return Path(os.environ.get(SCRATCH) or folder)


@dataclass(frozen=True)
class Copy:
    """A copy that is there.

    Attributes:
        path: where.
        bytes: its size.
        used: when, in nanoseconds.
    """

    path: Path
    bytes: int
    used: int


class Copies:
    """The copies under one scratch folder, as this process uses them.

    Args:
        scratch: the folder.
    """

    def __init__(self, scratch: Path) -> None:
        self.scratch, self.limit = scratch, DEFAULT_BYTES
        self._held: Counter[str] = Counter()
        self._coming: dict[str, int] = {}
        self._scopes = 0
        self._thread = threading.RLock()
        self._lease: IO[str] | None = None
        self._told = False
        os.register_at_fork(after_in_child=self._forget)

    @staticmethod
    def under(scratch: Path) -> "Copies":
        """The copies under a folder, the same object wherever a process asks."""
        return _copies_under(scratch.absolute())

    def hold(self, path: Path) -> None:
        """Keep a copy, there or to come, until it is let go or the process ends."""
        name = self._name(path)
        with self._locked():
            self._held[name] += 1
            if self._held[name] == 1:
                self._write_lease(name)
            if path.exists():
                os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))

    @contextmanager
    def held(self, paths: Sequence[Path]) -> Iterator[None]:
        """Hold copies, there or to come, to the end of a block."""
        for path in paths:
            self.hold(path)
        try:
            yield
        finally:
            with self._locked():
                self._held.subtract(map(self._name, paths))
                self._held = +self._held
                self._write_lease(anew=True)

    @contextmanager
    def held_within(self) -> Iterator[None]:
        """What is held within is let go at the end, or at that of the outermost of several."""
        self._scopes += 1
        try:
            yield
        finally:
            self._scopes -= 1
            if self._scopes == 0 and self._held:
                with self._locked():
                    self._held.clear()
                    self._write_lease(anew=True)

    @staticmethod
    @contextmanager
    def all_held_within() -> Iterator[None]:
        """What this process holds within is let go at the end, whatever folder it is a copy in."""
        try:
            yield
        finally:
            for copies in _known.values():
                with copies.held_within():
                    pass

    @contextmanager
    def written(self, path: Path, size: int) -> Iterator[Path]:
        """A file to write a copy to, for which room was made; it takes its place at the end.

        Args:
            path: of the copy, which is held.
            size: how large it will be.
        """
        part = part_beside(path)
        name = self._name(part)
        with self._locked() as lock:
            self._make_room(lock, path, size)
            self._coming[name] = size
            self._write_lease([name, size])
        try:
            yield part
            with self._locked() as lock:
                before = path.stat().st_size if path.exists() else 0
                part.replace(path)
                self._arrived(lock, name, path.stat().st_size - before)
        finally:
            if name in self._coming:
                with self._locked() as lock:
                    part.unlink(missing_ok=True)
                    self._arrived(lock, name, 0)

    def drop(self, folder: Path) -> None:
        """Remove copies in a folder, but for what another live process holds or is copying."""
        with self._locked() as lock:
            held, coming = self._held_by_others()
            names = [name for path in folder.rglob("*") if path.is_file() and (name := self._name(path))]
            gone = [self.scratch / name for name in names if name not in held and name not in coming]
            total = _read_total(lock)
            if total is not None:
                _write_total(lock, total - sum(path.stat().st_size for path in gone))
            for path in gone:
                path.unlink()

    def _arrived(self, lock: IO[str], name: str, size: int) -> None:
        """Give back what was kept for a copy, but for the bytes that are there."""
        total = _read_total(lock)
        if total is not None:
            _write_total(lock, total - self._coming[name] + size)
        del self._coming[name]
        self._write_lease([name, 0])

    def _make_room(self, lock: IO[str], path: Path, size: int) -> None:
        """Evict copies until one more has room; the sum of all is kept in the lock's file."""
        total = _read_total(lock)
        total = self.limit + 1 if total is None else total + size
        if total > self.limit:
            total = self._evict(size) + size
            if total > self.limit:
                self._tell(path, size, total)
        _write_total(lock, total)

    def _evict(self, size: int) -> int:
        """Remove what was used longest ago; bytes of what is left, and of what is coming."""
        held, coming = self._held_by_others()
        held, coming = held.union(self._held), coming | self._coming
        copies = [copy for copy in self._copies() if self._name(copy.path) not in coming]
        total = sum(copy.bytes for copy in copies) + sum(coming.values())
        if total + size <= self.limit:
            return total
        for copy in sorted(copies, key=lambda copy: copy.used):
            if total + size <= self.limit * EVICTED_TO:
                break
            whole = part_of_a_copy(copy.path.name) or copy.path.name
            if self._name(copy.path.with_name(whole)) not in held:
                copy.path.unlink(missing_ok=True)
                total -= copy.bytes
        return total

    def _copies(self) -> Iterator[Copy]:
        for folder in FOLDERS:
            for path in (self.scratch / folder).rglob("*"):
                try:
                    status = path.stat()
                except FileNotFoundError:
                    continue
                if path.is_file():
                    yield Copy(path, status.st_size, max(status.st_atime_ns, status.st_mtime_ns))

    def _held_by_others(self) -> tuple[set[str], dict[str, int]]:
        """Names that other live processes hold, and those that they are copying, with sizes; leases of dead
        ones are removed."""
        held: set[str] = set()
        coming: dict[str, int] = {}
        for path in (self.scratch / LEASES).iterdir():
            if path.name == LOCK or (self._lease is not None and path.name == Path(self._lease.name).name):
                continue
            with path.open() as lease:
                try:
                    fcntl.flock(lease, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    said = [json.loads(line) for line in lease]
                    held.update(name for name in said if isinstance(name, str))
                    theirs = {pair[0]: int(pair[1]) for pair in said if isinstance(pair, list)}
                    coming |= {name: size for name, size in theirs.items() if size}
                else:
                    path.unlink(missing_ok=True)
        return held, coming

    def _write_lease(self, *said: str | list[Any], anew: bool = False) -> None:
        """Add to this process's lease names that it holds, and pairs of a name and bytes that are coming or,
        at nought, are so no more; or write it anew."""
        if self._lease is None:
            self._lease = (self.scratch / LEASES / f"{uuid.uuid4().hex}.json").open("w")
            fcntl.flock(self._lease, fcntl.LOCK_EX)
            anew = True
        if anew:
            self._lease.seek(0)
            self._lease.truncate()
            said = (*self._held, *map(list, self._coming.items()))
        self._lease.writelines(f"{json.dumps(one)}\n" for one in said)
        self._lease.flush()

    @contextmanager
    def _locked(self) -> Iterator[IO[str]]:
        """The lock of the folder, which one thread of one process has at a time."""
        folder = self.scratch / LEASES
        folder.mkdir(parents=True, exist_ok=True)
        with self._thread, (folder / LOCK).open("a+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            lock.seek(0)
            yield lock

    def _name(self, path: Path) -> str:
        return os.path.relpath(path, self.scratch)

    def _tell(self, path: Path, size: int, total: int) -> None:
        if size > self.limit:
            words = "%s has %d bytes, more than scratch_bytes (%d); it is copied all the same"
            log.warning(words, path, size, self.limit)
        elif not self._told:
            self._told = True
            words = "copies in use in %s take %d bytes, more than scratch_bytes (%d)"
            log.warning(words, self.scratch, total, self.limit)

    def _forget(self) -> None:
        """A process that was forked has a lease of its own; what its parent held then it holds too."""
        self._lease, self._coming, self._thread = None, {}, threading.RLock()


def _read_total(lock: IO[str]) -> int | None:
    """The sum that the lock's file holds; None where it holds none."""
    lock.seek(0)
    written = lock.read()
    return int(written) if written.isdigit() else None


def _write_total(lock: IO[str], total: int) -> None:
    lock.seek(0)
    lock.truncate()
    lock.write(str(max(0, total)))
    lock.flush()


_known: dict[Path, Copies] = {}


def _copies_under(scratch: Path) -> Copies:
    if scratch not in _known:
        _known[scratch] = Copies(scratch)
    return _known[scratch]
