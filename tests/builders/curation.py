"""A small corpus with every kind of curation, to be run here or on a cluster, and what its artifacts hold.

python -m builders.curation write FOLDER [BUCKET]
python -m builders.curation run FOLDER ARTIFACTS [RAY_ADDRESS]
"""

import itertools
import json
import sys
from pathlib import Path
from pydoc_data import topics

import boto3
import numpy as np

from builders.corpus import corpus_config, run_stages, write_jsonl
from mashbill.artifacts import Artifact
from mashbill.config import load_config

CONFIG = """partition_bytes = 100_000
[filters]
apply = ["length", "gopher_repetition", "personal_data"]
[filters.length]
min_characters = 50
[deduplication]
lines = "line"
[quality]
positives = ["reference"]
sample_documents = 100
dimension = 8
buckets = 1_000
[bootstrap]
models = 0
[selection]
keep_share = 0.7
bins = 2
[tokens]
vocabulary = 400
training_bytes = 100_000
validation_share = 0.1
max_validation_bytes = 20_000
"""
LAST = "tokenize"


def write(folder: Path, bucket: str | None = None) -> None:
    """The sources and the config: paragraphs of Python's documentation, some in both domains.

    Args:
        folder: where they are written.
        bucket: where the second domain goes, in several objects; None means the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paragraphs = [p for text in topics.topics.values() for p in text.split("\n\n")]
    order = np.random.default_rng(0).permutation(len(paragraphs))
    for name, rows in (("a", order[:1_200]), ("b", order[1_000:2_200]), ("reference", order[2_200:2_300])):
        write_jsonl(folder / f"{name}.jsonl", (paragraphs[i] for i in rows))
    sources = {name: f'{name}.jsonl, id_field = "id"' for name in ("a", "b")}
    if bucket is not None:
        sources["b"] = f's3://{bucket}/raw, id_field = "id"'
        put_in_objects(folder / "b.jsonl", bucket)
    corpus_config(folder, sources, {"reference": "reference.jsonl"}, CONFIG)


def put_in_objects(path: Path, bucket: str) -> None:
    """Put a file of lines in a bucket: most of it in small objects, and a large one."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    bounds = [0, *range(100, 700, 100), len(lines)]
    for i, (first, last) in enumerate(itertools.pairwise(bounds)):
        body = "".join(lines[first:last]).encode()
        boto3.client("s3").put_object(Bucket=bucket, Key=f"raw/{i}.jsonl", Body=body)


def contents(done: dict[str, Artifact]) -> dict[str, list[list[object]]]:
    """Each artifact's files, by stage: name, bytes, checksum and rows."""
    return {
        stage: [[f.path, f.bytes, f.sha256, f.rows] for f in artifact.manifest.files]
        for stage, artifact in done.items()
    }


def run(folder: Path, artifacts: str, address: str | None = None) -> dict[str, list[list[object]]]:
    """What curation makes of the corpus, here or on a cluster."""
    overrides = {"artifacts": artifacts}
    if address is not None:
        overrides |= {"engine.runner": "ray", "engine.ray_address": address}
    return contents(run_stages(load_config(folder / "config.toml", overrides), LAST))


def main() -> None:
    """Write the corpus, or run it and print what its artifacts hold."""
    command, folder, *rest = sys.argv[1:]
    if command == "write":
        write(Path(folder), *rest)
    else:
        print(json.dumps(run(Path(folder), *rest)))


if __name__ == "__main__":
    main()
