"""Two runs that make one result at the same time end with one result, and leave nothing of the other."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import boto3
import numpy as np
import pytest

from builders import curation
from builders.checkout import TESTS
from builders.corpus import corpus_config, write_jsonl
from mashbill.artifacts import Artifact, Counts, StageRun, open_store
from mashbill.artifacts.manifest import Manifest
from mashbill.artifacts.sealed import SealedFile
from mashbill.config import PipelineConfig
from mashbill.errors import DataError, RunError
from mashbill.partitions import Exchange
from mashbill.stages.job import StageJob
from mashbill.stages.stage import Stage

OUTPUTS = {"data.txt": "a text", "late.txt": "another"}
WHOLE = Stage("made", "A result.", ("engine",), (), run=f"{__name__}:make")
IN_PARTS = Stage(
    "made", "One in parts.", ("engine",), (), f"{__name__}:make", f"{__name__}:names", f"{__name__}:make"
)
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


@pytest.fixture(params=["s3", "s3 and one scratch", "disk"])
def configs(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[PipelineConfig, PipelineConfig]]:
    """Two runs' configs, of one artifact root."""
    for name in "ab":
        write_jsonl(tmp_path / f"{name}.jsonl", ["text"])
    given = corpus_config(tmp_path, {"a": "a.jsonl", "b": "b.jsonl"})
    where = str(tmp_path / "artifacts") if request.param == "disk" else request.getfixturevalue("root")
    engine = given.engine.model_copy(update={"runner": "native" if request.param == "disk" else "ray"})
    scratch = [tmp_path / ("scratch" if request.param != "s3" else f"scratch-{letter}") for letter in "ab"]
    first, second = (
        given.model_copy(update={"artifacts": where, "scratch": str(folder), "engine": engine})
        for folder in scratch
    )
    yield first, second
    between.clear()


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


def goes_on(_: StageRun) -> None:
    """Notices nothing."""


def misses_an_object(run: StageRun) -> None:
    run.shared.read("begun/one")


def misses_rows(run: StageRun) -> None:
    Exchange(run.shared, "rows", 1).take(0)


def misses_a_file(run: StageRun) -> None:
    run.files.adopt(SealedFile(run.shared, "begun/one", 13, "0" * 64, "here"), "adopted.txt")


def loses_a_task(_: StageRun) -> None:
    from ray.exceptions import RayTaskError

    raise RayTaskError("task", "Traceback: KeyError", KeyError("begun/one"))


def finds_no_folder(run: StageRun) -> None:
    (run.scratch / "deep" / "checkpoint").read_bytes()


@pytest.mark.parametrize(
    "then", [goes_on, misses_an_object, misses_rows, misses_a_file, loses_a_task, finds_no_folder]
)
def test_who_is_overtaken_ends_with_the_others_result_and_leaves_nothing(
    then: Between, configs: tuple[PipelineConfig, PipelineConfig]
) -> None:
    loser, winner = (StageJob(WHOLE, config, {}) for config in configs)
    made: list[Artifact] = []

    def overtaken(run: StageRun) -> None:
        made.append(winner.run())
        then(run)

    between.append(overtaken)
    ended = loser.run()
    assert ended.manifest == made[0].manifest
    assert {name: ended.file(name).read_text() for name in OUTPUTS} == {
        "data.txt": "data",
        "late.txt": "late",
    }
    for config in configs:
        assert stored(config) == expected_of(ended)


@pytest.mark.parametrize("then", [goes_on, misses_an_object])
def test_a_part_that_is_overtaken_is_the_others_part(
    then: Between, configs: tuple[PipelineConfig, PipelineConfig]
) -> None:
    loser, winner = (StageJob(IN_PARTS, config, {}) for config in configs)
    whole: list[Artifact] = []

    def overtaken(run: StageRun) -> None:
        whole.append(winner.run())
        then(run)

    between.append(overtaken)
    part = loser.run_part("one")
    assert loser.run().manifest == whole[0].manifest
    parts = [found for name in names(configs[0], {}) if (found := loser.find_part(name)) is not None]
    assert part.manifest == parts[0].manifest
    assert len(parts) == 2
    assert stored(configs[0]) == set().union(*map(expected_of, [whole[0], *parts]))


def test_a_failure_of_its_own_stays_one(configs: tuple[PipelineConfig, PipelineConfig]) -> None:
    def fails(_: StageRun) -> None:
        raise DataError("here", "is wrong", "mend it")

    between.append(fails)
    with pytest.raises(DataError, match="here: is wrong; mend it"):
        StageJob(WHOLE, configs[0], {}).run()
    assert not [key for key in stored(configs[0]) if "manifest" in key or "data.txt" in key]


def test_a_result_that_misses_files_is_not_named(configs: tuple[PipelineConfig, PipelineConfig]) -> None:
    """Another run swept the files of this one, and what it had made is discarded since."""
    loser, winner = (StageJob(WHOLE, config, {}) for config in configs)

    def overtaken(_: StageRun) -> None:
        winner.run()
        winner.discard()

    between.append(overtaken)
    if configs[0].artifacts.startswith("s3://"):
        with pytest.raises(
            RunError, match=r"lost 1 of its files \(data\.txt\), which another run has removed"
        ):
            loser.run()
        assert loser.find() is None
    again = loser.run()
    assert again.file("data.txt").read_text() == "data"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["s3", "disk"])
def test_two_processes_that_curate_one_corpus_at_once_end_with_the_same_files(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    root = request.getfixturevalue("root") if kind == "s3" else str(tmp_path / "artifacts")
    curation.write(tmp_path)
    command = [sys.executable, "-m", "builders.curation", "run", str(tmp_path), root]
    processes = [
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])}
            | ({"MASHBILL_SCRATCH": str(tmp_path / f"scratch-{i}")} if kind == "s3" else {}),
        )
        for i in range(2)
    ]
    said = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    first, second = (json.loads(out.splitlines()[-1]) for out, _ in said)
    assert first == second
    assert first == curation.run(tmp_path, str(tmp_path / "alone"))
    if kind == "s3":
        assert not strangers(root)
    else:
        left = {path.parts[-2] for path in (tmp_path / "artifacts" / ".work").rglob("*") if path.is_file()}
        assert not left


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
