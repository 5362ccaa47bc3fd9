"""Two machines on one: each with an empty disk of its own and, as root, a network and mounts of its own.

As root, network namespaces are joined by a pair of virtual interfaces, and each node mounts a disk in memory
over the same folder, so no file of one is there on the other. Without root the nodes have scratch folders of
their own, and ports that are free.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from builders.checkout import ROOT, TESTS
from builders.gate import Gate

ADDRESSES = ("10.77.0.1", "10.77.0.2")
PORT = 6399
BINARIES = Path(sys.executable).parent
WAITED = """
import socket, sys, time
until = time.monotonic() + 300
while time.monotonic() < until:
    try:
        socket.create_connection((sys.argv[1], int(sys.argv[2])), 1).close()
        sys.exit(0)
    except OSError:
        time.sleep(0.2)
sys.exit(1)
"""
NODES = """
import ray, sys, time
ray.init(address=sys.argv[1], logging_level="ERROR")
until = time.monotonic() + 300
while len([n for n in ray.nodes() if n["Alive"]]) < int(sys.argv[2]):
    assert time.monotonic() < until
    time.sleep(0.2)
"""


class Ports(NamedTuple):
    """Ports of the first node.

    Attributes:
        ray: of the cluster; client: of Ray's server for clients elsewhere.
        s3: where S3 is asked; behind: of the S3 server where a gate is before it.
    """

    ray: int = PORT
    client: int = 10_001
    s3: int = 5_055
    behind: int = 5_056


@dataclass
class Node:
    """One of the machines.

    Attributes:
        address: its own.
        ports: those of the first node.
        disk: folder that is its disk, seen from it.
        log: where what it runs in the background writes, seen from outside.
        before: what a command is started by, to run on it.
        environment: of its commands.
        started: what runs in the background.
    """

    address: str
    ports: Ports
    disk: Path
    log: Path
    before: Sequence[str]
    environment: Mapping[str, str]
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def cluster(self) -> str:
        """Address of the Ray cluster that it heads."""
        return f"{self.address}:{self.ports.ray}"

    def run(self, *command: str, timeout: float = 1_800) -> str:
        """What a command prints, run to its end.

        Raises:
            AssertionError: it fails.
        """
        result = subprocess.run(
            [*self.before, *command],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env={**os.environ, **self.environment},
        )
        assert result.returncode == 0, result.stderr[-4_000:]
        return result.stdout

    def python(self, script: str, *arguments: str) -> str:
        """What a script prints."""
        return self.run(sys.executable, "-c", script, *arguments)

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """Start a command, which is killed with the node."""
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [*self.before, *command],
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment},
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def kill(self) -> None:
        """End everything that it runs in the background, at once."""
        for process in self.started:
            with_its_group(process)
        self.started.clear()


def with_its_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and those that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def can_be_apart() -> bool:
    """Whether nodes can have namespaces of their own here."""
    return os.geteuid() == 0 and all(shutil.which(name) for name in ("ip", "unshare", "nsenter"))


@contextmanager
def two_nodes(folder: Path, *, apart: bool) -> Iterator[tuple[Node, Node]]:
    """Two machines in one Ray cluster that the first heads, where an S3 server is.

    Args:
        folder: for their disks and logs.
        apart: whether each has mounts and a network of its own, or a scratch folder only.
    """
    with gated_nodes(folder, apart=apart, gate=False) as (head, other, _):
        yield head, other


@contextmanager
def gated_nodes(folder: Path, *, apart: bool, gate: bool = True) -> Iterator[tuple[Node, Node, Gate | None]]:
    """The same, with a gate before the S3 server."""
    with namespaces(folder) if apart else folders(folder) as (head, other):
        port = str(head.ports.behind if gate else head.ports.s3)
        try:
            head.start(str(BINARIES / "moto_server"), "-H", head.address, "-p", port)
            join(head, head)
            join(other, head)
            with gated(head) if gate else nullcontext() as before:
                head.python(WAITED, head.address, port)
                head.python(NODES, head.cluster, "2")
                yield head, other, before
        finally:
            for node in (head, other):
                node.kill()


@contextmanager
def gated(head: Node) -> Iterator[Gate]:
    """A gate before a node's S3 server, for the time of the block."""
    port, behind = str(head.ports.s3), f"{head.address}:{head.ports.behind}"
    command = (sys.executable, "-m", "builders.gate", head.address, port, behind)
    with (
        head.log.open("ab") as log,
        subprocess.Popen(
            [*head.before, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, **head.environment},
            start_new_session=True,
        ) as process,
    ):
        try:
            head.python(WAITED, head.address, port)
            yield Gate(process)
        finally:
            process.kill()


def join(node: Node, head: Node) -> None:
    """Have a node join a head's cluster, or be the head."""
    sizes = ("--num-cpus=1", "--object-store-memory=150000000", "--block", "--disable-usage-stats")
    free = ("--min-worker-port=0", "--max-worker-port=0")
    port, client = str(head.ports.ray), f"--ray-client-server-port={head.ports.client}"
    begin = ("--head", f"--port={port}", client, "--include-dashboard=false", "--temp-dir=/tmp/ray")
    where = begin if node is head else (f"--address={head.cluster}",)
    own = f"--node-ip-address={node.address}"
    node.start(str(BINARIES / "ray"), "start", own, *sizes, *free, *where)
    head.python(WAITED, head.address, port)


@contextmanager
def namespaces(folder: Path) -> Iterator[tuple[Node, Node]]:
    """Nodes in namespaces of their own."""
    names = [f"mash{os.getpid()}{letter}" for letter in "ab"]
    ports = Ports()
    disk = folder / "disk"
    disk.mkdir()
    holders: list[subprocess.Popen[bytes]] = []
    links = [f"v{os.getpid()}{letter}" for letter in "ab"]
    try:
        for name in names:
            _ip("netns", "add", name)
        _ip("link", "add", links[0], "type", "veth", "peer", "name", links[1])
        nodes = []
        for name, link, address in zip(names, links, ADDRESSES, strict=True):
            _ip("link", "set", link, "netns", name)
            _ip("-n", name, "addr", "add", f"{address}/24", "dev", link)
            _ip("-n", name, "link", "set", link, "up")
            _ip("-n", name, "link", "set", "lo", "up")
            holders.append(_mounted(disk))
            mounts = f"--mount=/proc/{holders[-1].pid}/ns/mnt"
            before = ("nsenter", mounts, f"--net=/run/netns/{name}", f"--wd={disk}")
            environment = _environment(ADDRESSES[0], ports, disk)
            nodes.append(Node(address, ports, disk, folder / f"{name}.log", before, environment))
        yield nodes[0], nodes[1]
    finally:
        for holder in holders:
            holder.kill()
            holder.communicate()
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def _mounted(disk: Path) -> subprocess.Popen[bytes]:
    """A process that keeps mounts of its own, with an empty disk over a folder."""
    commands = (
        f"mount -t tmpfs -o size=3g node {disk}",
        f"mkdir -p {disk}/tmp {disk}/ray /tmp/ray",
        f"mount --bind {disk}/ray /tmp/ray",
        "echo ready",
        "exec cat",
    )
    process = subprocess.Popen(
        ["unshare", "-m", "--propagation", "private", "sh", "-c", " && ".join(commands)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


@contextmanager
def folders(folder: Path) -> Iterator[tuple[Node, Node]]:
    """Nodes with scratch folders of their own and one network."""
    address = socket.gethostbyname("localhost")
    ports = free_ports(address)
    nodes = []
    for letter in "ab":
        disk = folder / letter
        (disk / "tmp").mkdir(parents=True)
        environment = _environment(address, ports, disk)
        nodes.append(Node(address, ports, disk, folder / f"{letter}.log", (), environment))
    yield nodes[0], nodes[1]


def free_ports(address: str) -> Ports:
    """Ports of an address on which nothing listens."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in Ports._fields]
        for one in sockets:
            one.bind((address, 0))
        return Ports(*(one.getsockname()[1] for one in sockets))


def _environment(head: str, ports: Ports, disk: Path) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": f"http://{head}:{ports.s3}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "MASHBILL_SCRATCH": str(disk / "scratch"),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": f"{ROOT / 'operators'}:{TESTS}",
        "RAY_ADDRESS": f"{head}:{ports.ray}",  # which is what "auto" finds, where others' clusters run too
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        "RAY_DISABLE_IMPORT_WARNING": "1",
        "TMPDIR": str(disk / "tmp"),
    }


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
