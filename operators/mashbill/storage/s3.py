"""Storage on S3 by boto3. The manifest is put last, and only if absent, so that a commit happens once or not
at all."""

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mashbill.storage.checksums import sha256_of
from mashbill.storage.copies import Copies, scratch_here
from mashbill.storage.keys import inside
from mashbill.storage.owned import passing
from mashbill.storage.patterns import WILDCARD, Pattern, in_order
from mashbill.storage.s3_bucket import Bucket
from mashbill.storage.s3_rights import refuse_unusable
from mashbill.storage.storage import Storage, StoredFile, damaged, gone

ATTEMPT_DIGITS = 12


class S3Storage:
    """Objects under ``s3://bucket/prefix``; credentials and endpoint come from boto3's own chain."""

    scheme = "s3"

    def __init__(self, root: str, scratch: Path) -> None:
        self.root = root.rstrip("/")
        name, _, self.prefix = self.root.removeprefix("s3://").partition("/")
        self.bucket = Bucket(name)
        self.scratch = scratch
        self.copies = Copies.under(self.scratch)

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self.root, self.scratch, self.copies.limit)

    def read(self, key: str) -> bytes:
        """The bytes of one object; KeyError where there is none."""
        return self.bucket.read(self._full(key))

    def exists(self, key: str) -> bool:
        """Whether the object is there."""
        return self.bucket.has(self._full(key))

    def keys(self, prefix: str) -> list[str]:
        """Keys under a prefix, sorted."""
        start = self._full(prefix).rstrip("/")
        return sorted(self._short(entry["Key"]) for entry in self.bucket.listed(f"{start}/" if start else ""))

    def attempt(self) -> str:
        """A name that no other attempt has."""
        return uuid.uuid4().hex[:ATTEMPT_DIGITS]

    def commit(self, folder: Path, key: str, last: str, *, attempt: str = "") -> bool:
        """Upload a folder's files, ``last`` at the end and only if absent; False where another writer was
        first."""
        within = f"{key}/{attempt}" if attempt else key
        try:
            if self.exists(f"{key}/{last}"):
                return False
            body = (folder / last).read_bytes()
            for path in sorted(folder.rglob("*")):
                name = str(path.relative_to(folder))
                if path.is_file() and name != last:
                    self.put(path, f"{within}/{name}")
            return self.bucket.put_once(self._full(f"{key}/{last}"), body)
        finally:
            shutil.rmtree(folder)

    def put(self, path: Path, key: str) -> None:
        """Upload a file, in parts where it is large."""
        self.bucket.upload(path, self._full(key))
        path.unlink()

    def adopt(self, source: Storage, name: str, key: str) -> bool:
        """Have the store copy an object of the same bucket."""
        if not isinstance(source, S3Storage) or source.bucket != self.bucket:
            return False
        try:
            self.bucket.copy(source._full(name), self._full(key))
        except KeyError as error:
            raise damaged(source._address(name), "is gone") from error
        return True

    def part(self, key: str, start: int, size: int) -> memoryview:
        """Some bytes of an object, by their range."""
        try:
            found = self.bucket.read(self._full(key), within=f"bytes={start}-{start + size - 1}")
        except KeyError as error:
            raise damaged(self._address(key), "is gone") from error
        if len(found) != size:
            raise damaged(self._address(key), f"ends after {start + len(found):,} bytes")
        return memoryview(found)

    def place(self, key: str) -> Path:
        """Where copies of a key go."""
        return inside(self.scratch / "copies" / self.bucket.name / self.prefix, key)

    def fetch(self, key: str, *, size: int, sha256: str) -> Path:
        """A local copy of an object, made once and checked, or again where what is there is no copy of it;
        several processes may ask for it at once. It is held."""
        self.copies.hold(self.place(key))
        return self._copied(key, size=size, sha256=sha256)

    @contextmanager
    def reading(self, key: str, *, size: int, sha256: str) -> Iterator[Path]:
        """A local copy that is held to the end of the block."""
        with self.copies.held([self.place(key)]):
            yield self._copied(key, size=size, sha256=sha256)

    def _copied(self, key: str, *, size: int, sha256: str) -> Path:
        path = self.place(key)
        if path.exists() and path.stat().st_size == size and sha256_of(path) == sha256:
            return path
        try:
            with self.copies.written(path, size) as part:
                self.bucket.download(self._full(key), part, size=size)
                found = sha256_of(part)
                if found != sha256:
                    what = f"has SHA-256 {found[:12]} where its manifest says {sha256[:12]}"
                    raise damaged(self._address(key), what)
        except KeyError as error:
            raise damaged(self._address(key), "is gone") from error
        return path

    def discard(self, key: str) -> None:
        """Remove every object under a key, and local copies that nobody holds."""
        self.sweep(key)
        self.copies.drop(self.place(key))

    def sweep(self, key: str, kept: tuple[str, ...] = ()) -> None:
        """Remove objects under a key that are not kept, and uploads that were not finished."""
        self.bucket.remove([self._full(name) for name in self.keys(key) if not name.startswith(kept)])
        self.bucket.abort_uploads(f"{self._full(key)}/", [self._full(start) for start in kept])

    def refuse_unusable(self, where: str) -> None:
        """Refuse a root whose rights do not suffice."""
        refuse_unusable(self.bucket, self.prefix, where)

    def remove(self, key: str) -> None:
        """Remove one object."""
        self.bucket.remove([self._full(key)])

    def passing(self) -> Path:
        """A folder of this process."""
        return passing(self.scratch / "passing")

    def workspace(self) -> Path:
        """A local folder for work in progress."""
        work = self.scratch / "work" / self.bucket.name / self.prefix
        work.mkdir(parents=True, exist_ok=True)
        return work

    def match(self, pattern: str) -> list[StoredFile]:
        """Objects that a key, a prefix or a glob stands for, sorted; the version is the object's tag."""
        full = self._full(pattern)  # a slash at its end keeps raw/ apart from rawer/
        listed = self.bucket.listed(WILDCARD.split(full, maxsplit=1)[0])
        files = {e["Key"]: e for e in listed if not e["Key"].endswith("/")}  # which mark empty folders
        wanted = Pattern.among(full, files)
        return in_order(
            StoredFile(self._short(key), file["Size"], file["ETag"].strip('"'))
            for key, file in files.items()
            if wanted.takes(key)
        )

    def window(self, file: StoredFile, start: int, size: int) -> bytes:
        """Some bytes of an object, by their range, as it was listed."""
        size = min(size, file.bytes - start)
        if size <= 0:
            return b""
        within = f"bytes={start}-{start + size - 1}"
        try:
            return self.bucket.read(self._full(file.key), within=within, tag=file.version)
        except KeyError as error:
            raise gone(self._address(file.key), error.__cause__) from error

    def copy(self, file: StoredFile, path: Path) -> None:
        """Copy an object to a path that is its own, unless it is there, as it was listed."""
        if path.exists() and path.stat().st_size == file.bytes:
            return
        try:
            with self.copies.written(path, file.bytes) as part:
                self.bucket.download(self._full(file.key), part, size=file.bytes, tag=file.version)
        except KeyError as error:
            raise gone(self._address(file.key), error.__cause__) from error

    def _address(self, key: str) -> str:
        return f"{self.root}/{key}"

    def _short(self, full: str) -> str:
        return full.removeprefix(f"{self.prefix}/") if self.prefix else full

    def _full(self, key: str) -> str:
        return f"{self.prefix}/{key}" if self.prefix else key


def _again(root: str, scratch: Path, limit: int) -> S3Storage:
    """A storage as it was in another process; copies go where this machine has them."""
    storage = S3Storage(root, scratch_here(scratch))
    storage.copies.limit = limit
    return storage
