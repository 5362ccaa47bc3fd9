"""Killing the run at random points, again and again, changes nothing about the artifacts it ends with."""

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from builders.corpus import corpus_config, run_stages, write_jsonl
from builders.shell import MASHBILL
from mashbill.config import load_config
from mashbill.stages import finished_stages

CONFIG = """partition_bytes = 100_000
[filters]
apply = ["gopher_repetition"]
[quality]
positives = ["reference"]
sample_documents = 100
dimension = 8
buckets = 1_000
[bootstrap]
models = 0
[tokens]
vocabulary = 400
training_bytes = 100_000
validation_share = 0.1
"""


@pytest.mark.slow
def test_killed_at_random_points_the_artifacts_are_the_same(tmp_path: Path) -> None:
    from pydoc_data import topics

    paragraphs = [p for text in topics.topics.values() for p in text.split("\n\n") if len(p) > 80]
    for name, rows in (
        ("a", paragraphs[:500]),
        ("b", paragraphs[400:900]),
        ("reference", paragraphs[900:960]),
    ):
        write_jsonl(tmp_path / f"{name}.jsonl", rows)
    sources = {name: f'{name}.jsonl, id_field = "id"' for name in ("a", "b")}
    config = corpus_config(tmp_path, sources, {"reference": "reference.jsonl"}, CONFIG)
    expected = run_stages(config, "tokenize")
    command = [*MASHBILL, "run", "tokenize", "--config", str(tmp_path / "config.toml")]
    command += ["--set", f"artifacts={tmp_path / 'killed'}"]
    dice, kills, finished = random.Random(5), 0, False
    while not finished:
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        patience = dice.uniform(0.3, 4.0) if kills < 6 else 200.0
        try:
            finished = process.wait(patience) == 0
            assert finished, process.communicate()[1]
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            kills += 1
        finally:
            assert process.stderr is not None
            process.stderr.close()
        time.sleep(0)
    assert kills
    again = finished_stages(load_config(tmp_path / "config.toml", {"artifacts": str(tmp_path / "killed")}))
    for name, artifact in expected.items():
        assert again[name].manifest.files == artifact.manifest.files, name
        assert again[name].manifest.counts == artifact.manifest.counts
