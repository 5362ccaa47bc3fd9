"""Watches: changes of a kind since a version, sent as they come to whoever listens."""

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Literal

from builders.kube.calls import Call
from builders.kube.kinds import Kind
from builders.kube.selectors import Selector
from builders.kube.status import ApiError
from builders.kube.store import Change, Object, Store, encode

SHORTEST, LONGEST = 1800, 3600
"""Seconds after which a watch without a time-out is ended, between which the real server draws."""
INITIAL_END = {"k8s.io/initial-events-end": "true"}


class Watch:
    """One open watch."""

    def __init__(self, store: Store, kind: Kind, chosen: Selector, call: Call) -> None:
        self.store, self.kind, self.chosen, self.call = store, kind, chosen, call
        self.sent = 0
        self.cut: Literal["", "ended", "dropped"] = ""
        self._waiting: deque[bytes] = deque()
        self._woken = asyncio.Event()
        self.bookmarks = call.query.get("allowWatchBookmarks") == "true"
        self._stop: Callable[[], None] = lambda: None
        self._version = store.version

    def close(self) -> None:
        """Hear no more."""
        self._stop()

    def end(self, how: Literal["ended", "dropped"]) -> None:
        """End it from the server's side."""
        self.cut = how
        self._woken.set()

    def bookmark(self) -> None:
        """Send a bookmark now, to a client that wants them."""
        if self.bookmarks:
            self._say("BOOKMARK", encode(self._mark(self.store.version)))

    def expire(self) -> None:
        """Tell the client that the version it is at is too old."""
        error = ApiError(410, "Expired", f"too old resource version: {self._version} ({self.store.version})")
        self._say("ERROR", encode(error.body()))
        self.end("ended")

    async def lines(self, bookmark_seconds: float) -> AsyncIterator[bytes]:
        """Events as they are to be sent, until the time-out; begins with what there is already."""
        try:
            self._begin()
        except ApiError as error:
            yield line("ERROR", encode(error.body()))
            return
        seconds = float(self.call.query.get("timeoutSeconds") or random.uniform(SHORTEST, LONGEST))
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while True:
            if self._waiting:
                batch = b"".join(self._waiting)
                self.sent += len(self._waiting)
                self._waiting.clear()
                yield batch
                continue
            if self.cut or loop.time() >= end:
                break
            self._woken.clear()
            until = min(end, loop.time() + bookmark_seconds) if self.bookmarks else end
            handle = loop.call_at(until, self._woken.set)
            await self._woken.wait()
            handle.cancel()
            if self.bookmarks and not self._waiting and loop.time() >= until and not self.cut:
                self.bookmark()

    def _begin(self) -> None:
        """What a watch begins with.

        Raises:
            ApiError: 410.
        """
        query = self.call.query
        since = query.get("resourceVersion", "")
        whole = query.get("sendInitialEvents") == "true"
        if since in ("", "0") or whole:
            for item in self.store.all(self.kind.resource):
                if self.chosen.matches(item):
                    self._say("ADDED", encode(self.kind.in_version(item)))
            if whole and self.bookmarks:
                self._say("BOOKMARK", encode(self._mark(self.store.version, INITIAL_END)))
        else:
            self._version = int(since)
            for change in self.store.since(self.kind.resource, int(since)):
                self._hear(change)
        self._stop = self.store.listen(self.kind.resource, self._hear)

    def _hear(self, change: Change) -> None:
        for kind, data in self._seen(change):
            self._say(kind, data)

    def _seen(self, change: Change) -> Iterator[tuple[str, bytes]]:
        """A change as it is to one who sees what is selected only."""
        if self.chosen.everything:
            yield change.type, self._encoded(change)
            return
        now = change.type != "DELETED" and self.chosen.matches(change.item)
        before = change.before is not None and self.chosen.matches(change.before)
        if now:
            yield ("MODIFIED" if before else "ADDED"), self._encoded(change)
        elif before and change.type == "DELETED":
            yield "DELETED", self._encoded(change)
        elif before and change.before:
            metadata = {**change.before["metadata"], "resourceVersion": str(change.version)}
            yield "DELETED", encode(self.kind.in_version({**change.before, "metadata": metadata}))

    def _encoded(self, change: Change) -> bytes:
        """The object, encoded once for all who watch this version."""
        same = change.item["apiVersion"] == self.kind.api_version
        return change.encoded if same else encode(self.kind.in_version(change.item))

    def _say(self, kind: str, data: bytes) -> None:
        self._waiting.append(line(kind, data))
        self._woken.set()

    def _mark(self, version: int, annotations: dict[str, str] | None = None) -> Object:
        metadata: Object = {"resourceVersion": str(version), "creationTimestamp": None}
        if annotations:
            metadata["annotations"] = annotations
        return {"kind": self.kind.kind, "apiVersion": self.kind.api_version, "metadata": metadata}


def line(kind: str, data: bytes) -> bytes:
    """One event of a watch."""
    return b'{"type":"' + kind.encode() + b'","object":' + data + b"}\n"
