"""Small corpora on disk, their config, and running stages on them as the shell does."""

import json
import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from mashbill.artifacts import Artifact
from mashbill.artifacts.manifest import Manifest, describe_files
from mashbill.config import PipelineConfig, load_config
from mashbill.documents import (
    DOCUMENTS,
    EVALUATIONS,
    REFERENCES,
    REJECTED,
    REMOVED,
    DocumentStore,
    Kind,
)
from mashbill.stages import StageJob, job_of, stages_up_to
from mashbill.storage import open_storage

TINY_MODEL = "model = { layers = 1, width = 32, heads = 2, kv_heads = 2, feed_forward = 64, context = 32 }"
SMALL_FAMILY = f"""[tokens]
vocabulary = 400
training_bytes = 100_000
max_validation_bytes = 4_000
validation_share = 0.1
[proxy]
{TINY_MODEL}
batch_sequences = 8
"""
"""Proxies of a tiny model, which tell documents of quality apart."""
SMALL_SWEEP = """
[tokens]
vocabulary = 300
[proxy]
model = { layers = 1, width = 16, heads = 2, kv_heads = 2, feed_forward = 32, context = 32 }
[plan]
mixtures = 6
max_epochs = 1000
"""
"""Six proxies of a model as small as can be; what follows goes on with the plan."""


def write_jsonl(path: Path, texts: Iterable[str]) -> None:
    """One document a line; ids are its place."""
    path.write_text(
        "".join(json.dumps({"id": f"{path.stem}-{i}", "text": text}) + "\n" for i, text in enumerate(texts))
    )


def corpus_config(
    folder: Path, domains: Mapping[str, str], references: Mapping[str, str] | None = None, extra: str = ""
) -> PipelineConfig:
    """A config whose domains and references have one source each.

    Args:
        folder: where the config is written, and its root.
        domains: path of each domain's source, with further fields in TOML after a comma.
        references: the same for references.
        extra: more TOML.
    """

    def table(sets: Mapping[str, str]) -> str:
        rows = []
        for name, source in sets.items():
            path, *fields = source.split(", ", 1)
            more = f", {fields[0]}" if fields else ""
            rows.append(f'{{ name = "{name}", sources = [{{ path = "{path}"{more} }}] }}')
        return "[" + ", ".join(rows) + "]"

    text = (
        f'artifacts = "artifacts"\n[corpus]\ndomains = {table(domains)}\nreferences = '
        f"{table(references or {})}\n{extra}"
    )
    (folder / "config.toml").write_text(text)
    return load_config(folder / "config.toml")


def run_stages(config: PipelineConfig, last: str) -> dict[str, Artifact]:
    """A stage with everything it needs, parts one after the other."""
    done: dict[str, Artifact] = {}
    for stage in stages_up_to(last):
        done[stage.name] = job_of(stage, config, done).run()
    return done


def run_stage(config: PipelineConfig, name: str, inputs: Mapping[str, Artifact]) -> Artifact:
    """One stage on inputs that are there."""
    return stage_job(config, name, inputs).run()


def stage_job(config: PipelineConfig, name: str, inputs: Mapping[str, Artifact]) -> StageJob:
    """The job of one stage on inputs that are there."""
    stage = next(stage for stage in stages_up_to(name) if stage.name == name)
    return StageJob(stage, config, dict(inputs))


def documents(artifact: Artifact, domain: str, kind: str = "documents") -> list[dict[str, Any]]:
    """Documents of a domain, in order."""
    kinds = {kind.name: kind for kind in (DOCUMENTS, REFERENCES, EVALUATIONS)}
    rows: list[dict[str, Any]] = DocumentStore.of(artifact).read(domain, kind=kinds[kind]).to_pylist()
    return rows


def removals(artifact: Artifact) -> list[dict[str, Any]]:
    """What a stage removed, domain by domain."""
    return _of_all_sets(artifact, REMOVED)


def rejections(artifact: Artifact) -> list[dict[str, Any]]:
    """What was rejected at ingest, set by set."""
    return _of_all_sets(artifact, REJECTED)


def _of_all_sets(artifact: Artifact, kind: Kind) -> list[dict[str, Any]]:
    store = DocumentStore.of(artifact)
    rows: list[dict[str, Any]] = store.read(*store.sets(kind), kind=kind).to_pylist()
    return rows


def table(artifact: Artifact, name: str) -> list[dict[str, Any]]:
    """Rows of a parquet file of an artifact."""
    rows: list[dict[str, Any]] = pq.read_table(artifact.path / name).to_pylist()
    return rows


def folder_as_artifact(stage: str, path: Path) -> Artifact:
    """A folder with a stage's files, as that stage's artifact."""
    manifest = Manifest(
        stage=stage,
        part=None,
        fingerprint=stage.ljust(64, "0"),
        version=1,
        settings={},
        inputs={},
        counts={},
        files=describe_files(path),
        started="2026-01-01T00:00:00+00:00",
        seconds=0.0,
        mashbill="0",
    )
    return Artifact(open_storage(str(path.parent), path), path.name, manifest)


def easy_and_hard(
    folder: Path, extra: str, *, documents: int = 40, then: Iterable[str] = ()
) -> tuple[PipelineConfig, dict[str, Artifact]]:
    """Two domains, a sentence over and over and words in a random order, deduplicated exactly and tokenized;
    then the stages that are named."""
    generator, words = (
        random.Random(0),
        [f"{a}{b}" for a in "bcdfgklm" for b in ("an", "el", "or", "ut", "im")],
    )
    write_jsonl(
        folder / "easy.jsonl", [f"number {i}: " + "the cat sat on the mat. " * 30 for i in range(documents)]
    )
    write_jsonl(folder / "hard.jsonl", [" ".join(generator.choices(words, k=200)) for _ in range(documents)])
    config = corpus_config(
        folder, {"easy": "easy.jsonl", "hard": "hard.jsonl"}, extra=f"[deduplication]\nnear = false\n{extra}"
    )
    done = run_stages(config, "deduplicate")
    done["select"] = done["deduplicate"]  # the same layout
    for stage in ("tokenize", *then):
        done[stage] = run_stage(config, stage, done)
    return config, done
