"""A result that two runs make at the same time: its stage, what happens in the middle of a run, the configs
of both, and what the artifact root holds afterwards."""

from collections.abc import Callable, Mapping
from pathlib import Path

import boto3
import numpy as np

from builders.corpus import corpus_config, write_jsonl
from mashbill.artifacts import Artifact, Counts, StageRun, open_store
from mashbill.artifacts.manifest import Manifest
from mashbill.config import PipelineConfig
from mashbill.partitions import Exchange
from mashbill.stages.stage import Stage

KINDS = ("s3", "s3 and one scratch", "disk")
"""Runs on two machines, on one, and on one without a bucket."""
OUTPUTS = {"data.txt": "a text", "late.txt": "another"}
MAKE = "builders.overtaken:make"
WHOLE = Stage("made", "A result.", ("engine",), (), run=MAKE)
IN_PARTS = Stage("made", "One in parts.", ("engine",), (), MAKE, "builders.overtaken:names", MAKE)
Between = Callable[[StageRun], None]
between: list[Between] = []
"""What happens in the middle of the runs that begin next."""


def make(run: StageRun) -> Counts:
    """A body that another run may overtake in its middle."""
    (run.shared.workspace() / "passing").write_text("for all tasks")
    run.shared.put(run.shared.workspace() / "passing", "begun/one")
    Exchange(run.shared, "rows", 1).put("one", np.zeros(3, np.int64), number=np.arange(3))
    with run.files.writing("data.txt") as path:
        path.write_text("data")
    if between:
        between.pop()(run)
    with run.files.writing("late.txt") as path:
        path.write_text("late")
    (run.output / "plain.txt").write_text("plain")
    return {"documents_out": 1}


def names(_: PipelineConfig, __: Mapping[str, Artifact]) -> list[str]:
    """Parts of the result that has some."""
    return ["one", "two"]


def two_configs(kind: str, folder: Path, root: str) -> tuple[PipelineConfig, PipelineConfig]:
    """Two runs' configs, of one artifact root.

    Args:
        kind: one of ``KINDS``.
        folder: for sources and scratch.
        root: address in a bucket, where the kind wants one.
    """
    for name in "ab":
        write_jsonl(folder / f"{name}.jsonl", ["text"])
    given = corpus_config(folder, {"a": "a.jsonl", "b": "b.jsonl"})
    where = str(folder / "artifacts") if kind == "disk" else root
    engine = given.engine.model_copy(update={"runner": "native" if kind == "disk" else "ray"})
    scratch = [folder / ("scratch" if kind != "s3" else f"scratch-{letter}") for letter in "ab"]
    first, second = (
        given.model_copy(update={"artifacts": where, "scratch": str(place), "engine": engine})
        for place in scratch
    )
    return first, second


def stored(config: PipelineConfig) -> set[str]:
    """All that the artifact root holds, and what runs left in its workspace."""
    storage = open_store(config).storage
    work, root = storage.workspace(), Path(storage.root)
    left = {str(path.relative_to(work)) for path in work.rglob("*") if path.is_file()}
    if root.is_dir():
        files = (str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
        return {name for name in files if not name.startswith(".work/")} | left
    return {*storage.keys("")} | left


def expected_of(made: Artifact) -> set[str]:
    """What belongs to a result."""
    names = [name for name in made.names() if name != "manifest.json"]
    within = f"{made.key}/{made.manifest.attempt}" if made.manifest.attempt else made.key
    return {f"{made.key}/manifest.json", *(f"{within}/{name}" for name in names)}


def strangers(root: str) -> set[str]:
    """Objects under a root that no manifest there names."""
    bucket, _, prefix = root.removeprefix("s3://").partition("/")
    client = boto3.client("s3")
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    keys = {entry["Key"] for page in pages for entry in page.get("Contents", ())}
    named = set()
    for key in [key for key in keys if key.endswith("/manifest.json")]:
        text = client.get_object(Bucket=bucket, Key=key)["Body"].read()
        manifest = Manifest.model_validate_json(text)
        folder = f"{key.removesuffix('/manifest.json')}/{manifest.attempt}"
        named |= {key, *(f"{folder}/{file.path}" for file in manifest.files)}
    return keys - named
