"""A training that its config sends to Kubernetes: two pods of a JobSet meet, one is killed, the JobSet begins
anew by its failure policy, and the losses are those of a training that nothing disturbed."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from builders.cluster import Cluster, Machine, cluster, unsharing
from builders.cluster.samples import secret
from builders.final_training import losses, prepare, with_training
from mashbill.artifacts import Artifact, open_store
from mashbill.artifacts.manifest import MANIFEST
from mashbill.config import LaunchConfig, PipelineConfig
from mashbill.stages import STAGES, StageJob
from mashbill.stages.elsewhere import Elsewhere
from mashbill.stages.following import Seen, run_elsewhere

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not unsharing(), reason="pods need namespaces of their own here"),
]
STEPS, BATCH, SAVED_EVERY = 60, 8 * 64, 5
S3 = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION")


@pytest.fixture
def c(root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """Two nodes, and a secret by which pods reach the bucket."""
    del root
    with cluster(tmp_path / "cluster", (Machine("node-a"), Machine("node-b"))) as here:
        monkeypatch.setenv("KUBECONFIG", str(here.kubeconfig))
        monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
        here.create(secret("lake", **{name: os.environ[name] for name in S3}))
        yield here


def in_the_bucket(config: PipelineConfig, inputs: dict[str, Artifact]) -> dict[str, Artifact]:
    """The inputs as artifacts of a store in a bucket."""
    store = open_store(config)
    bucket, _, prefix = config.artifacts.removeprefix("s3://").partition("/")
    client, found = boto3.client("s3"), {}
    for name, artifact in inputs.items():
        key = store.key(name, artifact.fingerprint)
        folder = artifact.storage.place(artifact.key)
        for file in (path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST):
            client.upload_file(str(file), bucket, f"{prefix}/{key}/{file.relative_to(folder)}")
        body = artifact.manifest.as_text().encode()
        client.put_object(Bucket=bucket, Key=f"{prefix}/{key}/{MANIFEST}", Body=body)
        found[name] = store.open(f"{config.artifacts}/{key}")
    return found


def curve(artifact: Artifact) -> list[float]:
    """The loss of each step."""
    rows = artifact.file("curves.csv").read_text().splitlines()[1:]
    return [float(row.split(",")[3]) for row in rows]


def test_a_jobset_that_loses_a_pod_trains_what_one_machine_does(
    c: Cluster, root: str, tmp_path: Path
) -> None:
    inputs = prepare(tmp_path)
    settings = {"tokens": STEPS * BATCH, "checkpoint_steps": SAVED_EVERY, "max_epochs": 1_000}
    here = with_training(tmp_path, tmp_path / "alone", processes_per_node=2, **settings)
    alone = losses(StageJob(STAGES["train"], here, inputs).run())
    takes = LaunchConfig.model_validate(
        {
            "backend": "jobset",
            "image": "registry.example/mashbill-gpu:0.2",
            "nodes": 2,
            "kubernetes": {"environment_from": ["lake"], "grace_seconds": 5},
        }
    )
    config = with_training(tmp_path, Path(root), processes_per_node=1, **settings)
    config = config.model_copy(update={"artifacts": root}).sent("train", takes)
    elsewhere = Elsewhere.of(StageJob(STAGES["train"], config, in_the_bucket(config, inputs)))
    assert elsewhere is not None
    seen: list[str] = []

    def tell(now: Seen) -> None:
        step = re.search(r"step (\d+)", now.words)
        if not seen and step and int(step[1]) > 2 * SAVED_EVERY:
            seen.append(now.words)
            first, second = sorted(pod["metadata"]["name"] for pod in c.pods(now.submitted.handle.name))
            c.kill(second)
            assert first != second

    made = run_elsewhere(elsewhere, tell)
    assert seen
    assert curve(made) == pytest.approx(alone, abs=1e-5)
    assert len(alone) == STEPS
