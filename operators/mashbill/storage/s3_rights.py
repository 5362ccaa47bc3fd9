"""What may be done in a bucket, found by doing it to an object of its own name, before any stage runs."""

import uuid
from collections.abc import Callable, Iterator

from mashbill.errors import ConfigError, RunError
from mashbill.storage.s3_bucket import LISTS, READS, REMOVES, WRITES, Bucket
from mashbill.storage.s3_client import cause_of, is_denied

PROBE = "mashbill-probe-"
WORDS = b"written to see whether this root may be used; it may be removed\n"


def refuse_unusable(bucket: Bucket, prefix: str, where: str) -> None:
    """Refuse a root where objects may not be listed, written, read and removed.

    Args:
        bucket: the bucket.
        prefix: what keys begin with, without a slash at its end.
        where: what names the root, for the error.
    Raises:
        ConfigError: a right is missing.
        RunError: the bucket is not there, or cannot be reached.
    """
    root = f"s3://{bucket.name}/{prefix}".rstrip("/")
    key = f"{prefix}/{PROBE}{uuid.uuid4().hex}".lstrip("/")
    missing = list(_missing(bucket, key))
    if missing:
        several = len(missing) > 1
        rights = f"the right{'s' * several} {' and '.join(missing)} {'are' if several else 'is'} missing"
        left = f" (the probe {key} is left there)" if REMOVES in missing and WRITES not in missing else ""
        mend = "grant what is missing to these credentials, or name another root"
        raise ConfigError(where, f"{root} cannot be used: {rights}{left}", mend)


def _missing(bucket: Bucket, key: str) -> Iterator[str]:
    """The rights that are missing, in the order in which they are tried."""

    def read() -> None:
        try:
            bucket.read(key)
        except KeyError:  # it may be read, and was not written
            return

    tries: tuple[tuple[str, Callable[[], object]], ...] = (
        (LISTS, lambda: bucket.listed(key)),
        (WRITES, lambda: bucket.put_once(key, WORDS)),
        (READS, read),
        (REMOVES, lambda: bucket.remove([key])),
    )
    found: list[str] = []
    for right, attempt in tries:
        if right == READS and found == [LISTS, WRITES]:
            continue  # without both, what is not there looks like what may not be read
        try:
            attempt()
        except RunError as error:
            if error.__cause__ is None or not is_denied(cause_of(error.__cause__)):
                raise
            found.append(right)
            yield right
