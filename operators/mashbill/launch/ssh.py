"""Jobs on hosts that are reached by SSH, a node each: what runs there outlives the connection, and is told
apart by the order's token."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from mashbill.config.launch import LaunchConfig, LocalConfig, SSHConfig
from mashbill.errors import ConfigError, MashbillError, RunError, all_of
from mashbill.launch.backend import NODE, NODES, RENDEZVOUS, Handle, JobState, Order
from mashbill.launch.ssh_host import Host, Node


class SSHBackend:
    """Hosts, a node of a job each."""

    name = "ssh"

    def check(self, takes: LaunchConfig) -> list[MashbillError]:
        """Whether every host lets us in, and has the mashbill that is here."""
        import mashbill

        async def look(host: Host) -> MashbillError | None:
            try:
                there = json.loads(await host.asked("about"))
            except MashbillError as error:
                return error
            if there == mashbill.__version__:
                return None
            here = mashbill.__version__
            what = f"has mashbill {there}, and here is {here}"
            return ConfigError(f"host {host.name}", what, "install the same")

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
            if not all(isinstance(one, RunError) for one in failed):  # a rerun would not take up what runs
                with suppress(MashbillError):  # what kept it from starting is told
                    self._cancel([Node(i, hosts[i], one) for i, one in enumerate(handles) if one])
            raise _told(failed)
        place = {
            "hosts": json.dumps([host.name for host in hosts]),
            "handles": json.dumps([one.text() for one in handles if one]),
            "python": hosts[0].python,
            "identity": hosts[0].identity,
        }
        uid = " ".join(one.uid for one in handles if one)
        return Handle(self.name, order.name, order.token, uid=uid, place=place)

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
            with suppress(MashbillError):  # the host that failed may be gone
                self._cancel(nodes)
        return state

    def _cancel(self, nodes: Sequence[Node]) -> None:
        ended = asyncio.run(_settled([node.host.asked("cancel", node.handle.text()) for node in nodes]))
        failed = [one for one in ended if isinstance(one, BaseException)]
        if failed:
            raise _told(failed)


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


def _told(failed: Sequence[BaseException]) -> BaseException:
    """What to raise where some hosts failed; a fault of ours before all."""
    ours = [one for one in failed if not isinstance(one, MashbillError)]
    return ours[0] if ours else all_of([one for one in failed if isinstance(one, MashbillError)])
