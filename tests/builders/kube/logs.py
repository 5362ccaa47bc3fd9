"""What containers said: written by whoever runs pods in this process, or asked of a pod's node over HTTP.

A node that has ``status.daemonEndpoints.kubeletEndpoint.Port`` and an InternalIP is asked as the real server
asks a kubelet: ``GET /containerLogs/NAMESPACE/POD/CONTAINER`` with the parameters of the request.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

Place = tuple[str, str]
"""A pod's uid, and a container."""
WAIT_SECONDS = 0.05


@dataclass
class Log:
    """Lines of one container."""

    lines: list[tuple[float, bytes]] = field(default_factory=list)
    previous: list[tuple[float, bytes]] = field(default_factory=list)


class Logs:
    """Logs of containers that run in this process; its methods may be called from any thread."""

    def __init__(self) -> None:
        self._logs: dict[Place, Log] = defaultdict(Log)

    def write(self, uid: str, container: str, text: str) -> None:
        """Add whole lines."""
        moment = time.time()
        self._logs[uid, container].lines += [(moment, one.encode() + b"\n") for one in text.splitlines()]

    def restart(self, uid: str, container: str) -> None:
        """The container starts again: what it said so far is its previous log."""
        log = self._logs[uid, container]
        log.previous, log.lines = log.lines, []

    def has(self, uid: str, container: str) -> bool:
        return (uid, container) in self._logs

    def text(self, uid: str, container: str, query: Mapping[str, str]) -> bytes:
        """What it said, as the parameters want it."""
        log = self._logs[uid, container] if self.has(uid, container) else Log()
        lines = log.previous if query.get("previous") == "true" else log.lines
        if "sinceSeconds" in query:
            since = time.time() - int(query["sinceSeconds"])
            lines = [one for one in lines if one[0] >= since]
        if "tailLines" in query:
            lines = lines[max(0, len(lines) - int(query["tailLines"])) :]
        return b"".join(_told(one, query) for one in lines)[: int(query.get("limitBytes") or 2**40)]

    async def follow(
        self, uid: str, container: str, query: Mapping[str, str], ended: asyncio.Event
    ) -> AsyncIterator[bytes]:
        """What it said, and says until it ended."""
        log = self._logs[uid, container]
        yield self.text(uid, container, query)
        at, lines = len(log.lines), log.lines
        while True:
            over = ended.is_set()
            new, at = lines[at:], len(lines)
            if new:
                yield b"".join(_told(one, query) for one in new)
            elif over:
                return
            else:
                await asyncio.wait([asyncio.ensure_future(ended.wait())], timeout=WAIT_SECONDS)


def _told(one: tuple[float, bytes], query: Mapping[str, str]) -> bytes:
    if query.get("timestamps") != "true":
        return one[1]
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(one[0]))
    return f"{moment}.{int(one[0] % 1 * 1e9):09d}Z ".encode() + one[1]
