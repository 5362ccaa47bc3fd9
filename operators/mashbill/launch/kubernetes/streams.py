"""All objects of one resource that are ours in a namespace, kept as the cluster has them: a list, then a
watch from where the list ended, taken up again wherever it breaks."""

import asyncio
import json
import random
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass

from mashbill.launch.kubernetes.async_connection import AsyncConnection, is_no_answer
from mashbill.launch.kubernetes.connection import Refused
from mashbill.launch.kubernetes.objects import SELECTOR, Object, at, name_of

PAGE = 500
WATCH_SECONDS = 240
"""How long one watch lasts: bookmarks make the next cheap."""
SILENCE_SECONDS = WATCH_SECONDS + 60
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0
EXPIRED = 410
Told = Callable[[Object], None]


@dataclass
class Pauses:
    """Growing waits between tries, none of two processes' at the same moment."""

    tries: int = 0

    def next(self) -> float:
        """Seconds to wait before the next try."""
        longest = min(FIRST_PAUSE * 2**self.tries, LONGEST_PAUSE)
        self.tries += 1
        return random.uniform(longest / 2, longest)


class Stream:
    """The objects of one resource.

    Args:
        connection: to the cluster.
        path: of the resource in its namespace.
        told: is called with each object that came, changed or went.
    Attributes:
        objects: as they are, by name.
        version: up to which they are known.
        ready: set when they have been listed once.
        silent_since: when the cluster last answered, on the monotonic clock; None while it does.
        last_error: what it said, or how it failed to.
    """

    def __init__(self, connection: AsyncConnection, path: str, told: Told) -> None:
        self.connection, self.path, self.told = connection, path, told
        self.objects: dict[str, Object] = {}
        self.version = ""
        self.ready = asyncio.Event()
        self.silent_since: float | None = None
        self.last_error: BaseException | None = None

    async def run(self) -> None:
        """Keep them, until cancelled."""
        pauses = Pauses()
        while True:
            try:
                if not self.version:
                    await self._list()
                    self.ready.set()
                self._answered(pauses)
                await self._watch(pauses)
            except Refused as refused:
                if refused.status == EXPIRED:
                    self.version = ""
                await self._failed(refused, pauses)
            except Exception as error:
                if not is_no_answer(error):
                    raise
                await self._failed(error, pauses)

    async def _list(self) -> None:
        found: dict[str, Object] = {}
        query = {"labelSelector": SELECTOR, "limit": str(PAGE)}
        while True:
            page = await self.connection.call("GET", self.path, query=query)
            for thing in page.get("items") or []:
                found[name_of(thing)] = _trimmed(thing)
            following = at(page, "metadata", "continue")
            if not following:
                break
            query["continue"] = following
        before, self.objects = self.objects, found
        self.version = str(at(page, "metadata", "resourceVersion") or "")
        for name, thing in {**before, **found}.items():
            if before.get(name) != found.get(name):
                self.told(thing)

    async def _watch(self, pauses: Pauses) -> None:
        query = {
            "labelSelector": SELECTOR,
            "watch": "true",
            "resourceVersion": self.version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_SECONDS + random.randrange(30)),
        }
        lines = self.connection.lines(self.path, query=query, silence=SILENCE_SECONDS)
        async with aclosing(lines) as told:
            async for line in told:
                if line.strip():
                    self._take(json.loads(line))
                    self._answered(pauses)

    def _take(self, event: Object) -> None:
        thing = event["object"]
        if event["type"] == "ERROR":
            raise Refused(int(thing.get("code") or 500), json.dumps(thing).encode())
        self.version = str(at(thing, "metadata", "resourceVersion") or self.version)
        if event["type"] == "BOOKMARK":
            return
        if event["type"] == "DELETED":
            self.objects.pop(name_of(thing), None)
        else:
            self.objects[name_of(thing)] = _trimmed(thing)
        self.told(thing)

    def _answered(self, pauses: Pauses) -> None:
        self.silent_since, self.last_error, pauses.tries = None, None, 0

    async def _failed(self, error: BaseException, pauses: Pauses) -> None:
        self.last_error = error
        if self.silent_since is None:
            self.silent_since = time.monotonic()
        await asyncio.sleep(pauses.next())


def _trimmed(thing: Object) -> Object:
    """Without what nobody reads: it is half of a pod."""
    thing.get("metadata", {}).pop("managedFields", None)
    return thing
