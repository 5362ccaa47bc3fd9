"""Storage on a local or shared disk. A commit is one rename, which the file system does whole or not at
all."""

import errno
import mmap
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from mashbill.errors import ConfigError, RunError
from mashbill.storage.keys import inside
from mashbill.storage.patterns import Pattern, in_order
from mashbill.storage.storage import (
    LEADS_NOWHERE,
    Storage,
    StoredFile,
    changed,
    damaged,
    gone,
    link,
    written_whole,
)


def refuse_unwritable(where: str, folder: Path) -> None:
    """Refuse a folder that cannot be written or made.

    Args:
        where: what names it, for the error.
        folder: a local folder, which need not be there.
    Raises:
        ConfigError: it, or what it would be in, is a file or may not be written.
    """
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise ConfigError(where, f"{there} is a file", "give a folder, or a path in one")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ConfigError(where, f"{there} may not be written", "change its permissions, or the path")


class LocalStorage:
    """Objects as files under a folder."""

    scheme = "local"

    def __init__(self, root: str, scratch: Path) -> None:
        del scratch  # nothing is copied
        self.root = str(Path(root).absolute())

    def read(self, key: str) -> bytes:
        """The bytes of one file; KeyError where there is none."""
        try:
            return self.place(key).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            raise KeyError(key) from None

    def exists(self, key: str) -> bool:
        """Whether the file is there."""
        return self.place(key).exists()

    def keys(self, prefix: str) -> list[str]:
        """Keys of the files under a folder, sorted."""
        base = self.place(prefix)
        return sorted(str(p.relative_to(self.root)) for p in base.rglob("*") if p.is_file())

    def attempt(self) -> str:
        """None: a commit is one rename."""
        return ""

    def commit(self, folder: Path, key: str, last: str, *, attempt: str = "") -> bool:
        """Rename a folder to its place; False where another writer was first."""
        del attempt
        place = self.place(key)
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            _sync(folder / last)
            if place.exists() and not (place / last).exists():
                self.discard(key)  # what lost its manifest is no artifact
            folder.rename(place)
        except OSError as error:
            if (place / last).exists():
                shutil.rmtree(folder)
                return False
            raise RunError(
                str(place),
                f"cannot be written ({error.strerror})",
                "free the disk or its permissions and rerun",
            ) from error
        return True

    def put(self, path: Path, key: str) -> None:
        """Rename a file to its place, or copy it where it is on another disk."""
        place = self.place(key)
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            path.replace(place)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            with written_whole(place) as part:
                shutil.copyfile(path, part)
            path.unlink()

    def adopt(self, source: Storage, name: str, key: str) -> bool:
        """Link a file to another place, or copy it where the disk has no links."""
        if not isinstance(source, LocalStorage):
            return False
        path = source.place(name)
        if not path.exists():
            raise damaged(str(path), "is gone")
        link(path, self.place(key))
        return True

    def part(self, key: str, start: int, size: int) -> memoryview:
        """Some bytes of a file, mapped."""
        place = self.place(key)
        try:
            with place.open("rb") as file:
                whole = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        except (FileNotFoundError, ValueError) as error:
            raise damaged(str(place), f"cannot be read ({error})") from error
        if start + size > len(whole):
            raise damaged(str(place), f"ends after {len(whole):,} bytes")
        return whole[start : start + size]

    def place(self, key: str) -> Path:
        """The file or folder itself."""
        return inside(Path(self.root), key)

    def fetch(self, key: str, *, size: int, sha256: str) -> Path:
        """The file itself, if it has its size: its sum is for who opens it."""
        del sha256
        path = self.place(key)
        try:
            found = path.stat().st_size
        except FileNotFoundError:
            raise damaged(str(path), "is gone") from None
        if found != size:
            raise damaged(str(path), f"holds {found:,} bytes where its manifest says {size:,}")
        return path

    def reading(self, key: str, *, size: int, sha256: str) -> AbstractContextManager[Path]:
        """The file itself."""
        return nullcontext(self.fetch(key, size=size, sha256=sha256))

    def sweep(self, key: str, kept: tuple[str, ...] = ()) -> None:
        """Nothing: what a rename did not move was never there."""

    def discard(self, key: str) -> None:
        """Remove a folder, out of the way first so that no reader sees half of it."""
        place = self.place(key)
        if place.exists():
            name = f"discarded-{os.getpid()}-{os.urandom(4).hex()}"
            trash = self.workspace() / name
            try:
                place.rename(trash)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                trash = place.rename(place.with_name(f".{name}"))  # another disk is mounted here
            shutil.rmtree(trash)

    def refuse_unusable(self, where: str) -> None:
        """Refuse a folder that may not be written."""
        refuse_unwritable(where, Path(self.root))

    def remove(self, key: str) -> None:
        """Remove one file."""
        self.place(key).unlink(missing_ok=True)

    def passing(self) -> Path:
        """The workspace, as it is on the same disk."""
        return self.workspace()

    def workspace(self) -> Path:
        """A folder on the same file system, so that a commit is a rename."""
        work = Path(self.root, ".work")
        work.mkdir(parents=True, exist_ok=True)
        return work

    def match(self, pattern: str) -> list[StoredFile]:
        """Files that a key, a folder or a glob stands for, sorted; folders behind symbolic links too."""
        wanted = Pattern.of(pattern, lambda key: os.path.lexists(Path(self.root, key)))
        try:
            return in_order(_files(Path(self.root), wanted.root, wanted, above=frozenset()))
        except OSError as error:
            what, mend = f"cannot be listed ({error.strerror})", "mend its permissions"
            raise RunError(str(error.filename), what, mend) from error

    def window(self, file: StoredFile, start: int, size: int) -> bytes:
        """Some bytes of a file, while it is what was listed."""
        own = self.place(file.key)
        try:
            with own.open("rb") as opened:
                _refuse_changed(own, os.fstat(opened.fileno()), file)
                opened.seek(start)
                return opened.read(size)
        except FileNotFoundError as error:
            raise gone(str(own), error.strerror) from error

    def copy(self, file: StoredFile, path: Path) -> None:
        """Copy a file to a path that is its own, unless it is there."""
        if path.exists() and path.stat().st_size == file.bytes:
            return
        own = self.place(file.key)
        try:
            with written_whole(path) as part:
                shutil.copyfile(own, part)
                _refuse_changed(own, own.stat(), file)
        except FileNotFoundError as error:
            raise gone(str(own), error.strerror) from error


def _files(
    root: Path, key: str, wanted: Pattern, *, above: frozenset[tuple[int, int]]
) -> Iterator[StoredFile]:
    """The files at and under a key that a pattern takes; a link that leads nowhere is one, without a version.

    Args:
        root: where keys start.
        key: of a file or a folder.
        wanted: the pattern.
        above: the folders that it is in, by which links that lead in circles are known.
    """
    path = root / key
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        if path.is_symlink() and wanted.takes(key):
            yield StoredFile(key, 0, LEADS_NOWHERE)
        return
    if stat.S_ISREG(status.st_mode):
        if wanted.takes(key):
            yield StoredFile(key, status.st_size, str(status.st_mtime_ns))
        return
    itself = status.st_dev, status.st_ino
    if not stat.S_ISDIR(status.st_mode) or itself in above or not wanted.may_lead_to(key):
        return
    for inner in path.iterdir():
        yield from _files(root, f"{key}/{inner.name}".lstrip("/"), wanted, above=above | {itself})


def _refuse_changed(path: Path, status: os.stat_result, file: StoredFile) -> None:
    if (status.st_size, str(status.st_mtime_ns)) != (file.bytes, file.version):
        raise changed(str(path))


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
