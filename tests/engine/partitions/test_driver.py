"""No row of a partition passes through the driver: of what it opens none holds documents, scores, or what is
made of a partition.

On threads the driver is the main one, and whatever runs beside it would be a task on a cluster.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from pydoc_data import topics

import numpy as np
import pytest

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


@pytest.mark.parametrize(
    ("stage", "own"),
    [
        ("filter", set()),
        ("deduplicate", {"links-1/00000.rows"}),  # as on one machine, where they fit its memory
        ("score", set()),
        ("select", set()),
        ("tokenize", {"tokenizer.json"}),
    ],
)
def test_the_driver_of_a_stage_opens_no_partition(
    curated: Curated, tmp_path: Path, stage: str, own: set[str]
) -> None:
    folder, done = curated
    found = watched_run(configured(folder), stage, done, tmp_path)
    assert found.driver == own
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
