"""The same config gives the same artifacts on this machine's cores and on a Ray cluster of two workers."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from builders.checkout import TESTS
from builders.corpus import corpus_config, run_stages, write_jsonl
from mashbill.artifacts import Artifact

SCRIPT = """
import json, sys
import ray
from ray.cluster_utils import Cluster
sys.path.insert(0, sys.argv[1])
from builders.corpus import run_stages
from mashbill.config import load_config
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
cluster.add_node(num_cpus=1)
overrides = {"engine.runner": "ray", "engine.ray_address": cluster.address, "artifacts": sys.argv[3]}
done = run_stages(load_config(sys.argv[2], overrides), "tokenize")
nodes = len([n for n in ray.nodes() if n["Alive"]])
made = {name: [a.fingerprint, [f.model_dump() for f in a.manifest.files]] for name, a in done.items()}
print("RESULT", json.dumps([nodes, made]))
"""
CONFIG = """partition_bytes = 100_000
[filters]
apply = ["length", "gopher_repetition", "personal_data"]
[filters.length]
min_characters = 50
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


def described(done: dict[str, Artifact]) -> dict[str, list[object]]:
    return {name: [a.fingerprint, [f.model_dump() for f in a.manifest.files]] for name, a in done.items()}


@pytest.mark.slow
def test_native_and_ray_give_equal_artifacts_run_after_run(tmp_path: Path) -> None:
    from pydoc_data import topics

    paragraphs = [p for text in topics.topics.values() for p in text.split("\n\n")]
    order = np.random.default_rng(0).permutation(len(paragraphs))
    for name, rows in (("a", order[:1_200]), ("b", order[1_000:2_200]), ("reference", order[2_200:2_300])):
        write_jsonl(tmp_path / f"{name}.jsonl", (paragraphs[i] for i in rows))
    sources = {name: f'{name}.jsonl, id_field = "id"' for name in ("a", "b")}
    config = corpus_config(tmp_path, sources, {"reference": "reference.jsonl"}, CONFIG)
    native = json.loads(json.dumps(described(run_stages(config, "tokenize"))))
    for attempt in range(2):
        command = [
            sys.executable,
            "-c",
            SCRIPT,
            str(TESTS),
            str(tmp_path / "config.toml"),
            str(tmp_path / f"ray{attempt}"),
        ]
        environment = {**os.environ, "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0", "RAY_DISABLE_IMPORT_WARNING": "1"}
        result = subprocess.run(
            command, capture_output=True, text=True, env=environment, check=False, timeout=300
        )
        assert result.returncode == 0, result.stderr[-3_000:]
        line = next(line for line in result.stdout.splitlines() if line.startswith("RESULT"))
        nodes, found = json.loads(line.removeprefix("RESULT"))
        assert nodes == 2
        assert found == native
