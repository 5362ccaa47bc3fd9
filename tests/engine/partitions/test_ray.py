"""The same config gives the same artifacts on this machine's cores and on a Ray cluster of two workers."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from builders import curation
from builders.checkout import TESTS
from builders.corpus import run_stages
from mashbill.artifacts import Artifact
from mashbill.config import load_config

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


def described(done: dict[str, Artifact]) -> dict[str, list[object]]:
    return {name: [a.fingerprint, [f.model_dump() for f in a.manifest.files]] for name, a in done.items()}


@pytest.mark.slow
def test_native_and_ray_give_equal_artifacts(tmp_path: Path) -> None:
    curation.write(tmp_path)
    config = load_config(tmp_path / "config.toml")
    native = json.loads(json.dumps(described(run_stages(config, "tokenize"))))
    command = [sys.executable, "-c", SCRIPT, str(TESTS), str(tmp_path / "config.toml"), str(tmp_path / "ray")]
    environment = {**os.environ, "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0", "RAY_DISABLE_IMPORT_WARNING": "1"}
    result = subprocess.run(
        command, capture_output=True, text=True, env=environment, check=False, timeout=300
    )
    assert result.returncode == 0, result.stderr[-3_000:]
    line = next(line for line in result.stdout.splitlines() if line.startswith("RESULT"))
    nodes, found = json.loads(line.removeprefix("RESULT"))
    assert nodes == 2
    assert found == native
