"""Who runs a stage on a cluster reads manifests and figures of the store, and nothing of a partition."""

import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest

from builders.checkout import TESTS
from builders.corpus import corpus_config, write_jsonl
from builders.given_settings import classifiers

PARTS = re.compile(r"/part-|\.(rows|npy|parquet/)")
WORDS = [f"{a}{b}{c}" for a in "bdfgklm" for b in "aeiou" for c in "nrstl"]
CONFIG = """partition_bytes = 100_000
[filters]
apply = ["length", "gopher_repetition", "personal_data"]
[filters.length]
min_characters = 50
[deduplication]
lines = "line"
[quality]
classifier = "one.bin"
[selection]
keep_share = 0.7
bins = 2
"""
SCRIPT = """
import json, os, sys
from collections import Counter, defaultdict
import boto3
from ray.cluster_utils import Cluster
from mashbill.config import load_config
from mashbill.stages import job_of, stages_up_to
config, artifacts, scratch = sys.argv[1:]
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
os.environ["MASHBILL_SCRATCH"] = scratch  # not the one of those who work
boto3.setup_default_session()
events, moved, stage = boto3.DEFAULT_SESSION.events, defaultdict(Counter), [""]
def has_read(http_response, parsed, **_):
    moved[stage[0]]["read " + http_response.url] += parsed.get("ContentLength", 0)
def is_told(http_response, **_):
    moved[stage[0]]["listed"] += len(http_response.content)
def writes(params, **_):
    moved[stage[0]]["written " + params["url_path"]] += int(params["headers"].get("Content-Length", 0))
for operation, seen in (("GetObject", has_read), ("ListObjectsV2", is_told)):
    events.register("after-call.s3." + operation, seen)
for operation in ("PutObject", "UploadPart"):
    events.register("before-call.s3." + operation, writes)
overrides = {"engine.runner": "ray", "engine.ray_address": cluster.address, "artifacts": artifacts}
given, done = load_config(config, overrides), {}
for one in stages_up_to("select"):
    stage[0] = one.name
    done[one.name] = job_of(one, given, done).run()
made = {name: json.loads(artifact.manifest.model_dump_json()) for name, artifact in done.items()}
print("RESULT", json.dumps([moved, made]))
"""


@pytest.mark.slow
def test_who_runs_a_stage_reads_manifests_alone_and_writes_no_rows(root: str, tmp_path: Path) -> None:
    moved, made = run_on_a_cluster(tmp_path, root)
    text = sum(path.stat().st_size for path in tmp_path.glob("*.jsonl"))
    for stage, manifest in made.items():
        size = len(json.dumps(manifest))
        read = {key: count for key, count in moved[stage].items() if key.startswith("read ")}
        written = {key: count for key, count in moved[stage].items() if key.startswith("written ")}
        assert {Path(urlsplit(key).path).name for key in read} <= {"manifest.json", "turn"}, stage
        assert sum(read.values()) <= 5 * size, stage
        assert moved[stage]["listed"] <= 10 * size, stage
        assert not [key for key in written if PARTS.search(key)], stage
    assert sum(manifest["counts"].get("bytes_out", 0) for manifest in made.values()) > 2 * text
    assert not [path for path in (tmp_path / "mine").rglob("*") if PARTS.search(str(path))]


def run_on_a_cluster(folder: Path, root: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Bytes that who runs the stages reads and writes by object, in each stage, and is told by lists; and the
    manifests."""
    bucket = root.removeprefix("s3://").split("/")[0]
    for name in "ab":
        dice = random.Random(name)
        texts = [" ".join(dice.choices(WORDS, k=80)) for _ in range(1_000)]
        write_jsonl(folder / f"{name}.jsonl", texts)
        boto3.client("s3").upload_file(str(folder / f"{name}.jsonl"), bucket, f"raw/{name}.jsonl")
    classifiers(folder)
    sources = {name: f"s3://{bucket}/raw/{name}.jsonl" for name in "ab"}
    corpus_config(folder, sources, extra=CONFIG)
    command = [sys.executable, "-c", SCRIPT, str(folder / "config.toml"), root, str(folder / "mine")]
    paths = {"PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])}
    quiet = {"RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0", "RAY_DISABLE_IMPORT_WARNING": "1"}
    environment = {**os.environ, **paths, **quiet, "MASHBILL_SCRATCH": str(folder / "theirs")}
    result = subprocess.run(
        command, capture_output=True, text=True, env=environment, check=False, timeout=300
    )
    assert result.returncode == 0, result.stderr[-3_000:]
    line = next(line for line in result.stdout.splitlines() if line.startswith("RESULT"))
    moved, made = json.loads(line.removeprefix("RESULT"))
    return moved, made
