"""Copies of remote objects: as they were listed, kept to a limit, and waited for where a bucket is slow."""

import logging
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest

from builders.pressure import limit_of
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


@pytest.mark.parametrize("prefix", ["", "/year=2026/a+b c%2B"])
@pytest.mark.parametrize("key", ODD)
def test_odd_keys_are_listed_and_copied(root: str, tmp_path: Path, key: str, prefix: str) -> None:
    root += prefix
    put(root, key, key)
    storage = open_storage(root, tmp_path)
    (file,) = storage.match(key)
    storage.copy(file, tmp_path / "copy")
    assert (file.key, (tmp_path / "copy").read_text()) == (key, key)
    assert storage.keys(key.rpartition("/")[0]) == [key]
    assert storage.adopt(storage, key, f"adopted/{key}")
    assert storage.read(f"adopted/{key}") == key.encode()


def test_an_object_of_another_bucket_is_not_taken_for_one_of_this(root: str, tmp_path: Path) -> None:
    other = root.replace("s3://", "s3://other-")
    place = {"LocationConstraint": "eu-west-1"}
    boto3.client("s3").create_bucket(Bucket=other.split("/")[2], CreateBucketConfiguration=place)
    put(root, "one.txt", "this")
    put(other, "one.txt", "that")
    storage = open_storage(root, tmp_path)
    assert not storage.adopt(open_storage(other, tmp_path), "one.txt", "two.txt")
    assert storage.keys("") == ["one.txt"]


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


def write(copies: Copies, path: Path) -> Path:
    """A copy of 40 bytes, let go at once."""
    with copies.held([path]), copies.written(path, 40) as part:
        part.write_bytes(b"x" * 40)
    return path


def test_a_copy_that_was_asked_for_again_is_used_later_than_one_that_came_after_it(tmp_path: Path) -> None:
    copies = Copies(tmp_path)
    copies.limit = 100
    first, second = (write(copies, tmp_path / "copies" / name) for name in "ab")
    with copies.held([first]):
        pass
    third = write(copies, tmp_path / "copies" / "c")
    assert [path.exists() for path in (first, second, third)] == [True, False, True]


def test_a_process_that_was_forked_lets_nothing_go_that_its_parent_holds(tmp_path: Path) -> None:
    mine, another = Copies.under(tmp_path), Copies(tmp_path)
    kept = tmp_path / "copies" / "kept"

    def child() -> None:
        with mine.held_within():
            mine.hold(tmp_path / "copies" / "of the child")

    with mine.held([kept]):
        write(another, kept)
        process = multiprocessing.get_context("fork").Process(target=child)
        process.start()
        process.join()
        assert process.exitcode == 0
        another.limit = 100
        for name in "abc":
            write(another, tmp_path / "copies" / name)
        assert kept.exists()


def test_a_storage_that_is_sent_elsewhere_keeps_its_copies_to_the_limit(root: str, tmp_path: Path) -> None:
    storage: Any = open_storage(root, tmp_path)
    storage.copies.limit = 12_345
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(limit_of, storage).result() == 12_345


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


ISSUES = """
import json, sys
with open(sys.argv[1], "a") as log:
    log.write("x")
with open(sys.argv[1]) as log:
    key = f"key{len(log.read())}"
made = {"Version": 1, "AccessKeyId": key, "SecretAccessKey": "secret", "SessionToken": "token"}
print(json.dumps({**made, "Expiration": sys.argv[2]}))
"""


def test_credentials_that_expire_are_renewed_by_who_issued_them(
    root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=60)).isoformat()
    (tmp_path / "issue.py").write_text(ISSUES)
    issued = f"{sys.executable} {tmp_path}/issue.py {tmp_path}/log {soon}"
    (tmp_path / "aws").write_text(f"[profile renewed]\ncredential_process = {issued}\n")
    put(root, "one.txt", "first")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "aws"))
    monkeypatch.setenv("AWS_PROFILE", "renewed")
    boto3.setup_default_session()
    try:
        storage: Any = open_storage(root, tmp_path)
        signed: list[str] = []
        storage.bucket.client.meta.events.register(
            "before-send.s3", lambda request, **_: signed.append(str(request.headers["Authorization"]))
        )
        assert [storage.read("one.txt") for _ in range(2)] == [b"first"] * 2
    finally:
        boto3.setup_default_session()
    first, second = ([f"Credential=key{i}/" in one for i in range(9)].index(True) for one in signed)
    assert second > first, "each asks whether the last ones do still"
