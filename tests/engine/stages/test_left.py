"""What a run left that was killed in its middle is gone once the result is there, and is found."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from builders.checkout import TESTS
from builders.overtaken import KINDS, WHOLE, expected_of, stored, two_configs
from mashbill.stages.job import StageJob

KILLED = """
import os, signal, sys
from pathlib import Path
from builders.overtaken import WHOLE, between, two_configs
from mashbill.stages.job import StageJob

kind, folder, root, when = sys.argv[1:]
configs = two_configs(kind, Path(folder), root)

def dies(run):
    if when == "overtaken":
        StageJob(WHOLE, configs[1], {}).run()
        (run.scratch / "checkpoint").parent.mkdir(parents=True, exist_ok=True)
        (run.scratch / "checkpoint").write_text("half")
    with run.files.writing("half.txt") as path:
        path.write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)

between.append(dies)
StageJob(WHOLE, configs[0], {}).run()
"""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("when", ["alone", "overtaken"])
def test_nothing_of_a_killed_run_stays(
    when: str, kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    root = "" if kind == "disk" else request.getfixturevalue("root")
    paths = [str(TESTS), os.environ.get("PYTHONPATH", "")]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, kind, str(tmp_path), root, when],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    config, _ = two_configs(kind, tmp_path, root)
    job = StageJob(WHOLE, config, {})
    assert (job.find() is not None) == (when == "overtaken")
    made = job.run()
    assert made.file("late.txt").read_text() == "late"
    assert stored(config) == expected_of(made)
    assert [path for path in tmp_path.rglob("passing/*/*") if path.is_file()] == []
