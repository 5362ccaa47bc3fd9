"""The whole pipeline from the shell, on a few megabytes of real text: it ends with a report, and a kill costs
little."""

import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from builders.shell import MASHBILL
from builders.smoke import finished_parts, smoke_config, smoke_home

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the smoke config and its text."""
    return smoke_home(tmp_path_factory.mktemp("smoke"))


def command(home: Path, stage: str) -> list[str]:
    return [*MASHBILL, "run", stage, "--config", str(smoke_config(home)), "--json"]


@dataclass(frozen=True)
class Resumed:
    """A home whose sweep was killed, then lost a worker, and ended all the same.

    Attributes:
        home: with the smoke config, its text and its artifacts.
        before: the sweep's finished groups when it was killed, and when each was committed.
        after: the same at the end.
        status: exit status of the sweep that lost a worker.
        answer: what it printed.
        said: what it said on the error stream.
    """

    home: Path
    before: dict[str, float]
    after: dict[str, float]
    status: int
    answer: str
    said: str


@pytest.fixture(scope="module")
def resumed(home: Path) -> Resumed:
    subprocess.run(command(home, "plan"), check=True, capture_output=True)
    process = subprocess.Popen(
        command(home, "sweep"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while not finished_parts(home, "sweep") and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = finished_parts(home, "sweep")
    with subprocess.Popen(
        command(home, "sweep"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        kill_a_worker(process)
        answer, said = process.communicate(timeout=300)
    return Resumed(home, before, finished_parts(home, "sweep"), process.returncode, answer, said)


def test_killed_sweep_goes_on_without_retraining_finished_groups(resumed: Resumed) -> None:
    assert resumed.before, "no group finished"
    assert resumed.status == 0, resumed.said
    assert "a worker process died" in resumed.said
    assert {name: resumed.after[name] for name in resumed.before} == resumed.before
    assert json.loads(resumed.answer)["sweep"]["counts"]["proxies"] == 8


def kill_a_worker(process: subprocess.Popen[str]) -> None:
    """Kill one of a run's worker processes as soon as there is one."""
    while process.poll() is None:
        for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            line = Path(f"/proc/{child}/cmdline")
            if line.exists() and "spawn_main" in line.read_text():
                os.kill(int(child), signal.SIGKILL)
                return
        time.sleep(0.02)
    pytest.fail("the run ended before a worker was there")


def test_pipeline_runs_from_text_to_report(resumed: Resumed) -> None:
    result = subprocess.run(command(resumed.home, "all"), capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    stages = json.loads(result.stdout)
    for stage in ("deduplicate", "select"):
        counts = stages[stage]["counts"]
        assert counts["documents_in"] == counts["documents_out"] + sum(counts["removed"].values())
    ingest = stages["ingest"]["counts"]
    assert ingest["documents_in"] == ingest["documents_out"] + sum(ingest["rejected"].values())
    report = Path(stages["report"]["address"])
    summary = json.loads((report / "summary.json").read_text())
    assert sum(summary["mixture"].values()) == pytest.approx(1, abs=1e-6)
    assert set(summary["measured"]) == {"chosen", "natural"}
    assert "<svg" in (report / "report.html").read_text()


def test_second_run_reuses_everything(resumed: Resumed) -> None:
    home = resumed.home
    first = subprocess.run(command(home, "all"), capture_output=True, text=True, check=True)
    again = subprocess.run(command(home, "all"), capture_output=True, text=True, check=True)
    assert first.stdout == again.stdout
    assert again.stderr.count("reused") == len(json.loads(again.stdout))


def test_report_tells_of_few_models_and_of_what_repeats_the_reference(resumed: Resumed) -> None:
    result = subprocess.run(command(resumed.home, "all"), capture_output=True, text=True, check=True)
    stages = json.loads(result.stdout)
    page = (Path(stages["report"]["address"]) / "report.html").read_text()
    assert "3 models have 3 pairs that differ" in page
    for domain in stages["filter"]["counts"]["removed_by_domain"]:
        assert f"<tr><td>{domain}</td><td>reference</td>" in page
