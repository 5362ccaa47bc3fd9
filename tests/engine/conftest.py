"""A server that speaks S3 (moto's), and a bucket of its own for each test."""

from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest

from builders.proxy import Faults, proxied
from builders.s3_server import s3_server


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with s3_server() as address:
        yield address


@pytest.fixture
def root(endpoint: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    settings = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "eu-west-1",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    bucket = "lake" + str(abs(hash(request.node.name)) % 10**9)
    boto3.client("s3").create_bucket(
        Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    return f"s3://{bucket}/artifacts"


@pytest.fixture
def behind(
    root: str, endpoint: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Callable[[Faults], Any]:
    """Puts a network with faults between this process and the bucket, and gives its proxy."""

    def put(faults: Faults) -> Any:
        context = proxied(endpoint, faults)
        proxy = context.__enter__()
        request.addfinalizer(lambda: context.__exit__(None, None, None))
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.address)
        return proxy

    return put
