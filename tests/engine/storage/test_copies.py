"""Copies of remote objects: as they were listed, kept to a limit, and waited for where a bucket is slow."""

import logging
from pathlib import Path
from typing import Any

import boto3
import pytest

from mashbill.errors import DataError, RunError
from mashbill.storage import Copies, open_storage, retries, written_whole

ODD = ("a=1/b c+d.txt", "100%25.txt", "x#y?z.txt", "größe/ü.txt")


def put(root: str, key: str, text: str) -> None:
    """An object under a root."""
    bucket, _, prefix = root.removeprefix("s3://").partition("/")
    boto3.client("s3").put_object(Bucket=bucket, Key=f"{prefix}/{key}", Body=text.encode())


@pytest.mark.parametrize("text", ["other", "longer than it was", ""])
def test_an_object_that_changed_since_it_was_listed_is_not_copied(
    root: str, tmp_path: Path, text: str
) -> None:
    put(root, "one.txt", "first")
    storage = open_storage(root, tmp_path)
    (file,) = storage.match("one.txt")
    put(root, "one.txt", text)
    with pytest.raises(DataError, match=r"one\.txt: changed since it was listed; rerun"):
        storage.copy(file, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("key", ODD)
def test_odd_keys_are_listed_and_copied(root: str, tmp_path: Path, key: str) -> None:
    put(root, key, key)
    storage = open_storage(root, tmp_path)
    (file,) = storage.match(key)
    storage.copy(file, tmp_path / "copy")
    assert (file.key, (tmp_path / "copy").read_text()) == (key, key)
    assert storage.keys(key.rpartition("/")[0]) == [key]


def test_what_was_used_longest_ago_goes_first_and_what_is_held_stays(tmp_path: Path) -> None:
    copies = Copies(tmp_path)
    copies.limit = 100
    paths = [tmp_path / "copies" / name for name in "abc"]

    def write(path: Path) -> None:
        with copies.written(path, 40) as part:
            part.write_bytes(b"x" * 40)

    with Copies(tmp_path).held(paths[:1]):  # another's, as another process has it
        for path in paths:
            with copies.held([path]):
                write(path)
        assert [path.exists() for path in paths] == [True, False, True]
    with copies.held(paths[1:2]):
        write(paths[1])
    assert paths[1].exists()
    assert sum(path.exists() for path in paths) == 2


def test_a_file_whose_writing_breaks_off_is_as_it_was_and_nothing_lies_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("before")

    def breaks_off() -> None:
        with written_whole(path) as part:
            part.write_text("half")
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        breaks_off()
    assert [(found.name, found.read_text()) for found in tmp_path.iterdir()] == [("file.txt", "before")]


def test_a_bucket_that_is_slow_is_waited_for_and_that_is_told(
    root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from botocore.awsrequest import AWSResponse

    monkeypatch.setattr(retries, "FIRST_SECONDS", 0.001)
    put(root, "one.txt", "first")
    storage: Any = open_storage(root, tmp_path)
    refusals = [503, 503]
    body = b"<Error><Code>SlowDown</Code></Error>"

    class Raw:
        def stream(self, *_: Any, **__: Any) -> list[bytes]:
            return [body]

    def slow(request: Any, **_: Any) -> AWSResponse | None:
        return AWSResponse(request.url, refusals.pop(), {}, Raw()) if refusals else None

    storage.bucket.client.meta.events.register("before-send.s3", slow)
    with caplog.at_level(logging.WARNING):
        assert storage.read("one.txt") == b"first"
    assert caplog.text.count("one.txt: 503 SlowDown; trying again in") == 2


def test_expired_credentials_are_told(root: str, tmp_path: Path) -> None:
    from botocore.exceptions import ClientError

    storage: Any = open_storage(root, tmp_path)

    def expired(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "ExpiredToken", "Message": "old"}}, "GetObject")

    storage.bucket.client.meta.events.register("before-call.s3", expired)
    with pytest.raises(RunError, match=r"the credentials have expired .*; renew them and retry"):
        storage.read("one.txt")
