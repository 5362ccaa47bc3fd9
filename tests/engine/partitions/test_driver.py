"""No row of a partition passes through the driver: of what it opens none holds documents, scores, or what is
made of a partition.

On threads the driver is the main one, and whatever runs beside it would be a task on a cluster; on a cluster
the driver is a process of its own.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from pydoc_data import topics

import numpy as np
import pytest

from builders.checkout import TESTS
from builders.corpus import corpus_config, run_stage, run_stages
from builders.watched import watched_run
from mashbill.artifacts import Artifact
from mashbill.config import PipelineConfig

CONFIG = """partition_bytes = 100_000
max_rejected_share = 0.3
evaluations = [{ name = "quiz", sources = [{ path = "quiz.jsonl", id_field = "id" }] }]
[filters]
apply = ["url", "decontamination", "gopher_repetition"]
[filters.url]
blocklist = "sites.txt"
[deduplication]
lines = "line"
[bootstrap]
models = 0
[quality]
sample_documents = 200
dimension = 4
buckets = 1_000
CLASSIFIER
[selection]
keep_share = 0.7
[tokens]
vocabulary = 500
training_bytes = 30_000
validation_share = 0.1
max_validation_bytes = 20_000
"""
CONTRAST = 'positives = ["a", "r"]'
ENSEMBLE = 'classifier = "one.bin"\nensemble = ["two.bin"]'
SETS = {"a": 1_200, "b": 1_200, "r": 100, "quiz": 60}
STAGES = {
    "filter": set[str](),
    "deduplicate": set[str](),
    "score": set[str](),
    "select": set[str](),
    "tokenize": {"tokenizer.json"},
}
"""Stages, each with what its driver opens."""
ON_RAY = """
import json, sys
from pathlib import Path
from ray.cluster_utils import Cluster
from builders.watched import watched_run
from mashbill.artifacts import open_store
from mashbill.config import load_config
folder, runs = Path(sys.argv[1]), json.loads(sys.argv[2])
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
engine = {"engine.runner": "ray", "engine.ray_address": cluster.address}
for place, (config, stage, inputs) in enumerate(runs):
    config = load_config(config, engine)
    store = open_store(config)
    found = watched_run(config, stage, {n: store.open(a) for n, a in inputs.items()}, folder / str(place))
    files = {file.path: file.sha256 for file in found.files}
    print("RESULT", json.dumps([files, sorted(found.driver), sorted(found.tasks)]))
"""
Curated = tuple[Path, dict[str, Artifact]]


def write_sources(folder: Path) -> None:
    """Paragraphs of Python's documentation; the second domain's have addresses."""
    paragraphs = [p for text in topics.topics.values() for p in text.split("\n\n")]
    order = iter(np.random.default_rng(0).permutation(len(paragraphs)))
    for name, count in SETS.items():
        rows = [{"id": f"{name}{i}", "text": paragraphs[next(order)]} for i in range(count)]
        if name == "b":
            rows = [{**row, "url": f"https://s{i % 7}.example/{i}"} for i, row in enumerate(rows)]
        lines = [json.dumps(row) + "\n{broken\n" * (i % 90 == 5) for i, row in enumerate(rows)]
        (folder / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (folder / "sites.txt").write_text("s3.example\n", encoding="utf-8")


def configured(folder: Path, classifier: str = CONTRAST) -> PipelineConfig:
    sources = {"a": 'a.jsonl, id_field = "id"', "b": 'b.jsonl, id_field = "id", metadata_fields = ["url"]'}
    extra = CONFIG.replace("CLASSIFIER", classifier)
    return corpus_config(folder, sources, {"r": 'r.jsonl, id_field = "id"'}, extra)


@pytest.fixture(scope="module")
def curated(tmp_path_factory: pytest.TempPathFactory) -> Curated:
    folder = tmp_path_factory.mktemp("curated")
    write_sources(folder)
    done = run_stages(configured(folder), "tokenize")
    for name in ("one", "two"):
        (folder / f"{name}.bin").write_bytes(done["score"].file("classifier.bin").read_bytes())
    return folder, done


def files(artifact: Artifact) -> Mapping[str, str]:
    return {file.path: file.sha256 for file in artifact.manifest.files if file.path != "statistics.parquet"}


@pytest.mark.parametrize("stage", STAGES)
def test_the_driver_of_a_stage_opens_no_partition(curated: Curated, tmp_path: Path, stage: str) -> None:
    folder, done = curated
    found = watched_run(configured(folder), stage, done, tmp_path)
    joined = {"links-1/00000.rows"} if stage == "deduplicate" else set()  # they fit this machine's memory
    assert found.driver == STAGES[stage] | joined
    assert sum("/part-" in key for key in found.tasks) >= 4, "tasks read the partitions"
    assert {file.path: file.sha256 for file in found.files} == files(done[stage])


def test_the_driver_of_several_classifiers_opens_no_scores(curated: Curated, tmp_path: Path) -> None:
    folder, done = curated
    config = configured(folder, ENSEMBLE)
    found = watched_run(config, "score", done, tmp_path)
    assert found.driver == set()
    assert {file.path: file.sha256 for file in found.files} == files(run_stage(config, "score", done))
    again = watched_run(config, "score", done, tmp_path)
    assert again.files == found.files
    assert not any("/documents/" in key for key in again.tasks), "what was scored before a kill is taken up"


@pytest.mark.slow
def test_on_a_cluster_the_driver_opens_no_partition(curated: Curated, tmp_path: Path) -> None:
    folder, done = curated
    inputs = {name: artifact.address for name, artifact in done.items()}
    runs, expected = [], []
    for classifier, stages in ((CONTRAST, STAGES), (ENSEMBLE, ["score"])):
        config = configured(folder, classifier)
        path = folder / f"{len(runs)}.toml"
        path.write_text((folder / "config.toml").read_text(encoding="utf-8"), encoding="utf-8")
        for stage in stages:
            runs.append((str(path), stage, inputs))
            expected.append((stage, files(run_stage(config, stage, done))))
    environment = {**os.environ, "PYTHONPATH": f"{TESTS}:{os.environ.get('PYTHONPATH', '')}"}
    environment |= {"RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0", "RAY_DISABLE_IMPORT_WARNING": "1"}
    command = [sys.executable, "-c", ON_RAY, str(tmp_path), json.dumps(runs)]
    result = subprocess.run(
        command, capture_output=True, text=True, env=environment, check=False, timeout=400
    )
    assert result.returncode == 0, result.stderr[-3_000:]
    lines = [line for line in result.stdout.splitlines() if line.startswith("RESULT")]
    for line, (stage, made) in zip(lines, expected, strict=True):
        found, driver, tasks = json.loads(line.removeprefix("RESULT"))
        assert found == made, stage
        assert set(driver) == STAGES[stage], stage
        assert sum("/part-" in key for key in tasks) >= 4, stage
