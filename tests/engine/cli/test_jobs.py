"""Stages that run elsewhere, from the shell: followed, left, taken up again, read and ended."""

import json
import os
import random
import re
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from builders.corpus import corpus_config, write_jsonl
from builders.orders import order
from builders.processes import processes_about
from builders.shell import MASHBILL, mashbill
from mashbill.artifacts import open_store
from mashbill.config import load_config
from mashbill.launch.backend import Handle
from mashbill.launch.records import Attempt, Work

SLOW = """
import os, sys, time
from pathlib import Path
import mashbill.corpus.ingest as ingest

def held(run, whole=ingest.ingest):
    run.progress(0.5, "half of it")
    while not Path(os.environ["LET_GO"]).exists():
        time.sleep(0.05)
    return whole(run)

if "part" in sys.argv:
    ingest.ingest = held
"""
"""Holds ingest, in the process of a job, until a file is there."""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A config whose first stage runs elsewhere, held until it is let go."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in "ab":
        write_jsonl(tmp_path / f"{name}.jsonl", [f"The number {i} in {name}." for i in range(50)])
    corpus_config(tmp_path, {"a": "a.jsonl", "b": "b.jsonl"}, extra="[launch.ingest]\n")
    return tmp_path


@pytest.fixture
def held(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file: as long as it is not there, no job goes on."""
    (home / "site").mkdir()
    (home / "site" / "sitecustomize.py").write_text(SLOW)
    monkeypatch.setenv("PYTHONPATH", f"{home / 'site'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setenv("LET_GO", str(home / "go"))
    return home / "go"


def run_ingest(home: Path, **streams: Any) -> subprocess.Popen[str]:
    """``mashbill run ingest``, with its error stream to be read."""
    heeded = ["env", "--default-signal=INT"]  # which what runs in the background ignores
    command = [*heeded, *MASHBILL, "run", "ingest", "--config", str(home / "config.toml")]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **streams)


def told_of_a_job(process: subprocess.Popen[str]) -> str:
    """The name of the job, once a process has said that it runs."""
    assert process.stderr is not None
    for line in process.stderr:
        found = re.match(r"job +(\S+) on local: running", line)
        if found:
            return found[1]
    raise AssertionError


def listed(home: Path, *options: str) -> list[dict[str, Any]]:
    found = mashbill("jobs", "list", "--config", home / "config.toml", "--json", *options)
    assert found.returncode == 0, found.stderr
    rows: list[dict[str, Any]] = json.loads(found.stdout)
    return rows


def test_without_a_terminal_a_line_says_how_far_a_job_is(home: Path, held: Path) -> None:
    waiting = run_ingest(home)
    name = told_of_a_job(waiting)
    assert waiting.stderr is not None
    assert next(waiting.stderr) == f"job          {name}:  50% half of it\n"
    held.touch()
    _, said = waiting.communicate()
    assert waiting.returncode == 0, said
    assert f"job          {name} on local: succeeded" in said


def test_whoever_waits_is_killed_and_the_next_takes_the_job_up(home: Path, held: Path) -> None:
    first = run_ingest(home)
    name = told_of_a_job(first)
    first.kill()
    first.communicate()
    second = run_ingest(home)
    assert told_of_a_job(second) == name
    held.touch()
    _, said = second.communicate()
    assert second.returncode == 0, said
    assert [(row["name"], row["phase"]) for row in listed(home, "--all")] == [(name, "succeeded")]
    assert listed(home) == []


def test_control_c_leaves_the_job_and_says_how_to_come_back(home: Path, held: Path) -> None:
    first = run_ingest(home)
    name = told_of_a_job(first)
    first.send_signal(signal.SIGINT)
    _, said = first.communicate()
    assert first.returncode == 130
    come_back = f"{name} goes on; run the same command to take it up, or: mashbill jobs follow {name}"
    assert come_back in said
    assert "Traceback" not in said
    (row,) = listed(home)
    assert (row["name"], row["phase"], row["stage"]) == (name, "running", "ingest")
    detached = mashbill("run", "ingest", "--detach", "--config", home / "config.toml")
    assert detached.returncode == 0
    assert name in detached.stderr
    held.touch()
    followed = mashbill("jobs", "follow", name, "--config", home / "config.toml")
    assert followed.returncode == 0, followed.stderr
    assert followed.stdout == f"{name}: succeeded\n"
    again = mashbill("run", "ingest", "--config", home / "config.toml")
    assert "reused" in again.stderr
    logs = mashbill("jobs", "logs", name, "--config", home / "config.toml")
    assert "0% starting" in logs.stdout


def test_who_cancels_ends_the_job_and_whoever_waits_is_told(home: Path, held: Path) -> None:
    waiting = run_ingest(home)
    name = told_of_a_job(waiting)
    forced = mashbill("run", "ingest", "--force", "--config", home / "config.toml")
    assert forced.returncode == 1
    assert (
        f"is being made by job {name}; wait for it, or end it: mashbill jobs cancel {name}" in forced.stderr
    )
    cancelled = mashbill("jobs", "cancel", name, "--config", home / "config.toml")
    assert cancelled.stdout == f"{name}: ended\n"
    _, said = waiting.communicate()
    assert waiting.returncode == 1
    assert said.splitlines()[-1] == f"error: job {name}: was cancelled; run again for a new attempt"
    assert not [one for one in processes_about(home).values() if "mashbill" in one]
    held.touch()
    assert mashbill("run", "ingest", "--config", home / "config.toml").returncode == 0
    assert [row["attempt"] for row in listed(home, "--all")] == [1, 2]


def test_bad_data_elsewhere_is_one_line_and_exit_2(home: Path) -> None:
    (home / "b.jsonl").write_text("no JSON\n" * 30)
    ended = mashbill("run", "ingest", "--config", home / "config.toml")
    assert ended.returncode == 2
    errors = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "malformed_json" in errors[0]
    (row,) = listed(home, "--all")
    assert row["phase"] == "failed"
    again = mashbill("jobs", "follow", row["name"], "--config", home / "config.toml")
    assert again.returncode == 2
    assert again.stderr.splitlines()[-1] == errors[0]


def test_a_job_that_there_is_none_of_is_one_line(home: Path) -> None:
    for words in ("follow", "logs", "cancel"):
        ended = mashbill("jobs", words, "none", "--config", home / "config.toml")
        assert ended.returncode == 2
        expected = (
            f"error: job none: is none of {home / 'artifacts'}; name one that mashbill jobs list shows\n"
        )
        assert ended.stderr == expected


def kept_job(home: Path, name: str, place: dict[str, str] | None = None) -> Attempt:
    """The record of a job, submitted where a place is given."""
    work = Work(open_store(load_config(home / "config.toml")).storage, f"jobs/ingest/0/{name}")
    assert work.begin(1, order("local", name=name))
    attempt = work.attempt(1)
    if place is not None:
        attempt.keep_handle(Handle("local", name, "run-7/train/0", "1-1", place))
    return attempt


def test_logs_are_the_last_lines_of_one_node(home: Path) -> None:
    attempt = kept_job(home, "of-two-nodes")
    for node in range(2):
        lines = [f"node {node} line {number}" for number in range(200)]
        attempt.write(f"node-{node}.log", "\n".join(lines))
    asked = ("jobs", "logs", "of-two-nodes", "--config", home / "config.toml")
    assert mashbill(*asked).stdout.splitlines() == [f"node 0 line {number}" for number in range(100, 200)]
    assert mashbill(*asked, "--node", "1", "--lines", "2").stdout == "node 1 line 198\nnode 1 line 199\n"


def test_a_job_whose_machine_is_no_more_is_forgotten_when_that_is_asked_for(home: Path) -> None:
    attempt = kept_job(home, "away", {"host": "no-more", "folder": "/none"})
    asked = ("jobs", "cancel", "away", "--config", home / "config.toml")
    refused = mashbill(*asked)
    assert refused.returncode == 1
    assert "or, where it is no more: mashbill jobs cancel away --forget" in refused.stderr
    assert attempt.end is None
    assert mashbill(*asked, "--forget").stdout.startswith("away: forgotten, and may go on where")
    assert attempt.end is not None


@pytest.mark.slow
def test_whoever_submits_is_killed_at_random_moments_and_there_is_one_job(home: Path, held: Path) -> None:
    dice = random.Random(3)
    for _ in range(8):
        process = run_ingest(home, start_new_session=True)
        with suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=dice.uniform(0.4, 2.5))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    held.touch()
    last = run_ingest(home)
    _, said = last.communicate()
    assert last.returncode == 0, said
    assert [(row["attempt"], row["phase"]) for row in listed(home, "--all")] == [(1, "succeeded")]
    assert len(list((home / "home" / ".mashbill-jobs").glob("[!.]*"))) == 1
    assert not list((home / "artifacts" / ".work" / "records").glob("*/*"))
