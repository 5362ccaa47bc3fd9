"""Links from a task to what it made."""

from typing import Any
from urllib.parse import quote

from airflow.sdk import BaseOperatorLink

S3 = "s3://"


class ArtifactLink(BaseOperatorLink):
    """The folder of the artifact: in the console of S3, or on the worker's disk."""

    name = "Artifact"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Where it is; Airflow asks as the task ends, and keeps what it was told."""
        del ti_key
        made = getattr(operator, "made", ())
        return link_to(made[-1].address) if made else ""


def link_to(address: str) -> str:
    """What a browser opens for an artifact's address; the address itself where it knows nothing."""
    if address.startswith(S3):
        bucket, _, key = address.removeprefix(S3).partition("/")
        return f"https://console.aws.amazon.com/s3/buckets/{bucket}?prefix={quote(key)}/"
    return f"file://{quote(address)}"
