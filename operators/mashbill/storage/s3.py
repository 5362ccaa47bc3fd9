"""Storage on S3 by boto3. The manifest is put last, and only if absent, so that a commit happens once or not
at all."""

import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from mashbill.storage.checksums import sha256_of
from mashbill.storage.copies import Copies, scratch_here
from mashbill.storage.keys import inside
from mashbill.storage.patterns import WILDCARD, Pattern, in_order
from mashbill.storage.retries import patiently
from mashbill.storage.s3_client import (
    broken_off,
    code_of,
    download,
    failed,
    failures,
    is_missing,
    s3_client,
    status_of,
)
from mashbill.storage.storage import StoredFile, changed, damaged, gone

ATTEMPT_DIGITS = 12
REMOVED_AT_ONCE = 1_000


class S3Storage:
    """Objects under ``s3://bucket/prefix``; credentials and endpoint come from boto3's own chain."""

    scheme = "s3"

    def __init__(self, root: str, scratch: Path) -> None:
        self.root = root.rstrip("/")
        self.bucket, _, self.prefix = self.root.removeprefix("s3://").partition("/")
        self.scratch = scratch
        self.copies = Copies.under(self.scratch)

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self.root, self.scratch, self.copies.limit)

    @cached_property
    def client(self) -> Any:
        """A client of the bucket, made when it is first asked for something."""
        return s3_client()

    def read(self, key: str) -> bytes:
        """The bytes of one object; KeyError where there is none."""

        def once() -> bytes:
            body: bytes = self.client.get_object(Bucket=self.bucket, Key=self._full(key))["Body"].read()
            return body

        try:
            return patiently(self._address(key), once, broken_off())
        except failures() as error:
            if is_missing(error):
                raise KeyError(key) from None
            raise failed(self._address(key), error, verb="read", right="s3:GetObject") from error

    def exists(self, key: str) -> bool:
        """Whether the object is there."""
        try:
            self.client.head_object(Bucket=self.bucket, Key=self._full(key))
        except failures() as error:
            if is_missing(error):
                return False
            raise failed(self._address(key), error, verb="read", right="s3:GetObject") from error
        return True

    def keys(self, prefix: str) -> list[str]:
        """Keys under a prefix, sorted."""
        start = self._full(prefix).rstrip("/")
        return sorted(self._short(entry["Key"]) for entry in self._listed(f"{start}/" if start else ""))

    def attempt(self) -> str:
        """A name that no other attempt has."""
        return uuid.uuid4().hex[:ATTEMPT_DIGITS]

    def commit(self, folder: Path, key: str, last: str, *, attempt: str = "") -> bool:
        """Upload a folder's files, ``last`` at the end and only if absent; False where another writer was
        first."""
        if self.exists(f"{key}/{last}"):
            shutil.rmtree(folder)
            return False
        body = (folder / last).read_bytes()
        within = f"{key}/{attempt}" if attempt else key
        try:
            for path in sorted(folder.rglob("*")):
                name = str(path.relative_to(folder))
                if path.is_file() and name != last:
                    self.put(path, f"{within}/{name}")
            return self._put_once(f"{key}/{last}", body)
        except failures() as error:
            raise failed(self._address(key), error, verb="written", right="s3:PutObject") from error
        finally:
            shutil.rmtree(folder)

    def put(self, path: Path, key: str) -> None:
        """Upload a file, in parts where it is large."""
        try:
            self.client.upload_file(str(path), self.bucket, self._full(key))
        except failures() as error:
            raise failed(self._address(key), error, verb="written", right="s3:PutObject") from error
        path.unlink()

    def adopt(self, source: str, key: str) -> None:
        """Have the store copy an object."""
        place = {"Bucket": self.bucket, "Key": self._full(source)}
        try:
            self.client.copy(place, self.bucket, self._full(key))
        except failures() as error:
            if is_missing(error):
                raise damaged(self._address(source), "is gone") from error
            raise failed(self._address(key), error, verb="written", right="s3:PutObject") from error

    def part(self, key: str, start: int, size: int) -> memoryview:
        """Some bytes of an object, by their range."""
        place = {"Bucket": self.bucket, "Key": self._full(key), "Range": f"bytes={start}-{start + size - 1}"}

        def once() -> bytes:
            body: bytes = self.client.get_object(**place)["Body"].read()
            return body

        try:
            found = patiently(self._address(key), once, broken_off())
        except failures() as error:
            if is_missing(error):
                raise damaged(self._address(key), "is gone") from error
            raise failed(self._address(key), error, verb="read", right="s3:GetObject") from error
        if len(found) != size:
            raise damaged(self._address(key), f"ends after {start + len(found):,} bytes")
        return memoryview(found)

    def place(self, key: str) -> Path:
        """Where copies of a key go."""
        return inside(self.scratch / "copies" / self.bucket / self.prefix, key)

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
                download(self.client, self.bucket, self._full(key), path=part, size=size)
                found = sha256_of(part)
                if found != sha256:
                    what = f"has SHA-256 {found[:12]} where its manifest says {sha256[:12]}"
                    raise damaged(self._address(key), what)
        except failures() as error:
            if is_missing(error):
                raise damaged(self._address(key), "is gone") from error
            raise failed(self._address(key), error, verb="read", right="s3:GetObject") from error
        return path

    def discard(self, key: str) -> None:
        """Remove every object under a key, the manifest with them, and the local copy."""
        self.remove(self.keys(key))
        shutil.rmtree(self.place(key), ignore_errors=True)

    def sweep(self, key: str, kept: Callable[[str], bool]) -> None:
        """Remove objects under a key that are not kept."""
        self.remove([name for name in self.keys(key) if not kept(name)])

    def remove(self, keys: Sequence[str]) -> None:
        """Remove objects, as many a request as S3 takes."""
        try:
            for first in range(0, len(keys), REMOVED_AT_ONCE):
                some = [{"Key": self._full(key)} for key in keys[first : first + REMOVED_AT_ONCE]]
                self.client.delete_objects(Bucket=self.bucket, Delete={"Objects": some, "Quiet": True})
        except failures() as error:
            where = self._address(keys[0])
            raise failed(where, error, verb="removed", right="s3:DeleteObject") from error

    def workspace(self) -> Path:
        """A local folder for work in progress."""
        work = self.scratch / "work" / self.bucket / self.prefix
        work.mkdir(parents=True, exist_ok=True)
        return work

    def match(self, pattern: str) -> list[StoredFile]:
        """Objects that a key, a prefix or a glob stands for, sorted; the version is the object's tag."""
        full = self._full(pattern)  # a slash at its end keeps raw/ apart from rawer/
        listed = self._listed(WILDCARD.split(full, maxsplit=1)[0])
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
        address, span = self._address(file.key), f"bytes={start}-{start + size - 1}"
        place = {"Bucket": self.bucket, "Key": self._full(file.key), "Range": span}

        def once() -> bytes:
            body: bytes = self.client.get_object(**place, IfMatch=f'"{file.version}"')["Body"].read()
            return body

        try:
            return patiently(address, once, broken_off())
        except failures() as error:
            if status_of(error) == 412:
                raise changed(address) from error
            if is_missing(error):
                raise gone(address, error) from error
            raise failed(address, error, verb="read", right="s3:GetObject") from error

    def copy(self, file: StoredFile, path: Path) -> None:
        """Copy an object to a path that is its own, unless it is there, as it was listed."""
        if path.exists() and path.stat().st_size == file.bytes:
            return
        address, key = self._address(file.key), self._full(file.key)
        try:
            with self.copies.written(path, file.bytes) as part:
                download(self.client, self.bucket, key, path=part, size=file.bytes, tag=file.version)
        except failures() as error:
            if is_missing(error):
                raise gone(address, error) from error
            raise failed(address, error, verb="read", right="s3:GetObject") from error

    def _put_once(self, key: str, body: bytes) -> bool:
        """Put an object where there is none; False where there is another's."""
        place = {"Bucket": self.bucket, "Key": self._full(key), "Body": body}
        try:
            self.client.put_object(**place, IfNoneMatch="*")
        except failures() as error:
            if status_of(error) == 412:
                return self.read(key) == body  # a try of ours whose answer was lost
            if code_of(error) != "NotImplemented":
                raise
            if self.exists(key):
                return False
            self.client.put_object(**place)  # an endpoint that knows no conditions
        return True

    def _listed(self, prefix: str) -> list[dict[str, Any]]:
        """What a bucket has whose keys begin so."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        try:
            return [entry for page in pages for entry in page.get("Contents", ())]
        except failures() as error:
            address = f"s3://{self.bucket}/{prefix}"
            raise failed(address, error, verb="listed", right="s3:ListBucket") from error

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
