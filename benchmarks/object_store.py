"""moto's S3 in a process of its own, that keeps its objects in memory."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

IN_MEMORY = {"MOTO_S3_DEFAULT_KEY_BUFFER_SIZE": "2000000000"}


@contextmanager
def object_store() -> Iterator[dict[str, str]]:
    """What a process is to be told of moto's S3, in a process of its own, with one bucket."""
    import boto3

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    server = subprocess.Popen(
        [str(Path(sys.executable).parent / "moto_server"), "-p", port],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **IN_MEMORY},
    )
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    told = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", **dict.fromkeys(names, "any")}
    told["AWS_DEFAULT_REGION"] = "us-east-1"
    try:
        os.environ.update(told)
        until = time.monotonic() + 60
        while time.monotonic() < until:
            with suppress(OSError), socket.create_connection(("127.0.0.1", int(port))):
                break
            time.sleep(0.2)
        boto3.client("s3").create_bucket(Bucket="lake")
        yield told
    finally:
        server.kill()
        server.wait()
