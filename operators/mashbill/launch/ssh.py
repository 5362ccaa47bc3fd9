"""Jobs on hosts that are reached by SSH, a node each: what runs there outlives the connection, and is told
apart by the order's token.

Hosts are known by the user's ``~/.ssh``: its configuration, keys and known hosts; one whose key is not known
is refused.
"""

import asyncio
import json
import shlex
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from mashbill.config.launch import LaunchConfig, LocalConfig, SSHConfig
from mashbill.errors import ConfigError, MashbillError, RunError, one_line
from mashbill.launch.backend import NODE, NODES, RENDEZVOUS, Handle, JobState, Order
from mashbill.launch.host import told_error

MODULE = "mashbill.launch.host"
ANSWER_SECONDS, PATIENCE_SECONDS = 120.0, 1_800.0
"""How long a host may take to answer, and how long it may be out of reach while a job is watched."""
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 1.0, 60.0


@dataclass(frozen=True)
class Host:
    """A machine that is reached by SSH.

    Attributes:
        name: as it was given: host, user@host or user@host:port.
        python: of it; identity: private key, empty where the user's own serve.
    """

    name: str
    python: str
    identity: str

    @property
    def machine(self) -> str:
        """Its name in the network."""
        return self.name.rpartition("@")[2].partition(":")[0]

    async def connect(self) -> Any:
        """A connection.

        Raises:
            ConfigError: it does not let this user in, or is none that is known.
            RunError: it does not answer.
        """
        import asyncssh

        user, _, place = self.name.rpartition("@")
        name, _, port = place.partition(":")
        given: dict[str, Any] = {"port": int(port)} if port else {}
        given |= {"username": user} if user else {}
        given |= {"client_keys": [self.identity]} if self.identity else {}
        try:
            return await asyncssh.connect(
                name, **given, keepalive_interval=15, login_timeout=ANSWER_SECONDS, connect_timeout=20
            )
        except asyncssh.HostKeyNotVerifiable as error:
            mend = f"look at its key and add it: ssh-keyscan {name} >> ~/.ssh/known_hosts"
            raise ConfigError(f"host {self.name}", "is not among the known hosts", mend) from error
        except asyncssh.PermissionDenied as error:
            what = f"does not let this user in ({one_line(error)})"
            raise ConfigError(f"host {self.name}", what, "add the key there, or set ssh.identity") from error
        except FileNotFoundError as error:
            raise ConfigError("ssh.identity", f"{self.identity} is not there", "name the key") from error
        except (OSError, asyncssh.Error, TimeoutError) as error:
            what = f"does not answer ({one_line(error) or type(error).__name__})"
            raise RunError(
                f"host {self.name}", what, "mend the host or the way to it, and run again"
            ) from error

    def command(self, method: str) -> str:
        """What runs there, as a shell line."""
        return f"{shlex.quote(self.python)} -m {MODULE} {method}"

    async def asked(self, method: str, given: str = "") -> str:
        """The line that the host answers with.

        Raises:
            MashbillError: it says what went wrong, or says nothing.
        """
        import asyncssh

        where, mend = f"host {self.name}", "look what it is doing, and run again"
        try:
            async with await self.connect() as connection:
                running = connection.run(self.command(method), input=f"{given}\n")
                answer = await asyncio.wait_for(running, ANSWER_SECONDS)
        except TimeoutError as error:
            raise RunError(where, f"did not answer within {ANSWER_SECONDS:.0f} s", mend) from error
        except (OSError, asyncssh.Error) as error:
            raise RunError(where, f"broke off ({one_line(error)})", mend) from error
        return self.line(str(answer.stdout), str(answer.stderr))

    def line(self, said: str, complaints: str) -> str:
        """The line of an answer.

        Raises:
            MashbillError: it tells of an error, or is none.
        """
        lines = said.splitlines()
        if not lines:
            last = complaints.strip().splitlines()[-1:] or ["nothing"]
            what = f"cannot run {self.python} -m {MODULE} ({one_line(Exception(last[0]))})"
            raise ConfigError(f"host {self.name}", what, "install mashbill there, or set ssh.python")
        error = told_error(lines[-1], self.name)
        if error is not None:
            raise error
        return lines[-1]


@dataclass(frozen=True)
class Node:
    """A node of a job: a job of its host's own.

    Attributes:
        number: which node; host: where; handle: of the job there.
    """

    number: int
    host: Host
    handle: Handle

    async def state(self) -> JobState:
        """How it is, its failure told of as this node's."""
        return self.read(await self.host.asked("state", self.handle.text()))

    def read(self, line: str) -> JobState:
        """A state that its host says."""
        state = JobState.of(line)
        if state.failure is None:
            return state
        failure = replace(state.failure, where=f"host {self.host.machine}", rank=self.number)
        return replace(state, failure=failure)

    async def states(self) -> AsyncIterator[JobState]:
        """Its states to the last; a lost connection is taken up again.

        Raises:
            RunError: its host has been out of reach for longer than the patience.
        """
        import asyncssh

        pause, since = FIRST_WAIT_SECONDS, time.monotonic()
        while True:
            try:
                async with await self.host.connect() as connection:
                    process = await connection.create_process(self.host.command("watch"))
                    process.stdin.write(f"{self.handle.text()}\n")
                    async for line in process.stdout:
                        state = self.read(self.host.line(line, ""))
                        yield state
                        if state.ended:
                            return
                        pause, since = FIRST_WAIT_SECONDS, time.monotonic()
            except RunError:
                if time.monotonic() - since > PATIENCE_SECONDS:
                    raise
            except (OSError, asyncssh.Error):  # the connection broke off
                pass
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_WAIT_SECONDS)


class SSHBackend:
    """Hosts, a node of a job each."""

    name = "ssh"

    def check(self, takes: LaunchConfig) -> list[str]:
        """Whether every host lets us in, and has the mashbill that is here."""
        import mashbill

        async def look(host: Host) -> str | None:
            try:
                there = json.loads(await host.asked("about"))
            except MashbillError as error:
                return str(error)
            if there == mashbill.__version__:
                return None
            here = mashbill.__version__
            return f"host {host.name}: has mashbill {there}, and here is {here}; install the same"

        return [found for found in asyncio.run(_all([look(host) for host in _hosts(takes.ssh)])) if found]

    def submit(self, order: Order) -> Handle:
        """Start a node on each host, unless it was started before; where one cannot, none is left running."""
        hosts, takes = _hosts(order.takes.ssh), order.takes
        alone = takes.model_copy(
            update={"backend": "local", "nodes": 1, "local": LocalConfig(folder=takes.ssh.folder)}
        )

        async def start(number: int) -> str:
            told = {
                NODE: str(number),
                NODES: str(len(hosts)),
                RENDEZVOUS: f"{hosts[0].machine}:{takes.port}",
            }
            here = replace(order, takes=alone, environment={**order.environment, **told})
            return await hosts[number].asked("submit", here.text())

        started = asyncio.run(_settled([start(number) for number in range(len(hosts))]))
        handles = [Handle.of(one) if isinstance(one, str) else None for one in started]
        failed = [one for one in started if isinstance(one, BaseException)]
        if failed:
            if not isinstance(failed[0], RunError):  # a rerun would not take up what runs
                self._cancel([Node(i, hosts[i], one) for i, one in enumerate(handles) if one])
            raise failed[0]
        place = {
            "hosts": json.dumps([host.name for host in hosts]),
            "handles": json.dumps([one.text() for one in handles if one]),
            "python": hosts[0].python,
            "identity": hosts[0].identity,
        }
        uid = " ".join(one.uid for one in handles if one)
        return Handle(self.name, order.name, order.token, uid, place)

    def state(self, handle: Handle) -> JobState:
        """How its nodes are, together; a node that failed for good ends the others."""
        nodes = _nodes(handle)
        states = asyncio.run(_all([node.state() for node in nodes]))
        return self._ended_together(nodes, together(states))

    async def watch(self, handle: Handle) -> AsyncIterator[JobState]:
        """States as they change, over one connection a host."""
        nodes = _nodes(handle)
        coming: asyncio.Queue[tuple[int, JobState | BaseException]] = asyncio.Queue()

        async def follow(node: Node) -> None:
            try:
                async for state in node.states():
                    await coming.put((node.number, state))
            except Exception as error:
                await coming.put((node.number, error))

        tasks = [asyncio.create_task(follow(node)) for node in nodes]
        states: dict[int, JobState] = {}
        before = None
        try:
            while before is None or not before.ended:
                number, state = await coming.get()
                if isinstance(state, BaseException):
                    raise state
                states[number] = state
                if len(states) < len(nodes) and state.phase not in {"failed", "gone"}:
                    continue
                now = together(list(states.values()))
                if now != before:
                    if now.ended:
                        await asyncio.to_thread(self._ended_together, nodes, now)
                    yield now
                    before = now
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def cancel(self, handle: Handle) -> None:
        """End all nodes."""
        self._cancel(_nodes(handle))

    def logs(self, handle: Handle, rank: int = 0, lines: int = 100) -> str:
        """The last lines of a node."""
        node = _nodes(handle)[rank]
        said: str = json.loads(asyncio.run(node.host.asked("logs", json.dumps([node.handle.text(), lines]))))
        return said

    def _ended_together(self, nodes: Sequence[Node], state: JobState) -> JobState:
        if state.ended and state.phase != "succeeded":
            with suppress(RunError):  # the host that failed may be gone
                self._cancel(nodes)
        return state

    def _cancel(self, nodes: Sequence[Node]) -> None:
        ended = asyncio.run(_settled([node.host.asked("cancel", node.handle.text()) for node in nodes]))
        for one in ended:
            if isinstance(one, BaseException):
                raise one


def together(states: Sequence[JobState]) -> JobState:
    """How a job is whose nodes are so: as the worst of them, and succeeded where all have."""
    for phase in ("failed", "gone", "paused", "queued", "starting"):
        found = [state for state in states if state.phase == phase]
        if found:
            return found[0]
    running = [state for state in states if state.phase == "running"]
    return (running or list(states))[0]


def _hosts(ssh: SSHConfig) -> list[Host]:
    return [Host(name, ssh.python, ssh.identity or "") for name in ssh.hosts]


def _nodes(handle: Handle) -> list[Node]:
    place = handle.place
    pairs = zip(json.loads(place["hosts"]), json.loads(place["handles"]), strict=True)
    return [
        Node(number, Host(name, place["python"], place["identity"]), Handle.of(text))
        for number, (name, text) in enumerate(pairs)
    ]


async def _all(waiting: Sequence[Any]) -> list[Any]:
    return list(await asyncio.gather(*waiting))


async def _settled(waiting: Sequence[Any]) -> list[Any]:
    return list(await asyncio.gather(*waiting, return_exceptions=True))
