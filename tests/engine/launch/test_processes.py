"""Processes that are started end with whoever started them, and say what they died of."""

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from mashbill.launch.processes import start_module, wait_for

WAITS = "import signal\nprint('here', flush=True)\nsignal.pause()\n"
FAILS = "import sys\nraise SystemExit(f'SomeError: {sys.argv[1]}')\n"
SILENT = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n"
ONE_THREAD = """
import json, numpy, threadpoolctl
print(json.dumps([pool["num_threads"] for pool in threadpoolctl.threadpool_info()]))
"""
PARENT = """
import sys
from pathlib import Path
from mashbill.launch.processes import start_module, wait_for
child = start_module("waits", [], Path(sys.argv[1]))
print(child.process.pid, flush=True)
wait_for([child], lambda: None)
"""


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of modules that processes find."""
    for name, text in (("waits", WAITS), ("fails", FAILS), ("silent", SILENT), ("threads", ONE_THREAD)):
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    return tmp_path


def test_a_process_ends_when_the_one_that_started_it_is_killed(modules: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, modules / "log"], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    left = psutil.wait_procs([child], timeout=20)[1]
    for process in left:
        process.kill()
    assert not left


def test_waiting_that_is_broken_off_ends_what_was_started(modules: Path) -> None:
    children = [start_module("waits", [], modules / f"log-{i}") for i in range(2)]

    def look() -> None:
        if all(child.log.stat().st_size for child in children):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        wait_for(children, look)
    assert not any(child.runs() for child in children)


def test_last_words_are_of_this_attempt_and_name_the_error(modules: Path) -> None:
    log = modules / "log"
    first = start_module("fails", ["no room"], log)
    wait_for([first], lambda: None)
    assert (first.exit_code, first.last_words()) == (1, "SomeError: no room")
    second = start_module("silent", [], log)
    wait_for([second], lambda: None)
    assert second.last_words() == "it ended with -9"


def test_a_started_process_computes_on_one_thread(modules: Path) -> None:
    child = start_module("threads", [], modules / "log")
    wait_for([child], lambda: None)
    assert set(json.loads(child.last_words())) == {1}
