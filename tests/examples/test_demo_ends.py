"""``examples/demo.py``, and so ``make demo`` and ``make ui``, ends all that it started, whichever signal
ends it."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders.checkout import ROOT
from builders.processes import processes_about

PATIENCE_SECONDS = 180
DEMO = ROOT / "examples" / "demo.py"


@pytest.fixture
def signals_as_in_a_terminal() -> Iterator[None]:
    """Children inherit which signals are ignored; tests in the background, or under nohup, ignore some."""
    before = {which: signal.signal(which, signal.SIG_DFL) for which in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for which, handler in before.items():
        signal.signal(which, handler)


def wait_until_it_says(words: str, demo: subprocess.Popen[str]) -> None:
    """Read what it prints until the words come; reading ends when it does."""
    assert demo.stdout
    said = []
    for line in demo.stdout:
        said.append(line)
        if words in line:
            return
    raise AssertionError("".join(said))


@pytest.mark.airflow
@pytest.mark.usefixtures("signals_as_in_a_terminal")
@pytest.mark.parametrize(
    "which", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda which: which.name
)
def test_the_ui_leaves_no_process_behind(which: signal.Signals, tmp_path: Path) -> None:
    command = [sys.executable, str(DEMO), "ui", "--home", str(tmp_path / "airflow")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as demo:
        wait_until_it_says("Airflow's UI", demo)
        assert len(processes_about(tmp_path)) > 5
        demo.send_signal(which)
        assert demo.wait(timeout=60) == 128 + which
    assert processes_about(tmp_path) == {}


@pytest.mark.airflow
@pytest.mark.usefixtures("signals_as_in_a_terminal")
def test_ended_while_airflow_starts_it_leaves_no_process_behind(tmp_path: Path) -> None:
    home = tmp_path / "airflow"
    command = [sys.executable, str(DEMO), "ui", "--home", str(home)]
    demo = subprocess.Popen(command, start_new_session=True)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(processes_about(tmp_path)) < 3 and time.monotonic() < deadline:
        time.sleep(0.1)
    demo.terminate()
    assert demo.wait(timeout=60) == 128 + signal.SIGTERM
    assert processes_about(tmp_path) == {}
