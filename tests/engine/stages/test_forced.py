"""A result that is discarded while another run makes it: one of the two gives it, whole, and the other finds
it or is told in a line why not."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from builders import curation
from builders.corpus import run_stages
from builders.overtaken import (
    IN_PARTS,
    KINDS,
    OUTPUTS,
    WHOLE,
    between,
    expected_of,
    stored,
    strangers,
    two_configs,
)
from builders.proxy import Fault, Faults, Refused
from builders.shell import MASHBILL
from mashbill.artifacts import Artifact, StageRun
from mashbill.config import PipelineConfig, load_config
from mashbill.errors import RunError
from mashbill.partitions import Exchange
from mashbill.stages import finished_stages
from mashbill.stages.job import StageJob

Configs = tuple[PipelineConfig, PipelineConfig]


@pytest.fixture(params=KINDS)
def configs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Configs]:
    """Two runs' configs, of one artifact root."""
    root = "" if request.param == "disk" else request.getfixturevalue("root")
    yield two_configs(request.param, tmp_path, root)
    between.clear()


@pytest.fixture
def apart(root: str, tmp_path: Path) -> Iterator[Configs]:
    """Those of runs on two machines."""
    yield two_configs("s3", tmp_path, root)
    between.clear()


def whole(made: Artifact) -> bool:
    """Whether a result's files are there, with what they should hold."""
    return {name: made.file(name).read_text() for name in OUTPUTS} == {"data.txt": "data", "late.txt": "late"}


@pytest.mark.parametrize("stage", [WHOLE, IN_PARTS], ids=["whole", "in parts"])
def test_what_a_run_of_this_machine_is_making_is_not_discarded(stage: Any, configs: Configs) -> None:
    if configs[0].scratch != configs[1].scratch:
        configs = configs[0], configs[0]
    making, forced = (StageJob(stage, config, {}) for config in configs)
    before = making.run().manifest
    making.discard()
    said: list[str] = []

    def forces(_: StageRun) -> None:
        with pytest.raises(RunError) as caught:
            forced.discard()
        said.append(str(caught.value))

    between.append(forces)
    made = making.run()
    assert whole(made)
    assert len(said) == 1
    assert said[0].startswith(f"{made.address}: is being made by another run of this machine")
    assert "\n" not in said[0]
    assert made.manifest.counts == before.counts
    parts = [found for name in making.part_names() if (found := making.find_part(name))]
    assert stored(configs[0]) == set().union(*map(expected_of, [made, *parts]))


@pytest.mark.parametrize("first", ["who forces", "who was running"])
def test_of_runs_on_two_machines_one_makes_it_and_the_other_finds_it(first: str, apart: Configs) -> None:
    running, forced = (StageJob(WHOLE, config, {}) for config in apart)
    made: list[Artifact] = []

    def discards(_: StageRun) -> None:
        forced.discard()
        if first == "who forces":
            made.append(forced.run())

    between.append(discards)
    ended = running.run()
    made.append(forced.run())
    assert made[0].manifest == ended.manifest
    assert whole(ended)
    assert stored(apart[0]) == expected_of(ended)
    assert stored(apart[1]) == expected_of(ended)


def test_a_run_that_is_forced_in_the_middle_of_another_uses_nothing_of_it(apart: Configs) -> None:
    running, forced = (StageJob(WHOLE, config, {}) for config in apart)
    seen: list[list[str]] = []

    def looks(run: StageRun) -> None:
        seen.append(run.shared.keys("rows"))
        assert not run.shared.exists("stray")

    def forces(run: StageRun) -> None:
        forced.discard()
        run.shared.put(_file(run, "stray"), "stray")
        between.append(looks)
        forced.run()
        assert run.shared.keys("rows") == []

    between.append(forces)
    running.run()
    assert seen == [["rows/one.rows"]]
    assert stored(apart[0]) == expected_of(running.run())


def _file(run: StageRun, name: str) -> Path:
    path = run.shared.passing() / name
    path.write_text("stray")
    return path


def test_what_was_made_of_less_than_all_is_not_committed(apart: Configs) -> None:
    """Another run made the same, removed what is shared, and was discarded itself: what is sent again now is
    not all that was sent."""
    running, other = (StageJob(WHOLE, config, {}) for config in apart)

    def overtaken(run: StageRun) -> None:
        other.run()
        other.discard()
        run.files.entries.clear()
        Exchange(run.shared, "rows", 1).put("two", _numbers(), number=_numbers())

    between.append(overtaken)
    with pytest.raises(RunError, match="was made while another run removed what its tasks shared; rerun"):
        running.run()
    assert running.find() is None
    assert whole(running.run())
    assert stored(apart[0]) == expected_of(running.run())


def _numbers() -> Any:
    import numpy as np

    return np.zeros(1, np.int64)


def test_a_result_that_misses_files_is_not_named(apart: Configs) -> None:
    """Another run swept the files of this one, and what it had made is discarded since."""
    loser, winner = (StageJob(WHOLE, config, {}) for config in apart)

    def overtaken(_: StageRun) -> None:
        winner.run()
        winner.discard()

    between.append(overtaken)
    with pytest.raises(RunError, match=r"lost 1 of its files \(data\.txt\), which another run has removed"):
        loser.run()
    assert loser.find() is None
    again = loser.run()
    assert again.file("data.txt").read_text() == "data"


@pytest.mark.parametrize("stage", [WHOLE, IN_PARTS], ids=["whole", "in parts"])
@pytest.mark.parametrize("passed", [0, 1, 2, 3])
def test_a_discard_that_breaks_off_leaves_whole_results_or_none(
    stage: Any, passed: int, apart: Configs, behind: Callable[[Faults], Any]
) -> None:
    job = StageJob(stage, apart[0], {})
    job.run()
    left = [passed]

    def breaks_off(kind: str, _: str) -> Fault | None:
        left[0] -= kind == "delete"
        return Refused(403, "AccessDenied") if left[0] < 0 and kind == "delete" else None

    behind(breaks_off)
    if stage is IN_PARTS or passed < 3:
        with pytest.raises(RunError, match="may not be removed"):
            StageJob(stage, apart[0], {}).discard()
    again = StageJob(stage, apart[1], {})
    left[0] = 10**6
    found = [again.find(), *(again.find_part(name) for name in again.part_names())]
    assert all(whole(made) for made in found if made is not None)
    assert whole(again.run())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["disk", "s3"])
def test_two_processes_of_which_one_forces_end_with_the_same_files(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    root = request.getfixturevalue("root") if kind == "s3" else str(tmp_path / "artifacts")
    curation.write(tmp_path)
    path = tmp_path / "config.toml"
    alone = run_stages(load_config(path, {"artifacts": str(tmp_path / "alone")}), "filter")
    command = [*MASHBILL, "run", "filter", "--config", str(path)]
    command += ["--set", f"artifacts={root}"]

    def begin(name: str, *more: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [*command, *more],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "MASHBILL_SCRATCH": str(tmp_path / name)},
        )

    work = Path(root, ".work") if kind == "disk" else tmp_path / "first" / "work" / root.removeprefix("s3://")
    with begin("first") as running:
        try:
            while not list(work.glob("output-filter-*")):
                assert running.poll() is None
                time.sleep(0)
            running.send_signal(signal.SIGSTOP)
            with begin("second", "--force") as forced:
                said = forced.communicate()[1]
            running.send_signal(signal.SIGCONT)
            told = running.communicate()[1]
        finally:
            running.kill()
    assert running.returncode == 0, told
    if kind == "disk":
        assert forced.returncode == 1
        assert "is being made by another run of this machine" in said.strip().splitlines()[-1]
        assert "Traceback" not in said
    else:
        assert forced.returncode == 0, said
        assert not strangers(root)
    with begin("second", "--force") as again:
        said = again.communicate()[1]
    assert again.returncode == 0, said
    done = finished_stages(load_config(path, {"artifacts": root}))
    assert done["filter"].manifest.files == alone["filter"].manifest.files
    assert all(done["filter"].sealed(name).opened() for name in done["filter"].names())
