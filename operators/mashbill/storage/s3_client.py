"""A client of S3, and its errors in words: credentials, region and endpoint come from boto3's own chain,
which also renews credentials that can be renewed; what is waited for is told."""

import os
import shutil
from pathlib import Path
from typing import Any

from mashbill.errors import RunError, one_line
from mashbill.storage.retries import TRIES, cut_short, needs_retry, passing, patiently
from mashbill.storage.storage import changed

REQUEST_PAYER = "AWS_REQUEST_PAYER"
"""The environment variable that says ``requester`` where who asks pays, the name that other tools read."""
CONNECT_SECONDS, READ_SECONDS = 10, 30
CONNECTIONS = 32
PART_TRIES = 3  # of a part of an object, at once, before the whole is waited for
EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"})
DENIED = frozenset({"AccessDenied", "AllAccessDisabled"})
REASONS = {
    "InvalidObjectState": ("it is archived", "restore it, and rerun"),
    "RequestTimeTooSkewed": ("the clock of this machine is wrong", "set it"),
}
"""Answers that look like a missing right and are none, and the mend of each."""
REFUSED = frozenset({"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "InvalidSecurity"})


def s3_client() -> Any:
    """A client that waits for a bucket that is slow, and says so."""
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        max_pool_connections=CONNECTIONS,
        retries={"mode": "standard", "total_max_attempts": 1},  # ours tell what they wait for
    )
    client = boto3.client("s3", config=config)
    client.meta.events.register("before-parse.s3", cut_short)
    client.meta.events.register("needs-retry.s3", needs_retry)
    if os.environ.get(REQUEST_PAYER):
        client.meta.events.register("before-parameter-build.s3", _pay)
    return client


def download(client: Any, bucket: str, key: str, *, path: Path, size: int, tag: str | None = None) -> None:
    """Write an object to a path, in parts at once where it is large, each part asked for again where it
    broke off.

    Args:
        client: of the bucket.
        bucket: its name.
        key: of the object.
        path: where to write.
        size: of the object, as it was listed.
        tag: ETag that the object must have still; None takes what is there.
    Raises:
        DataError: the object has another tag.
        botocore's and s3transfer's errors: it cannot be read.
    """
    from s3transfer.exceptions import S3DownloadFailedError
    from s3transfer.manager import TransferConfig, TransferManager
    from s3transfer.subscribers import BaseSubscriber

    class Listed(BaseSubscriber):  # type: ignore[misc]
        """Tells the manager what is known, so that it asks for these bytes and no others."""

        def on_queued(self, future: Any, **_: Any) -> None:
            """Before the first request."""
            future.meta.provide_transfer_size(size)
            future.meta.provide_object_etag(f'"{tag}"')

    def small() -> None:  # of which the manager asks for no tag
        answer = client.get_object(Bucket=bucket, Key=key, IfMatch=f'"{tag}"')
        with path.open("wb") as file:
            shutil.copyfileobj(answer["Body"], file)

    def large() -> None:
        with path.open("wb") as file, TransferManager(client, plan) as manager:
            manager.download(bucket, key, file, subscribers=[Listed()] if tag else []).result()

    address = f"s3://{bucket}/{key}"
    plan = TransferConfig(num_download_attempts=PART_TRIES)
    try:
        once = small if tag and size < plan.multipart_threshold else large
        patiently(address, once, broke_off)
    except S3DownloadFailedError as error:
        raise changed(address) from error
    except Exception as error:
        if status_of(error) == 412:
            raise changed(address) from error
        raise


def status_of(error: BaseException | None) -> int:
    """The HTTP status of an error; 0 where it is none of an answer."""
    response = getattr(error, "response", None) or {}
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def code_of(error: BaseException | None) -> str:
    """S3's word for an error; empty where it is none of an answer."""
    response = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


def failures() -> tuple[type[Exception], ...]:
    """What a request may raise."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError
    from s3transfer.exceptions import RetriesExceededError

    return BotoCoreError, ClientError, Boto3Error, RetriesExceededError


def failed(address: str, error: Exception, *, verb: str, right: str) -> RunError:
    """A failed request in words.

    Args:
        address: of what was asked for.
        error: what was raised.
        verb: what could not be done: read, listed, written or removed.
        right: that it needs, such as ``s3:GetObject``.
    """
    from botocore.exceptions import NoCredentialsError, PartialCredentialsError

    cause = cause_of(error)
    code, status = code_of(cause), status_of(cause)
    bucket = address.removeprefix("s3://").partition("/")[0]
    if code in EXPIRED:
        what, mend = f"cannot be {verb}: the credentials have expired ({code})", "renew them and retry"
        return RunError(address, what, f"{mend}: what is finished is kept")
    if isinstance(cause, NoCredentialsError | PartialCredentialsError):
        what = f"cannot be {verb}: no credentials are found"
        return RunError(
            address, what, "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile or role"
        )
    if code in REFUSED:
        return RunError(address, f"cannot be {verb}: the credentials are refused ({code})", "correct them")
    if code == "NoSuchBucket":
        what = f"cannot be {verb}: there is no bucket {bucket}"
        return RunError(address, what, "correct its name or AWS_ENDPOINT_URL, or make it")
    if code in REASONS:
        what, mend = REASONS[code]
        return RunError(address, f"cannot be {verb}: {what} ({code})", mend)
    if is_denied(cause):
        what = f"may not be {verb}: the right {right} is missing ({code or status})"
        return RunError(address, what, f"grant it, or set {REQUEST_PAYER}=requester where who asks pays")
    if passing(status, code):
        what = f"cannot be {verb}: the store refused {TRIES} times ({code or status})"
        return RunError(address, what, "rerun once it answers: what is finished is kept")
    return RunError(
        address, f"cannot be {verb} ({one_line(cause)})", "check bucket, endpoint and credentials"
    )


def cause_of(error: BaseException) -> BaseException:
    """The answer behind an error of those who ask for several things at once; else the error itself."""
    inner = error.__context__
    return inner if inner is not None and code_of(inner) else error


def broke_off(error: BaseException) -> bool:
    """Whether an error is of an answer that broke off in its middle, or came damaged."""
    from botocore.exceptions import (
        FlexibleChecksumError,
        IncompleteReadError,
        ReadTimeoutError,
        ResponseStreamingError,
    )
    from s3transfer.exceptions import RetriesExceededError

    of_reading = FlexibleChecksumError, IncompleteReadError, ReadTimeoutError, ResponseStreamingError
    return isinstance(error, (RetriesExceededError, *of_reading))


def is_denied(error: BaseException) -> bool:
    """Whether a right is missing."""
    code = code_of(error)
    return code in DENIED or (status_of(error) == 403 and code not in {*REASONS, *EXPIRED, *REFUSED})


def upload_is_over(error: BaseException) -> bool:
    """Whether an upload in parts is no more: it was finished and the answer lost, or another aborted it."""
    return code_of(cause_of(error)) == "NoSuchUpload"


def is_missing(error: BaseException) -> bool:
    """Whether there is no such object; a bucket that is not there is another matter."""
    return status_of(error) == 404 and code_of(error) not in {"NoSuchBucket", "NoSuchUpload"}


def _pay(params: Any, model: Any, **_: Any) -> None:
    if "RequestPayer" in model.input_shape.members:
        params.setdefault("RequestPayer", os.environ[REQUEST_PAYER])
