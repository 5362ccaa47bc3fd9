"""A training over two machines that share nothing but an object store trains what one does, and goes on when
one of them is lost and comes back."""

import csv
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from builders.nodes import WAITED, Node, can_be_apart, namespaces
from builders.smoke import smoke_config, smoke_home

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not can_be_apart(), reason="needs root and iproute2 for network namespaces"),
]
STEPS, MEETING = 120, 29_411
BUCKET = """
import boto3
place = {"LocationConstraint": "eu-west-1"}
boto3.client("s3").create_bucket(Bucket="lake", CreateBucketConfiguration=place)
"""
CURVE = """
import boto3, sys
client = boto3.client("s3")
keys = [e["Key"] for e in client.list_objects_v2(Bucket="lake", Prefix=sys.argv[1] + "/train/")["Contents"]]
(key,) = [key for key in keys if key.endswith("/curves.csv")]
print(client.get_object(Bucket="lake", Key=key)["Body"].read().decode())
"""
SAVED = """
import boto3, sys, time
client, until = boto3.client("s3"), time.monotonic() + 120
while time.monotonic() < until:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket="lake", Prefix=sys.argv[1] + "/train/")
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", ())]
    if any(key.endswith("/checkpoint.json") for key in keys):
        sys.exit(0)
    time.sleep(0.05)
sys.exit(1)
"""


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Node, Node]]:
    """Two machines, the first with an S3 server."""
    folder = tmp_path_factory.mktemp("nodes")
    with namespaces(folder) as (head, other):
        head.start(
            str(Path(sys.executable).parent / "moto_server"), "-H", head.address, "-p", str(head.ports.s3)
        )
        head.python(WAITED, head.address, str(head.ports.s3))
        head.python(BUCKET)
        yield head, other
        for node in (head, other):
            node.kill()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The text and the config, as both machines have them."""
    return smoke_home(tmp_path_factory.mktemp("home"))


def command(home: Path, node: Node, *, nodes: int) -> list[str]:
    """The options of a training of 120 steps on a node, whose artifacts up to it are there."""
    given = {
        "artifacts": "s3://lake/shared",
        "scratch": str(node.disk / "scratch"),
        "training.mixtures": '["chosen"]',
        "training.tokens": STEPS * 8 * 64,
        "training.max_epochs": 1_000,
        "training.checkpoint_steps": 10,
        "training.precision": "fp32",
        "training.nodes": nodes,
        "training.processes_per_node": 2 // nodes,
        "training.rendezvous": f"10.77.0.1:{MEETING}",
        "training.max_restarts": 3,
        "validation.mixtures": "[]",
        "baselines.methods": "[]",
        "bootstrap.models": 2,
        "plan.mixtures": 6,
        "plan.phases": 1,
        "refine.rounds": 0,
        "schedule.phases": 1,
    }
    options = [option for key, value in given.items() for option in ("--set", f"{key}={value}")]
    return ["--config", str(smoke_config(home)), *options]


def losses(head: Node, prefix: str = "shared") -> list[float]:
    rows = list(csv.DictReader(io.StringIO(head.python(CURVE, prefix))))
    assert [int(row["step"]) for row in rows] == list(range(1, STEPS + 1))
    return [float(row["loss"]) for row in rows]


def mashbill(node: Node, *arguments: str) -> "subprocess.Popen[bytes]":
    return node.start(sys.executable, "-m", "mashbill.cli.main", *arguments)


@pytest.fixture(scope="module")
def alone(nodes: tuple[Node, Node], home: Path) -> list[float]:
    """The losses of the same training on one machine with two processes."""
    head, _ = nodes
    head.run(sys.executable, "-m", "mashbill.cli.main", "run", "gate", *command(home, head, nodes=1))
    head.run(sys.executable, "-m", "mashbill.cli.main", "train", *command(home, head, nodes=1))
    found = losses(head)
    forget(head)
    return found


def forget(head: Node) -> None:
    """Remove what was trained, not what it was made from."""
    head.python(
        "import boto3\n"
        "bucket = boto3.resource('s3').Bucket('lake')\n"
        "bucket.objects.filter(Prefix='shared/train/').delete()\n"
    )


def test_two_machines_train_what_one_does(nodes: tuple[Node, Node], home: Path, alone: list[float]) -> None:
    head, other = nodes
    helper = mashbill(other, "join", *command(home, other, nodes=2), "--node", "1")
    head.run(sys.executable, "-m", "mashbill.cli.main", "train", *command(home, head, nodes=2))
    assert helper.wait(timeout=60) == 0
    assert losses(head) == pytest.approx(alone, abs=1e-5)
    forget(head)


@pytest.mark.parametrize("lost", ["worker", "machine"])
def test_training_goes_on_when_a_machine_is_lost_and_comes_back(
    lost: str, nodes: tuple[Node, Node], home: Path, alone: list[float]
) -> None:
    head, other = nodes
    joining = ("join", *command(home, other, nodes=2), "--node", "1")
    leader = mashbill(head, "train", *command(home, head, nodes=2))
    helper = mashbill(other, *joining)
    head.python(SAVED, "shared")
    if lost == "worker":
        os.kill(worker_of(helper).pid, signal.SIGKILL)
    else:
        for process in (*psutil.Process(helper.pid).children(recursive=True), psutil.Process(helper.pid)):
            os.kill(process.pid, signal.SIGKILL)
    returned = time.monotonic()
    helper = mashbill(other, *joining) if lost == "machine" else helper
    assert leader.wait(timeout=240) == 0, head.log.read_text()[-3_000:]
    assert helper.wait(timeout=60) == 0
    took = time.monotonic() - returned
    assert losses(head) == pytest.approx(alone, abs=1e-5)
    print(f"{lost}: went on and ended within {took:.0f} s of the return")
    forget(head)


def worker_of(helper: "subprocess.Popen[bytes]") -> psutil.Process:
    """A worker process of a helper."""
    children = psutil.Process(helper.pid).children(recursive=True)
    return next(child for child in children if "RANK" in child.environ())
