"""Jobs on hosts reached by SSH: a node each, started once, followed over broken connections, ended together.

The hosts are real SSH servers on addresses of this machine, with homes of their own; what they run are
processes.
"""

import asyncio
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import mashbill
from builders.ssh_hosts import SSHHost, ssh_hosts
from mashbill.config import LaunchConfig
from mashbill.errors import ConfigError, MashbillError, RunError
from mashbill.launch.backend import Handle, JobState, Order
from mashbill.launch.local import LocalBackend
from mashbill.launch.registry import backend_named
from mashbill.launch.ssh import together
from mashbill.launch.ssh_host import Host
from mashbill.launch.ssh_sight import unseen

SAYS = "import os; print(*(os.environ['MASHBILL_' + n] for n in ('NODE', 'NODES', 'RENDEZVOUS')))"
WAITS = "import pathlib, time\nwhile not pathlib.Path.home().joinpath('go').exists(): time.sleep(0.05)"
FAILS_ON_ONE = (
    "import os, sys, time\nif os.environ['MASHBILL_NODE'] == '1': sys.exit('no GPU here')\ntime.sleep(600)"
)
BACKEND = backend_named("ssh")


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[SSHHost]]:
    source = str(Path(__file__).parents[3] / "operators")
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    with ssh_hosts(tmp_path, 2, {"PYTHONPATH": source}) as found:
        yield found


def order(hosts: list[SSHHost], code: str, token: str = "one", restarts: int = 0, **ssh: str) -> Order:
    takes = LaunchConfig.model_validate(
        {
            "backend": "ssh",
            "nodes": len(hosts),
            "max_restarts": restarts,
            "ssh": {"hosts": [host.name for host in hosts], "python": sys.executable, **ssh},
        }
    )
    return Order("mashbill-train-chosen", token, (sys.executable, "-c", code), takes)


def followed(handle: Handle) -> list[JobState]:
    async def follow() -> list[JobState]:
        return [state async for state in BACKEND.watch(handle)]

    return asyncio.run(asyncio.wait_for(follow(), 60))


def test_every_host_runs_one_node_and_knows_which_it_is_and_where_they_meet(hosts: list[SSHHost]) -> None:
    handle = Handle.of(BACKEND.submit(order(hosts, SAYS, folder="kept/jobs")).text())
    assert followed(handle)[-1].phase == "succeeded"
    meeting = f"{hosts[0].name.partition('@')[2].partition(':')[0]}:29400"
    assert BACKEND.logs(handle, 0).split() == ["0", "2", meeting]
    assert BACKEND.logs(handle, 1).split() == ["1", "2", meeting]
    assert all((host.home / "kept" / "jobs" / handle.name).is_dir() for host in hosts)


def test_an_order_that_is_submitted_twice_is_one_job(hosts: list[SSHHost]) -> None:
    first = BACKEND.submit(order(hosts, WAITS))
    again = BACKEND.submit(order(hosts, WAITS))
    assert (first.uid, first.place) == (again.uid, again.place)
    with pytest.raises(ConfigError, match="another order"):
        BACKEND.submit(order(hosts, WAITS, token="another"))
    assert BACKEND.state(first).phase == "running"
    BACKEND.cancel(first)
    assert BACKEND.state(first).phase == "gone"


def test_an_order_that_came_to_one_host_alone_is_completed_by_the_next_try(hosts: list[SSHHost]) -> None:
    whole, lost = order(hosts, WAITS), hosts[1].name
    away = whole.takes.model_copy(
        update={"ssh": whole.takes.ssh.model_copy(update={"hosts": (hosts[0].name, "me@127.0.1.2:1")})}
    )
    with pytest.raises(RunError, match=r"127\.0\.1\.2.*does not answer"):
        BACKEND.submit(Order(whole.name, whole.token, whole.command, away))
    handle = BACKEND.submit(whole)
    assert json.loads(handle.place["hosts"])[1] == lost
    assert BACKEND.state(handle).phase == "running"
    for host in hosts:
        (host.home / "go").touch()
    assert followed(handle)[-1].phase == "succeeded"


def test_following_goes_on_where_connections_break_off(hosts: list[SSHHost]) -> None:
    handle = BACKEND.submit(order(hosts, WAITS))

    async def follow() -> list[str]:
        phases = []
        async for state in BACKEND.watch(handle):
            phases.append(state.phase)
            if len(phases) == 1:
                for host in hosts:
                    await asyncio.to_thread(host.drop)
                    (host.home / "go").touch()
        return phases

    assert asyncio.run(asyncio.wait_for(follow(), 60)) == ["running", "succeeded"]


def test_a_node_that_fails_ends_the_others_and_is_named_with_its_last_words(hosts: list[SSHHost]) -> None:
    handle = BACKEND.submit(order(hosts, FAILS_ON_ONE))
    state = followed(handle)[-1]
    assert state.phase == "failed"
    assert state.failure is not None
    assert (state.failure.rank, state.failure.exit_code) == (1, 1)
    assert "127.0.1.2" in state.failure.where
    assert "no GPU here" in state.failure.last_words
    assert [node.phase for node in _alone(handle)] == ["gone", "failed"]


def _alone(handle: Handle) -> list[JobState]:
    from mashbill.launch.ssh import _nodes

    return [asyncio.run(node.state()) for node in _nodes(handle)]


@pytest.mark.parametrize(
    "change, says",
    [
        ({"python": "python-of-no-host"}, "install mashbill there, or set ssh.python"),
        ({"hosts": ["me@127.0.1.1:1", "me@127.0.1.2:1"]}, "does not answer"),
        ({"identity": "no-such-key"}, "ssh.identity: no-such-key is not there"),
    ],
)
def test_what_will_not_do_is_told_before_anything_is_submitted(
    hosts: list[SSHHost], change: dict[str, object], says: str
) -> None:
    takes = order(hosts, SAYS).takes
    bracketed = takes.ssh.model_copy(
        update={"hosts": [re.sub(r"@(.*):", r"@[\1]:", one.name) for one in hosts]}
    )
    assert BACKEND.check(takes) == BACKEND.check(takes.model_copy(update={"ssh": bracketed})) == []
    wrong = takes.model_copy(update={"ssh": takes.ssh.model_copy(update=change)})
    found = BACKEND.check(wrong)
    assert len(found) == len(hosts)
    assert all(says in str(error) for error in found)


def test_hosts_that_are_not_known_or_do_not_let_us_in_are_refused(
    hosts: list[SSHHost], tmp_path: Path
) -> None:
    takes = order(hosts, SAYS).takes
    (hosts[1].home / "authorized_keys").write_text(f"{hosts[0].key}\n")
    known = tmp_path / "me" / ".ssh" / "known_hosts"
    known.write_text("\n".join(known.read_text().splitlines()[1:]))
    first, second = map(str, BACKEND.check(takes))
    assert "is not among the known hosts" in first
    assert "ssh-keyscan" in first
    assert "does not let this user in" in second
    port = hosts[1].name.rpartition(":")[2]
    known.write_text(known.read_text().replace(hosts[1].key.split()[1], hosts[0].key.split()[1]))
    _, changed = BACKEND.check(takes)
    assert isinstance(changed, ConfigError)
    assert "has another key than ~/.ssh/known_hosts knows" in str(changed)
    assert f"ssh-keygen -R '[127.0.1.2]:{port}'" in str(changed)


@pytest.mark.parametrize(
    "name, kind, says",
    [
        ("me@127.0.1.1:1", RunError, "nothing listens there"),
        ("me@no-such-host.invalid", RunError, "has a name that"),
        ("me@127.0.1.1:ssh", ConfigError, "no number"),
        ("me@[::1]:1", RunError, "does not answer"),
    ],
)
def test_a_host_that_is_away_may_answer_another_try_and_one_that_is_none_may_not(
    name: str, kind: type[MashbillError], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    takes = LaunchConfig.model_validate({"backend": "ssh", "ssh": {"hosts": [name]}})
    (found,) = BACKEND.check(takes)
    assert type(found) is kind, found
    assert says in str(found)


def test_a_program_that_is_killed_there_says_nothing_of_what_is_installed(hosts: list[SSHHost]) -> None:
    for host in hosts:
        (host.home / "killed").write_text("#!/bin/sh\nkill -9 $$\n")
        (host.home / "killed").chmod(0o700)
    takes = order(hosts, SAYS).takes
    there = takes.model_copy(update={"ssh": takes.ssh.model_copy(update={"python": "./killed"})})
    assert [type(error) for error in BACKEND.check(there)] == [RunError, RunError]


def test_all_hosts_that_cannot_end_a_job_are_told_and_the_others_end_it(hosts: list[SSHHost]) -> None:
    handle = BACKEND.submit(order(hosts, WAITS))
    hosts[0].close()
    with pytest.raises(RunError, match=r"127\.0\.1\.1.*does not answer"):
        BACKEND.cancel(handle)
    nodes = [Handle.of(text) for text in json.loads(handle.place["handles"])]
    assert [LocalBackend().state(node).phase for node in nodes] == ["running", "gone"]
    LocalBackend().cancel(nodes[0])


def test_a_host_says_whether_it_has_what_lies_here(hosts: list[SSHHost], tmp_path: Path) -> None:
    ssh, names = order(hosts, SAYS).takes.ssh, [host.name for host in hosts]
    assert unseen(ssh, names, tmp_path / "artifacts", writes=True) == dict.fromkeys(names, "")
    assert unseen(ssh, names, tmp_path / "a.jsonl", writes=False) == dict.fromkeys(names, "does not have it")
    assert not list(tmp_path.glob(".mashbill-seen*"))


def test_nothing_runs_on_where_another_host_refuses(hosts: list[SSHHost], tmp_path: Path) -> None:
    known = tmp_path / "me" / ".ssh" / "known_hosts"
    known.write_text("\n".join(known.read_text().splitlines()[1:]))
    given = order(hosts, WAITS)
    with pytest.raises(ConfigError, match="is not among the known hosts"):
        BACKEND.submit(given)
    there = hosts[1].home / ".mashbill-jobs" / given.name
    assert {"started.json", "cancelled", "ended.json"} <= {path.name for path in there.iterdir()}


def test_a_python_of_the_home_and_one_with_spaces_are_found(hosts: list[SSHHost]) -> None:
    for python in ("~/my env/python", "~/env/python"):
        for host in hosts:
            place = host.home / python.removeprefix("~/")
            place.parent.mkdir()
            place.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
            place.chmod(0o700)
        takes = order(hosts, SAYS).takes
        there = takes.model_copy(update={"ssh": takes.ssh.model_copy(update={"python": python})})
        assert BACKEND.check(there) == []


def test_a_connection_that_breaks_off_before_the_answer_says_nothing_of_what_is_installed(
    hosts: list[SSHHost],
) -> None:
    begun = hosts[0].home / "begun"
    slow = hosts[0].home / "slow"
    slow.write_text(f"#!/bin/sh\ntouch {begun}\nexec sleep 30\n")
    slow.chmod(0o700)

    async def dropped() -> str:
        asked = asyncio.create_task(Host(hosts[0].name, str(slow), "").asked("about"))
        while not begun.exists():
            await asyncio.sleep(0.05)
        await asyncio.to_thread(hosts[0].drop)
        return await asked

    with pytest.raises(RunError, match="broke off"):
        asyncio.run(asyncio.wait_for(dropped(), 60))


def test_a_host_that_never_says_how_its_job_is_is_given_up(
    hosts: list[SSHHost], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mashbill.launch.ssh_host.PATIENCE_SECONDS", 0.0)
    place = {
        "hosts": json.dumps([hosts[0].name]),
        "handles": json.dumps([Handle("local", "n", "one", "u", {}).text()]),
        "python": "python-that-was-removed",
        "identity": "",
    }
    with pytest.raises(RunError, match="says nothing of its job"):
        followed(Handle("ssh", "n", "one", "u", place))


def test_a_host_with_another_mashbill_is_told_with_both_versions(
    hosts: list[SSHHost], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mashbill, "__version__", "99.1")
    lines = BACKEND.check(order(hosts, SAYS).takes)
    assert [str(line).partition(":")[0] for line in lines] == [
        f"host {host.name.partition(':')[0]}" for host in hosts
    ]
    assert all("and here is 99.1; install the same" in str(line) for line in lines)


@pytest.mark.parametrize(
    "phases, phase",
    [
        ("paused failed running", "failed"),
        ("paused gone running", "gone"),
        ("succeeded paused running", "paused"),
        ("running queued starting", "queued"),
        ("running starting succeeded", "starting"),
        ("succeeded running succeeded", "running"),
        ("succeeded succeeded", "succeeded"),
    ],
)
def test_a_job_is_as_the_worst_of_its_nodes(phases: str, phase: str) -> None:
    states = [JobState.of(json.dumps({"phase": one, "failure": None})) for one in phases.split()]
    assert together(states).phase == together(states[::-1]).phase == phase


def test_what_a_shell_says_as_it_starts_is_no_state(hosts: list[SSHHost]) -> None:
    handle = BACKEND.submit(order(hosts, SAYS))
    for host in hosts:
        chatty = host.home / "chatty"
        chatty.write_text(f'#!/bin/sh\necho "Welcome to this host"\nexec "{sys.executable}" "$@"\n')
        chatty.chmod(0o700)
    again = replace(handle, place={**handle.place, "python": "./chatty"})
    assert followed(again)[-1].phase == "succeeded"
    assert BACKEND.state(again).phase == "succeeded"


def test_a_key_that_is_none_is_told_in_one_line(hosts: list[SSHHost], tmp_path: Path) -> None:
    (tmp_path / "none").write_text("no key")
    takes = order(hosts, SAYS).takes
    wrong = takes.ssh.model_copy(update={"identity": str(tmp_path / "none")})
    for error in BACKEND.check(takes.model_copy(update={"ssh": wrong})):
        assert str(error).startswith(f"ssh.identity: {tmp_path / 'none'} cannot be used")


def test_a_disk_that_cannot_be_written_there_is_no_fault_of_what_is_installed(hosts: list[SSHHost]) -> None:
    (hosts[1].home / ".mashbill-jobs").write_text("a file")
    with pytest.raises(RunError, match=r"127\.0\.1\.2.*free the disk, or its permissions"):
        BACKEND.submit(order(hosts, WAITS))
    kept = order(hosts, WAITS)
    (hosts[1].home / ".mashbill-jobs").unlink()
    BACKEND.cancel(BACKEND.submit(kept))
