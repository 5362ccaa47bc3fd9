"""Stages that are sent to Kubernetes, under a real Airflow, through its connection: they queue, are waited
for by the triggerer, and whatever of Airflow is killed, each is submitted once and its result found."""

import csv
import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
import yaml

from builders.airflow_home import ALL, TRIGGERER, MortalAirflow, impatient_server, kill
from builders.alone import Lake, lines_of, run_alone, texts
from builders.cluster import Cluster, Machine, cluster, unsharing
from builders.cluster.samples import secret
from builders.corpus import corpus_config
from builders.s3_server import s3_server
from builders.waiting import wait_until

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.skipif(not unsharing(), reason="pods need namespaces of their own here"),
]
PATIENCE_SECONDS = 150
SECRET = "not-for-anybody-else"
DAG = """
from datetime import timedelta
from airflow.sdk import DAG
from mashbill.operators import IngestDocuments

LAUNCH = {{
    "backend": "job",
    "image": "registry.example/mashbill:0.2",
    "queue": "team",
    "kubernetes": {{"environment_from": ["lake"]}},
}}
with DAG("queued", schedule=None, default_args={{"retries": 9, "retry_delay": timedelta(seconds=1)}}) as dag:
    IngestDocuments(
        task_id="ingest", config={config!r}, launch=LAUNCH, kubernetes_conn_id="gpus", deferrable=True
    )
"""

SEARCH = """
from datetime import timedelta
from airflow.sdk import DAG
from mashbill.operators import SweepProxies, TrainModel

PODS = {{
    "image": "registry.example/mashbill:0.2",
    "kubernetes": {{"environment_from": ["lake"], "grace_seconds": 20}},
}}
AGAIN = {{"retries": 99, "retry_delay": timedelta(seconds=1)}}
WAITS = {{"kubernetes_conn_id": "gpus", "deferrable": True}}
with DAG("search", schedule=None, default_args=AGAIN | WAITS) as dag:
    SweepProxies(task_id="sweep", launch={{**PODS, "backend": "job"}}, **{sweep!r})
    TWO = {{**PODS, "backend": "jobset", "nodes": 2, "processes": 1}}
    TrainModel(task_id="train", launch=TWO, **{train!r})
"""
SHAPE = {"layers": 1, "width": 32, "heads": 2, "kv_heads": 2, "feed_forward": 64, "context": 32}


@pytest.fixture
def endpoint() -> Iterator[str]:
    with s3_server() as address:
        yield address


@pytest.fixture
def lake(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket with a text, that this process and its children reach by their environment; servers of one
    process share their buckets."""
    settings = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "eu-west-1",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    place = {"LocationConstraint": "eu-west-1"}
    bucket = f"lake-{uuid.uuid4().hex[:8]}"
    client.create_bucket(Bucket=bucket, CreateBucketConfiguration=place)
    text = "".join(f'{{"text": "text number {i}"}}\n' for i in range(50))
    client.put_object(Bucket=bucket, Key="a.jsonl", Body=text.encode())
    return f"s3://{bucket}"


@pytest.fixture
def c(lake: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A cluster with a queue that is held, which Airflow knows by a connection alone."""
    names = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION")
    with cluster(tmp_path / "cluster", (Machine("node-a"),)) as here:
        here.create(secret("lake", **{name: os.environ[name] for name in names}))
        here.add_queue("team", held=True)
        extra = {"kube_config": here.kubeconfig.read_text(), "namespace": "default"}
        connection = {"conn_type": "kubernetes", "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_GPUS", json.dumps(connection))
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.delenv("KUBECONFIG", raising=False)
        yield here


def told_by_triggerer(home: Path) -> str:
    return "".join(path.read_text() for path in (home / "logs").rglob("*.log.trigger*"))


def submitted(c: Cluster) -> list[str]:
    """Names of the jobs that were ever submitted."""
    return [call.path for call in c.server.audit if call.verb == "create" and call.resource == "jobs"]


def test_a_queued_job_is_waited_for_whatever_is_killed_and_nothing_secret_is_kept(
    c: Cluster, lake: str, tmp_path: Path
) -> None:
    corpus_config(tmp_path, dict.fromkeys("ab", f"{lake}/a.jsonl"))
    config = tmp_path / "config.toml"
    config.write_text(
        config.read_text().replace('artifacts = "artifacts"', f'artifacts = "{lake}/artifacts"')
    )
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "queued.py").write_text(DAG.format(config=str(config)))
    home = tmp_path / "airflow"
    with impatient_server(home, tmp_path / "dags") as server:
        run = server.trigger("queued", {})
        wait_until(lambda: bool(submitted(c)), PATIENCE_SECONDS)
        kill(server)
    with impatient_server(home, tmp_path / "dags") as server:
        wait_until(lambda: server.tasks("queued", run)[0]["state"] == "deferred", PATIENCE_SECONDS)
        wait_until(lambda: "waits in queue team" in told_by_triggerer(home), PATIENCE_SECONDS)
        c.admit_queue("team")
        wait_until(lambda: server.tasks("queued", run)[0]["state"] == "success", PATIENCE_SECONDS)
    assert len(submitted(c)) == 1
    (user,) = yaml.safe_load(c.kubeconfig.read_text())["users"]
    secrets = [SECRET, *map(str, user["user"].values())]
    for path in (path for path in home.rglob("*") if path.is_file()):
        told = path.read_bytes()
        assert not [one for one in secrets if one.encode() in told], path


def test_a_sweep_and_a_training_give_what_they_give_here_whatever_is_killed(
    c: Cluster, lake: str, tmp_path: Path
) -> None:
    stored, tokens = Lake(lake), f"{lake}/shards"
    files = {
        name: stored.put(f"{name}.jsonl", lines_of({"text": texts(60, seed=seed)}))
        for seed, name in enumerate(("web", "papers"))
    }
    run_alone("tokenize", documents=files, vocabulary=300, validation_share=0.1, output=tokens)
    mixtures = [{"web": share, "papers": 1 - share} for share in (0.2, 0.8)]
    sweep = {"tokens": tokens, "mixtures": mixtures, "training_tokens": 4_096, "group_size": 1}
    sweep["proxy"] = {"model": SHAPE, "device": "cpu", "batch_sequences": 8}
    train = {"tokens": tokens, "mixture": mixtures[0], "training_tokens": 20_480, "model": SHAPE}
    train |= {"batch_sequences": 8, "micro_batch_sequences": 4, "max_epochs": 1_000, "precision": "fp32"}
    train |= {"accelerator": "cpu", "evaluations": 1}
    run_alone("sweep", **sweep, output=f"{lake}/sweep-here")
    run_alone("train", **train, processes_per_node=2, output=f"{lake}/train-here")
    (tmp_path / "dags").mkdir()
    sent = {"sweep": {**sweep, "output": f"{lake}/sweep"}, "train": {**train, "output": f"{lake}/train"}}
    (tmp_path / "dags" / "search.py").write_text(SEARCH.format(**sent))
    with MortalAirflow(lambda: impatient_server(tmp_path / "airflow", tmp_path / "dags")) as airflow:
        run = airflow.server.trigger("search", {})
        wait_until(lambda: len(own(c)) > 0, PATIENCE_SECONDS)
        for part in (ALL, TRIGGERER):
            kill(airflow.server, part)
            airflow.start(part)
        wait_until(
            lambda: {task["state"] for task in airflow.server.tasks("search", run)} == {"success"},
            2 * PATIENCE_SECONDS,
        )
    assert sorted(own(c)) == ["Job", "Job", "JobSet"]
    assert stored.read("sweep/losses.csv") == stored.read("sweep-here/losses.csv")
    here, there = (curve(stored, name) for name in ("train-here", "train"))
    assert there == here
    assert len(here) == 80


def own(c: Cluster) -> list[str]:
    """Kinds of what was submitted, and not made by a controller."""
    there = [*c.api.all("Job"), *c.api.all("JobSet")]
    return [one["kind"] for one in there if not one["metadata"].get("ownerReferences")]


def curve(lake: Lake, name: str) -> list[str]:
    """The loss of each step of a training."""
    rows = csv.DictReader(lake.read(f"{name}/curves.csv").decode().splitlines())
    return [row["loss"] for row in rows]
