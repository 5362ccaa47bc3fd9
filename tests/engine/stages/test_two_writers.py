"""Two runs that make one result at the same time end with one result, and leave nothing of the other."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders import curation
from builders.checkout import TESTS
from builders.overtaken import (
    IN_PARTS,
    KINDS,
    OUTPUTS,
    WHOLE,
    Between,
    between,
    expected_of,
    names,
    stored,
    strangers,
    two_configs,
)
from mashbill.artifacts import Artifact, StageRun
from mashbill.artifacts.sealed import SealedFile
from mashbill.config import PipelineConfig
from mashbill.errors import DataError
from mashbill.partitions import Exchange
from mashbill.stages.job import StageJob


@pytest.fixture(params=KINDS)
def configs(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[PipelineConfig, PipelineConfig]]:
    """Two runs' configs, of one artifact root."""
    root = "" if request.param == "disk" else request.getfixturevalue("root")
    yield two_configs(request.param, tmp_path, root)
    between.clear()


def goes_on(_: StageRun) -> None:
    """Notices nothing."""


def misses_an_object(run: StageRun) -> None:
    run.shared.read("begun/one")


def misses_rows(run: StageRun) -> None:
    Exchange(run.shared, "rows", 1).take(0)


def misses_a_file(run: StageRun) -> None:
    run.files.adopt(SealedFile(run.shared, "begun/one", 13, "0" * 64, "here"), "adopted.txt")


def writes_and_misses(run: StageRun) -> None:
    path = run.shared.passing() / "stray"
    path.write_text("late")
    run.shared.put(path, "stray")
    run.shared.read("begun/one")


def loses_a_task(_: StageRun) -> None:
    from ray.exceptions import RayTaskError

    raise RayTaskError("task", "Traceback: KeyError", KeyError("begun/one"))


def finds_no_folder(run: StageRun) -> None:
    (run.scratch / "deep" / "checkpoint").read_bytes()


@pytest.mark.parametrize(
    "then",
    [
        goes_on,
        misses_an_object,
        misses_rows,
        misses_a_file,
        writes_and_misses,
        loses_a_task,
        finds_no_folder,
    ],
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
