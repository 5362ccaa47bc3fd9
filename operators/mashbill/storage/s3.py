"""Storage on S3 by boto3. The manifest is put last, and only if absent, so that a commit happens once or not
at all."""

import shutil
from pathlib import Path
from typing import Any

from mashbill.errors import RunError
from mashbill.storage.checksums import sha256_of
from mashbill.storage.keys import inside
from mashbill.storage.patterns import WILDCARD, Pattern, in_order
from mashbill.storage.storage import StoredFile, damaged, gone, written_whole


class S3Storage:
    """Objects under ``s3://bucket/prefix``; credentials and endpoint come from boto3's own chain."""

    scheme = "s3"

    def __init__(self, root: str, scratch: Path) -> None:
        import boto3

        self.root = root.rstrip("/")
        self.bucket, _, self.prefix = self.root.removeprefix("s3://").partition("/")
        self.scratch = scratch
        self.client: Any = boto3.client("s3")

    def read(self, key: str) -> bytes:
        """The bytes of one object; KeyError where there is none."""
        from botocore.exceptions import ClientError

        try:
            body: bytes = self.client.get_object(Bucket=self.bucket, Key=self._full(key))["Body"].read()
        except ClientError as error:
            if _is_missing(error):
                raise KeyError(key) from None
            raise self._unreadable(key, error) from error
        return body

    def exists(self, key: str) -> bool:
        """Whether the object is there."""
        from botocore.exceptions import ClientError

        try:
            self.client.head_object(Bucket=self.bucket, Key=self._full(key))
        except ClientError as error:
            if _is_missing(error):
                return False
            raise self._unreadable(key, error) from error
        return True

    def keys(self, prefix: str) -> list[str]:
        """Keys under a prefix, sorted."""
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=self._full(prefix) + "/"
        )
        found = [entry["Key"] for page in pages for entry in page.get("Contents", ())]
        return sorted(self._short(key) for key in found)

    def commit(self, folder: Path, key: str, last: str) -> bool:
        """Upload a folder's files, ``last`` at the end and only if absent; False where another writer was
        first.

        Two writers at the same moment upload over one another: their files are equal but for timings, as
        stages are functions.
        """
        from botocore.exceptions import ClientError

        if self.exists(f"{key}/{last}"):
            shutil.rmtree(folder)
            return False
        for path in sorted(folder.rglob("*")):
            name = str(path.relative_to(folder))
            if path.is_file() and name != last:
                self.client.upload_file(str(path), self.bucket, self._full(f"{key}/{name}"))
        body = (folder / last).read_bytes()
        shutil.rmtree(folder)
        try:
            self.client.put_object(
                Bucket=self.bucket, Key=self._full(f"{key}/{last}"), Body=body, IfNoneMatch="*"
            )
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 412:
                return False
            raise RunError(
                f"{self.root}/{key}", f"cannot be written ({error})", "check bucket and credentials"
            ) from error
        return True

    def place(self, key: str) -> Path:
        """Where copies of a key go."""
        return inside(self.scratch / "copies" / self.bucket / self.prefix, key)

    def fetch(self, key: str, *, size: int, sha256: str) -> Path:
        """A local copy of an object, made once and checked, or again where what is there is no copy of it;
        several processes may ask for it at once."""
        from botocore.exceptions import ClientError

        path = self.place(key)
        if path.exists() and path.stat().st_size == size and sha256_of(path) == sha256:
            return path
        try:
            with written_whole(path) as part:
                self.client.download_file(self.bucket, self._full(key), str(part))
                found = sha256_of(part)
                if found != sha256:
                    what = f"has SHA-256 {found[:12]} where its manifest says {sha256[:12]}"
                    raise damaged(f"{self.root}/{key}", what)
        except ClientError as error:
            if _is_missing(error):
                raise damaged(f"{self.root}/{key}", "is gone") from error
            raise self._unreadable(key, error) from error
        return path

    def discard(self, key: str) -> None:
        """Remove every object under a key, the manifest with them, and the local copy."""
        for name in self.keys(key):
            self.client.delete_object(Bucket=self.bucket, Key=self._full(name))
        shutil.rmtree(self.place(key), ignore_errors=True)

    def workspace(self) -> Path:
        """A local folder for work in progress."""
        work = self.scratch / "work" / self.bucket / self.prefix
        work.mkdir(parents=True, exist_ok=True)
        return work

    def match(self, pattern: str) -> list[StoredFile]:
        """Objects that a key, a prefix or a glob stands for, sorted; the version is the object's tag."""
        from botocore.exceptions import BotoCoreError, ClientError

        full = f"{self.prefix}/{pattern}".lstrip("/")  # a slash at its end keeps raw/ apart from rawer/
        prefix = WILDCARD.split(full, maxsplit=1)[0]
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        try:
            listed = [entry for page in pages for entry in page.get("Contents", ())]
        except (ClientError, BotoCoreError) as error:
            what, mend = f"cannot be listed ({error})", "check bucket, endpoint and credentials"
            raise RunError(f"{self.root}/{pattern}", what, mend) from error
        files = {e["Key"]: e for e in listed if not e["Key"].endswith("/")}  # which mark empty folders
        wanted = Pattern.among(full, files)
        return in_order(
            StoredFile(self._short(key), file["Size"], file["ETag"].strip('"'))
            for key, file in files.items()
            if wanted.takes(key)
        )

    def copy(self, file: StoredFile, path: Path) -> None:
        """Copy an object to a path that is its own, unless it is there."""
        from botocore.exceptions import ClientError

        if path.exists() and path.stat().st_size == file.bytes:
            return
        try:
            with written_whole(path) as part:
                self.client.download_file(self.bucket, self._full(file.key), str(part))
        except ClientError as error:
            raise gone(f"{self.root}/{file.key}", error) from error

    def _short(self, full: str) -> str:
        return full.removeprefix(self.prefix).lstrip("/")

    def _full(self, key: str) -> str:
        return f"{self.prefix}/{key}".strip("/")

    def _unreadable(self, key: str, error: Exception) -> RunError:
        return RunError(f"{self.root}/{key}", f"cannot be read ({error})", "check bucket and credentials")


def _is_missing(error: Any) -> bool:
    return bool(error.response["ResponseMetadata"]["HTTPStatusCode"] == 404)
