"""A Ray cluster of one node with its job API, apart from every other on this machine."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PATIENCE_SECONDS = 120.0


@contextmanager
def ray_cluster(environment: dict[str, str]) -> Iterator[str]:
    """The address of its job API.

    Args:
        environment: variables of its processes, beside those of this one.
    """
    folder = Path(tempfile.mkdtemp(prefix="r-", dir="/tmp"))  # Ray's sockets want a short path
    ports = [_free() for _ in range(3)]
    command = [
        str(Path(sys.executable).with_name("ray")),
        "start",
        "--head",
        "--block",
        f"--port={ports[0]}",
        "--dashboard-host=127.0.0.1",
        f"--dashboard-port={ports[1]}",
        f"--dashboard-agent-listen-port={ports[2]}",  # without it no two clusters have agents for jobs
        "--num-cpus=2",
        "--object-store-memory=100000000",
        "--disable-usage-stats",
        f"--temp-dir={folder}",
    ]
    log = (folder / "start.log").open("wb")
    with log:
        server = subprocess.Popen(
            command, stdout=log, stderr=log, start_new_session=True, env={**os.environ, **environment}
        )
    address = f"http://127.0.0.1:{ports[1]}"
    try:
        _wait_for(f"{address}/api/jobs/", folder / "start.log", server)
        yield address
    finally:
        os.killpg(server.pid, signal.SIGKILL)  # asked to end, it waits for each of its processes
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(url: str, log: Path, server: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                answer.read()
            return
        except OSError:
            if time.monotonic() > until or server.poll() is not None:
                raise RuntimeError(log.read_text()) from None
            time.sleep(0.2)


def _free() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
