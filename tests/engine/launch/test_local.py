"""Jobs on this machine are processes that outlive whoever submitted them, begin once and end whole."""

import asyncio
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builders import waiting
from builders.processes import processes_about
from mashbill.config import LaunchConfig
from mashbill.errors import ConfigError, RunError
from mashbill.launch.backend import Handle, JobState, Order
from mashbill.launch.local import LocalBackend
from mashbill.launch.supervisor import LOCK, ORDER

MEETING = """
import os, socket, sys
from pathlib import Path
host, port = os.environ["MASHBILL_RENDEZVOUS"].split(":")
number, of = int(os.environ["MASHBILL_NODE"]), int(os.environ["MASHBILL_NODES"])
if number == 0:
    with socket.create_server((host, int(port))) as server:
        met = sorted(int(server.accept()[0].recv(9)) for _ in range(of - 1))
    Path(sys.argv[1], "met").write_text(str(met))
else:
    while True:
        try:
            with socket.create_connection((host, int(port))) as one:
                one.send(str(number).encode())
            break
        except ConnectionRefusedError:
            pass
"""
WAITS = """
import subprocess, sys, signal
from pathlib import Path
stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
stubborn += "; print(1, flush=True); time.sleep(600)"
child = subprocess.Popen([sys.executable, "-c", stubborn, sys.argv[1]], stdout=subprocess.PIPE)
child.stdout.readline()
Path(sys.argv[1], "begun").touch()
signal.pause()
"""
SAVES = """
import os, signal, sys, time
from pathlib import Path
begun = Path(sys.argv[1], "begun")
def save(number, frame):
    Path(sys.argv[1], "saved").touch()
    sys.exit(75)
if os.environ["MASHBILL_NODE"] == "1":
    while not begun.exists():
        time.sleep(0.02)
    sys.exit(3)
signal.signal(signal.SIGTERM, save)
begun.touch()
signal.pause()
"""
COUNTS = """
import os, sys
from pathlib import Path
with Path(sys.argv[1], "runs").open("a") as file:
    file.write(os.environ["MASHBILL_NODE"])
print("these are the last words", flush=True)
if len(sys.argv) > 3 and os.environ["MASHBILL_NODE"] != sys.argv[3]:
    import signal
    signal.pause()
code = int(sys.argv[2])
os.kill(os.getpid(), -code) if code < 0 else sys.exit(code)
"""
SAYS_ALL = "import os; print(*(f'{name}={value}' for name, value in os.environ.items()), sep='\\n')"
SAYS_WHO = "import os; [print('node', os.environ['MASHBILL_NODE'], 'line', line) for line in range(3)]"
SUBMITS = """
import sys
from pathlib import Path
from mashbill.launch.backend import Order
from mashbill.launch.local import LocalBackend
from mashbill.launch.supervisor import LOCK, ORDER
print(LocalBackend().submit(Order.of(Path(sys.argv[1]).read_text())).text())
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of whoever submits."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path


def order(home: Path, script: str, *arguments: object, token: str = "ours", **takes: Any) -> Order:
    """A script to be run on some nodes."""
    path = home / "script.py"
    path.write_text(script)
    command = (sys.executable, str(path), str(home), *map(str, arguments))
    return Order("job-1", token, command, LaunchConfig(**takes))


def wait_until_begun(home: Path) -> None:
    """Wait until the script of a job has begun."""
    deadline = time.monotonic() + 120
    while not (home / "begun").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def until(handle: Handle, wanted: Callable[[JobState], bool] = lambda state: state.ended) -> JobState:
    """The first state of a job that will do."""

    async def wait() -> JobState:
        async for state in LocalBackend().watch(handle):
            if wanted(state):
                return state
        raise AssertionError

    return asyncio.run(asyncio.wait_for(wait(), 120))


def test_a_job_outlives_whoever_submitted_it_and_is_found_by_what_was_kept(home: Path) -> None:
    (home / "order").write_text(order(home, COUNTS, 0).text())
    told = subprocess.run(
        [sys.executable, "-c", SUBMITS, home / "order"], capture_output=True, text=True, check=True
    )
    handle = Handle.of(told.stdout)
    assert until(handle) == JobState("succeeded")
    assert LocalBackend().logs(handle) == "these are the last words"
    assert not processes_about(home)


def test_nodes_know_which_they_are_and_meet(home: Path) -> None:
    handle = LocalBackend().submit(order(home, MEETING, nodes=3))
    assert until(handle) == JobState("succeeded")
    assert (home / "met").read_text() == "[1, 2]"


@pytest.mark.parametrize(
    "code, restarts, why",
    [
        (1, 2, "exit code 1"),
        (2, 0, "exit code 2"),
        (75, 0, "exit code 75"),
        (-signal.SIGKILL, 2, "was killed, as for a lack of memory"),
        (-signal.SIGSEGV, 2, "ended by SIGSEGV"),
    ],
)
def test_what_failed_is_started_again_unless_that_cannot_help(
    code: int, restarts: int, why: str, home: Path
) -> None:
    state = until(LocalBackend().submit(order(home, COUNTS, code, max_restarts=2)))
    assert (home / "runs").read_text() == "0" * (restarts + 1)
    assert state.phase == "failed"
    assert state.failure is not None
    assert (state.failure.rank, state.failure.exit_code, state.failure.why) == (0, code, why)
    assert state.message == ("was asked to end and has saved" if code == 75 else "")
    assert state.failure.last_words.endswith("these are the last words")


def test_the_node_that_fails_is_named_and_the_others_end_with_it(home: Path) -> None:
    state = until(LocalBackend().submit(order(home, COUNTS, 3, 1, nodes=3, max_restarts=0)))
    assert state.failure is not None
    assert (state.failure.rank, state.failure.where, state.failure.exit_code) == (1, "node 1", 3)
    assert not processes_about(home)


def test_a_node_that_ends_with_another_is_asked_first_and_may_save(home: Path) -> None:
    state = until(LocalBackend().submit(order(home, SAVES, nodes=2, max_restarts=0)))
    assert state.failure is not None
    assert (state.failure.rank, state.failure.exit_code) == (1, 3)
    assert (home / "saved").exists()


def test_a_job_that_takes_too_long_is_ended_and_says_so(home: Path) -> None:
    handle = LocalBackend().submit(order(home, COUNTS, 0, 9, time_limit_seconds=1))
    failure = until(handle).failure
    assert failure is not None
    assert failure.why == "ran for longer than 1 s"
    assert (home / "runs").read_text() == "0"  # the time is the job's, not each try's
    assert not processes_about(home)


def test_a_job_has_the_variables_of_its_order_and_none_of_airflows(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "postgresql://ann:planted@db")
    monkeypatch.setenv("AIRFLOW_CONN_S3", "planted")
    monkeypatch.setenv("OF_WHOEVER_SUBMITS", "kept")
    given = order(home, SAYS_ALL, local={"folder": "jobs/here"})
    handle = LocalBackend().submit(replace(given, environment={"NCCL_DEBUG": "INFO"}))
    assert Path(handle.place["folder"]) == home / "home" / "jobs" / "here" / "job-1"
    assert until(handle) == JobState("succeeded")
    said = LocalBackend().logs(handle)
    assert "planted" not in said
    assert {"NCCL_DEBUG=INFO", "OF_WHOEVER_SUBMITS=kept"} <= set(said.splitlines())


def test_a_log_is_the_nodes_own_and_its_last_lines(home: Path) -> None:
    handle = LocalBackend().submit(order(home, SAYS_WHO, nodes=2))
    assert until(handle) == JobState("succeeded")
    for rank in range(2):
        assert LocalBackend().logs(handle, rank, lines=2) == f"node {rank} line 1\nnode {rank} line 2"


def test_who_ended_is_kept_for_a_week_and_forgotten_after(home: Path) -> None:
    backend = LocalBackend()
    folders = []
    for number in range(3):
        handle = backend.submit(replace(order(home, COUNTS, 0), name=f"job-{number}"))
        folders.append(Path(handle.place["folder"]))
        until(handle)
        if not number:
            long_ago = time.time() - 8 * 86_400
            os.utime(folders[0] / "ended.json", (long_ago, long_ago))
    assert [folder.exists() for folder in folders] == [False, True, True]


def test_who_cancels_ends_the_whole_tree_also_what_will_not_end(home: Path) -> None:
    backend = LocalBackend()
    handle = backend.submit(order(home, WAITS))
    wait_until_begun(home)
    backend.cancel(handle)
    assert backend.state(handle) == JobState("gone", "was cancelled")
    assert not processes_about(home)
    backend.cancel(handle)


def test_a_job_whose_supervisor_was_killed_runs_as_long_as_a_node_does(home: Path) -> None:
    backend = LocalBackend()
    handle = backend.submit(order(home, WAITS))
    wait_until_begun(home)
    started = json.loads(Path(handle.place["folder"], "started.json").read_text())
    os.kill(started["pid"], signal.SIGKILL)
    assert backend.state(handle).phase == "running"
    backend.cancel(handle)
    assert backend.state(handle).phase == "gone"
    assert not processes_about(home)


def test_a_job_that_was_killed_whole_has_failed_and_is_not_begun_again(home: Path) -> None:
    backend, wanted = LocalBackend(), order(home, WAITS)
    handle = backend.submit(wanted)
    wait_until_begun(home)
    for process in processes_about(home):
        os.kill(process, signal.SIGKILL)
    state = until(handle)
    assert state.failure is not None
    assert state.failure.why == "its processes were killed, or the machine was restarted"
    assert backend.state(backend.submit(wanted)).phase == "failed"


def test_a_job_runs_whose_submitter_is_killed_as_it_begins(home: Path) -> None:
    """What runs it waits for a lock, which is let go once nobody listens whether it has begun."""
    wanted = order(home, COUNTS, 0)
    folder = home / "home" / ".mashbill-jobs" / wanted.name
    folder.mkdir(parents=True)
    (folder / ORDER).write_text(wanted.text())
    with (folder / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        starts = subprocess.Popen([sys.executable, "-m", "mashbill.launch.supervisor", str(folder)])
        children = Path(f"/proc/{starts.pid}/task/{starts.pid}/children")

        def apart() -> bool:
            return any(os.getsid(int(child)) == int(child) for child in children.read_text().split())

        waiting.wait_until(apart, 60)
        starts.kill()
        starts.wait()
    assert until(LocalBackend().submit(wanted)) == JobState("succeeded")


def test_of_many_that_submit_an_order_at_once_one_makes_the_job(home: Path) -> None:
    (home / "order").write_text(order(home, COUNTS, 0).text())
    command = [sys.executable, "-c", SUBMITS, home / "order"]
    each = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    told = {process.communicate()[0] for process in each}
    (handle,) = map(Handle.of, told)
    assert until(handle) == JobState("succeeded")
    assert (home / "runs").read_text() == "0"


def test_a_job_of_that_name_is_another_orders_as_long_as_it_runs(home: Path) -> None:
    backend = LocalBackend()
    first = backend.submit(order(home, WAITS, token="first"))
    wait_until_begun(home)
    with pytest.raises(ConfigError, match=r"job job-1: runs on this machine for another order"):
        backend.submit(order(home, COUNTS, 0, token="second"))
    backend.cancel(replace(first, token="second"))
    assert backend.state(first).phase == "running"
    backend.cancel(first)
    second = backend.submit(order(home, COUNTS, 0, token="second"))
    assert until(second) == JobState("succeeded")
    assert backend.state(first).phase == "gone"


def test_a_job_of_another_machine_is_not_taken_for_gone(home: Path) -> None:
    elsewhere = Handle("local", "job-1", "ours", "1-1", {"host": "another", "folder": str(home)})
    with pytest.raises(RunError, match=r"job job-1: runs on another, and this is "):
        LocalBackend().state(elsewhere)


def test_a_command_that_is_not_there_is_the_jobs_failure(home: Path) -> None:
    wanted = Order("job-1", "ours", ("no-such-command",), LaunchConfig())
    failure = until(LocalBackend().submit(wanted)).failure
    assert failure is not None
    assert "no-such-command" in failure.why


def test_the_folder_of_jobs_is_looked_at_before_any_is_submitted(home: Path) -> None:
    (home / "home").write_text("")
    (problem,) = LocalBackend().check(LaunchConfig())
    assert str(problem).startswith("local.folder: ")
