"""Stages and parts on a cluster whose pods really run: the results come back through the store."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from builders.cluster import Cluster
from builders.cluster.quick import own_cluster
from builders.cluster.samples import claim
from builders.corpus import corpus_config, write_jsonl
from builders.final_training import in_one_store, losses, prepare, with_training
from mashbill.config import LaunchConfig, PipelineConfig
from mashbill.errors import DataError
from mashbill.launch.told import log_of
from mashbill.stages import STAGES, StageJob, job_of
from mashbill.stages.elsewhere import Elsewhere
from mashbill.stages.following import Seen, run_elsewhere

pytestmark = pytest.mark.slow
IMAGE = "registry.example/mashbill:0.2"
SHARED = "shared"
LONG: dict[str, Any] = {"mixtures": ("chosen",), "tokens": 102_400, "max_epochs": 1_000}
"""A training that is looked at several times before it ends, also on a machine with nothing else to do."""


@pytest.fixture
def c(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A cluster of two machines with a volume claim, whose pods see it where it is."""
    with own_cluster(tmp_path / "cluster", monkeypatch) as here:
        here.create(claim(SHARED))
        lake(here).mkdir(parents=True, exist_ok=True)
        yield here


def lake(c: Cluster) -> Path:
    """The folder that is the volume."""
    return c.folder / "claims" / "default" / SHARED


def launched(c: Cluster, config: PipelineConfig, stage: str, **takes: Any) -> PipelineConfig:
    """The config, with a stage sent to the cluster."""
    volume = {"volumes": [{"claim": SHARED, "path": str(lake(c))}], "grace_seconds": 20}
    where = LaunchConfig.model_validate({"image": IMAGE, "kubernetes": volume, **takes}).model_dump(
        mode="json"
    )
    return PipelineConfig.model_validate(config.model_dump(mode="json") | {"launch": {stage: where}})


def elsewhere(job: StageJob) -> Elsewhere:
    found = Elsewhere.of(job)
    assert found is not None
    return found


def nobody(seen: Seen) -> None:
    """Looks at no job."""


def test_a_stage_runs_in_a_pod_and_its_bad_data_is_one_line_here(c: Cluster) -> None:
    for name in "ab":
        write_jsonl(lake(c) / f"{name}.jsonl", [f"The number {i} in {name}." for i in range(50)])
    config = launched(c, corpus_config(lake(c), {"a": "a.jsonl", "b": "b.jsonl"}), "ingest", backend="job")
    made = run_elsewhere(elsewhere(job_of(STAGES["ingest"], config, {})), nobody)
    assert made.manifest.counts["documents_out"] == 100
    (lake(c) / "b.jsonl").write_text("no JSON\n" * 30)
    with pytest.raises(DataError, match=r"domain b: .*malformed_json"):
        run_elsewhere(elsewhere(job_of(STAGES["ingest"], config, {})), nobody)


def test_a_job_set_of_two_nodes_trains_what_two_processes_train(c: Cluster, tmp_path: Path) -> None:
    inputs = prepare(lake(c))
    plain = with_training(lake(c), tmp_path / "plain", processes_per_node=2, **LONG)
    config = with_training(lake(c), lake(c) / "store", processes_per_node=1, nodes=2, **LONG)
    given = in_one_store(config, inputs)
    takes = {"backend": "jobset", "nodes": 2, "processes": 1}
    job = StageJob(STAGES["train"], launched(c, config, "train", **takes), given)
    found: list[Seen] = []
    made = run_elsewhere(elsewhere(job), found.append)
    assert losses(made) == losses(StageJob(STAGES["train"], plain, inputs).run())
    assert re.search(r"step \d+ of \d+, loss \d", "".join(seen.words for seen in found))
    assert all(log_of(found[-1].submitted.attempt, node) for node in range(2))


def test_a_train_job_shows_how_far_its_stage_is(c: Cluster) -> None:
    for name in "ab":
        write_jsonl(lake(c) / f"{name}.jsonl", [f"The number {i} in {name}." for i in range(50)])
    plain = corpus_config(lake(c), {"a": "a.jsonl", "b": "b.jsonl"})
    config = launched(c, plain, "ingest", backend="trainjob")
    found: list[Seen] = []
    run_elsewhere(elsewhere(job_of(STAGES["ingest"], config, {})), found.append)
    assert any("100%, 0 s left" in seen.state.message for seen in found), [seen.words for seen in found]
    (made,) = c.api.all("TrainJob")
    assert made["status"]["trainerStatus"]["progressPercentage"] == 100


def test_a_train_job_shows_how_far_its_training_is(c: Cluster) -> None:
    inputs = prepare(lake(c))
    config = with_training(lake(c), lake(c) / "store", processes_per_node=1, nodes=2, **LONG)
    given = in_one_store(config, inputs)
    takes = {"backend": "trainjob", "nodes": 2, "processes": 1}
    job = StageJob(STAGES["train"], launched(c, config, "train", **takes), given)
    found: list[Seen] = []
    run_elsewhere(elsewhere(job), found.append)
    told = [seen.state.message for seen in found]
    assert any(re.search(r"100%, .* left, step \d+, .*loss \d", message) for message in told), told
    (made,) = c.api.all("TrainJob")
    status = made["status"]["trainerStatus"]
    assert status["progressPercentage"] == 100
    assert {one["name"] for one in status["metrics"]} == {"step", "tokens", "loss", "tokens_per_second"}


def test_a_training_that_loses_a_pod_is_started_again_and_goes_on(c: Cluster, tmp_path: Path) -> None:
    inputs = prepare(lake(c))
    plain = with_training(lake(c), tmp_path / "plain", processes_per_node=2, **LONG)
    config = with_training(lake(c), lake(c) / "store", processes_per_node=1, nodes=2, **LONG)
    given = in_one_store(config, inputs)
    takes = {"backend": "jobset", "nodes": 2, "processes": 1}
    job = StageJob(STAGES["train"], launched(c, config, "train", **takes), given)
    killed: list[str] = []
    words: list[str] = []

    def kill_one(seen: Seen) -> None:
        words.append(seen.words)
        step = re.search(r"step (\d+) of", seen.words)
        if step is not None and int(step[1]) > 10 and not killed:
            killed.append(c.pods(seen.submitted.handle.name)[-1]["metadata"]["name"])
            c.kill(killed[0])

    made = run_elsewhere(elsewhere(job), kill_one)
    assert killed
    assert any("restart" in told for told in words), words
    assert losses(made) == losses(StageJob(STAGES["train"], plain, inputs).run())
    assert len(list((lake(c) / "store" / "jobs").glob("train/*/chosen/*"))) == 1
