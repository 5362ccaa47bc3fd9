"""What is asked of a bucket, each request waited for where it is refused or its answer is lost, and each
failure in words.

A request whose answer was lost is sent again, so each does the same twice as once.
"""

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from mashbill.storage import s3_client
from mashbill.storage.retries import TRIES, passing, patiently, told
from mashbill.storage.s3_client import (
    broke_off,
    cause_of,
    code_of,
    failed,
    failures,
    is_missing,
    status_of,
    upload_is_over,
)
from mashbill.storage.storage import changed

log = logging.getLogger(__name__)
REMOVED_AT_ONCE = 1_000
LISTS, READS, WRITES, REMOVES = "s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject"
"""Rights that requests need."""


@dataclass(frozen=True)
class Bucket:
    """A bucket, asked by whole keys.

    Attributes:
        name: its name.
    """

    name: str

    @cached_property
    def client(self) -> Any:
        """A client, made when something is first asked for."""
        return s3_client.s3_client()

    def listed(self, prefix: str) -> list[dict[str, Any]]:
        """Entries of the objects whose keys begin so.

        Raises:
            RunError: they cannot be listed.
        """
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
        with self._in_words(prefix, "listed", LISTS):
            return [entry for page in pages for entry in page.get("Contents", ())]

    def read(self, key: str, *, within: str | None = None, tag: str | None = None) -> bytes:
        """The bytes of an object, or some of them.

        Args:
            key: of the object.
            within: which bytes, as HTTP has it: ``bytes=0-9``.
            tag: ETag that the object must have still; None takes what is there.
        Raises:
            KeyError: there is none.
            DataError: it has another tag.
            RunError: it cannot be read.
        """
        place = {"Bucket": self.name, "Key": key, **({"Range": within} if within else {})}
        place |= {"IfMatch": f'"{tag}"'} if tag else {}

        def once() -> bytes:
            try:
                body: bytes = self.client.get_object(**place)["Body"].read()
            except failures() as error:
                if status_of(error) == 412:
                    raise changed(self._address(key)) from error
                raise
            return body

        with self._in_words(key, "read", READS, may_miss=True):
            return patiently(self._address(key), once, broke_off)

    def has(self, key: str) -> bool:
        """Whether there is an object of that key.

        Raises:
            RunError: that cannot be told.
        """
        try:
            with self._in_words(key, "read", READS, may_miss=True):
                self.client.head_object(Bucket=self.name, Key=key)
        except KeyError:
            return False
        return True

    def download(self, key: str, path: Path, *, size: int, tag: str | None = None) -> None:
        """Write an object to a path.

        Args:
            key: of the object.
            path: where to write.
            size: of the object, as it was listed.
            tag: ETag that the object must have still; None takes what is there.
        Raises:
            KeyError: there is none.
            DataError: it has another tag.
            RunError: it cannot be read.
        """
        with self._in_words(key, "read", READS, may_miss=True):
            s3_client.download(self.client, self.name, key, path=path, size=size, tag=tag)

    def upload(self, path: Path, key: str) -> None:
        """Put a file to a key, in parts where it is large.

        Raises:
            RunError: it cannot be written.
        """
        with self._in_words(key, "written", WRITES):
            patiently(
                self._address(key),
                lambda: self.client.upload_file(str(path), self.name, key),
                upload_is_over,
            )

    def put_once(self, key: str, body: bytes) -> bool:
        """Put an object where there is none; False where there is another's.

        Raises:
            RunError: it cannot be written.
        """
        place = {"Bucket": self.name, "Key": key, "Body": body}
        with self._in_words(key, "written", WRITES):
            try:
                self.client.put_object(**place, IfNoneMatch="*")
            except failures() as error:
                if status_of(error) == 412:
                    return self._holds(key, body)  # it may be a try of ours whose answer was lost
                if code_of(error) != "NotImplemented":
                    raise
                if self.has(key):
                    return False
                self.client.put_object(**place)  # an endpoint that knows no conditions
        return True

    def copy(self, source: str, key: str) -> None:
        """Have the store copy an object.

        Raises:
            KeyError: there is none.
            RunError: it cannot be written.
        """
        place = {"Bucket": self.name, "Key": source}
        with self._in_words(key, "written", WRITES, may_miss=True):
            patiently(self._address(key), lambda: self.client.copy(place, self.name, key), upload_is_over)

    def remove(self, keys: Iterable[str]) -> None:
        """Remove objects, as many a request as S3 takes; what is not there is no error.

        Raises:
            RunError: one cannot be removed.
        """
        waiting = iter(keys)
        while some := list(islice(waiting, REMOVED_AT_ONCE)):
            with self._in_words(some[0], "removed", REMOVES):
                self._remove(some)

    def abort_uploads(self, prefix: str, kept: Sequence[str] = ()) -> None:
        """Give up uploads in parts that killed runs began under a prefix, whose parts are paid for.

        Args:
            prefix: of their keys.
            kept: beginnings of keys that are left.
        """
        ask = {"Bucket": self.name, "Prefix": prefix}
        try:
            pages = self.client.get_paginator("list_multipart_uploads").paginate(**ask)
            for upload in [u for page in pages for u in page.get("Uploads", ())]:
                if not upload["Key"].startswith(tuple(kept)):
                    place = {"Bucket": self.name, "Key": upload["Key"], "UploadId": upload["UploadId"]}
                    self.client.abort_multipart_upload(**place)
        except failures() as error:
            if not upload_is_over(error):
                log.info("%s: unfinished uploads cannot be given up (%s)", self._address(prefix), error)

    def _holds(self, key: str, body: bytes) -> bool:
        try:
            return self.read(key) == body
        except KeyError:
            return False

    def _remove(self, keys: list[str]) -> None:
        """One request, and more for what it could not remove yet: an answer may be good and hold errors."""
        from botocore.exceptions import ClientError

        for attempt in range(1, TRIES + 1):
            some = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
            answer = self.client.delete_objects(Bucket=self.name, Delete=some)
            errors = [error for error in answer.get("Errors", ()) if error.get("Code") != "NoSuchKey"]
            if not errors:
                return
            last = [error for error in errors if not passing(0, error.get("Code", ""))]
            if last or attempt == TRIES:
                raise ClientError({"Error": (last or errors)[0]}, "DeleteObjects")
            keys = [error["Key"] for error in errors]
            time.sleep(told(self._address(keys[0]), f"not removed yet ({errors[0]['Code']})", attempt))

    @contextmanager
    def _in_words(self, key: str, verb: str, right: str, *, may_miss: bool = False) -> Iterator[None]:
        """What a request raises, in words; KeyError where it may be that there is no such object, and is."""
        try:
            yield
        except failures() as error:
            if may_miss and is_missing(cause_of(error)):
                raise KeyError(key) from error
            raise failed(self._address(key), error, verb=verb, right=right) from error

    def _address(self, key: str) -> str:
        return f"s3://{self.name}/{key}"
