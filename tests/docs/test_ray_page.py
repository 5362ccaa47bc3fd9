"""The page on Ray: its commands run a stage on a real cluster, and its configs are what it says."""

import os
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders.checkout import DOCS, ROOT
from builders.corpus import corpus_config, run_stages, write_jsonl
from builders.orders import order
from builders.ray_cluster import ray_cluster
from builders.shell import mashbill
from mashbill.artifacts import Artifact, open_store
from mashbill.config import load_config
from mashbill.launch.kubernetes.rayjob import rayjob

PAGE = (DOCS / "how-to" / "ray.md").read_text()
COMMANDS = re.findall(r"^    mashbill (.*)$", PAGE, re.MULTILINE)
RUNNING, MADE = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A cluster whose nodes have mashbill, and its command on their path."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with ray_cluster({"PYTHONPATH": str(ROOT / "operators"), "PATH": path}) as found:
        yield found


def checksums(artifact: Artifact) -> dict[str, str]:
    return {entry.path: entry.sha256 for entry in artifact.manifest.files}


def test_its_commands_run_the_stage_on_the_cluster_with_the_bytes_of_a_local_run(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray.job_submission import JobSubmissionClient
    from ray.util.state import list_tasks

    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    texts = {name: [f"The number {i} in {name}, and {i * i}." for i in range(200)] for name in "abr"}
    for name, words in texts.items():
        write_jsonl(tmp_path / f"{name}.jsonl", words)
    sets, references = {"a": "a.jsonl", "b": "b.jsonl"}, {"r": "r.jsonl"}
    here = run_stages(corpus_config(tmp_path, sets, references), "ingest")["ingest"]

    launch = "[launch" + RUNNING.partition("[launch")[2]
    corpus_config(tmp_path, sets, references, extra=launch.replace("http://10.77.0.1:8265", address))
    config = tmp_path / "config.toml"
    config.write_text(config.read_text().replace('artifacts = "artifacts"', 'artifacts = "elsewhere"'))
    shown: list[str] = []
    for command in COMMANDS:
        name = "".join(re.findall(r"ingest-whole-[0-9a-f]{8}-1", "".join(shown))[:1])
        given = {"my.toml": str(config), "NAME": name}
        ended = mashbill(*(given.get(word, word) for word in shlex.split(command)))
        assert ended.returncode == 0, (command, ended.stdout, ended.stderr)
        shown.append(ended.stdout + ended.stderr)
    checked, _, listed, _ = shown
    assert "launch.ingest: ray will do" in checked
    (job,) = JobSubmissionClient(address).list_jobs()
    assert job.submission_id is not None
    assert job.submission_id in listed
    assert job.status == "SUCCEEDED"
    assert [task for task in list_tasks(address=address) if task.job_id == job.job_id]

    there = open_store(load_config(config)).newest("ingest")
    assert there is not None
    assert checksums(there) == checksums(here)
    assert len(checksums(there)) > 2


def test_its_cluster_made_by_kuberay_is_what_it_says() -> None:
    made = rayjob(order(**tomllib.loads(MADE)["launch"]["dedup"]))["spec"]["rayClusterSpec"]
    (workers,) = made["workerGroupSpecs"]
    assert (workers["replicas"], workers["rayStartParams"]["num-cpus"]) == (8, "16")
    assert made["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
