"""Following many jobs at once: in an event loop the jobs of a kind in one namespace share two watches, one of
their objects and one of their pods, however many they are."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from weakref import WeakKeyDictionary

from mashbill.launch.backend import TOKEN, Handle, JobState
from mashbill.launch.kubernetes.async_connection import AsyncConnection, is_no_answer
from mashbill.launch.kubernetes.connection import Place, Refused, another_cluster, as_error, no_answer
from mashbill.launch.kubernetes.kinds import Kind
from mashbill.launch.kubernetes.looking import WORDS_LINES, events_of, log_query, removal, workload_queries
from mashbill.launch.kubernetes.objects import NAME, Object, annotation, at, label, name_of
from mashbill.launch.kubernetes.states import GONE, Seen, failing, state_of, suspended
from mashbill.launch.kubernetes.streams import Stream

PATIENCE_SECONDS = 900
"""How long a cluster may not answer before waiting for it is given up."""
LOOK_AGAIN, LOOK_AGAIN_MOST = 5.0, 600.0
"""Seconds after which a job is looked at that did not change: it may have waited too long."""
Key = tuple[Place, str, str]
_FOLLOWERS: "WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Key, Follower]]" = WeakKeyDictionary()


async def states(kind: Kind, handle: Handle) -> AsyncIterator[JobState]:
    """States of a job as they change, from the present one to the last.

    Raises:
        ConfigError: jobs may not be watched.
        RunError: the cluster has not answered for longer than its patience.
    """
    follower = Follower.of(Place(handle.place["context"], handle.place["namespace"]), kind)
    last: JobState | None = None
    wait = LOOK_AGAIN
    news = follower.listen(handle.name)
    try:
        while True:
            news.clear()
            state = await follower.state(handle) if await follower.ready() else None
            if state is not None and (last is None or replace(last, version=state.version) != state):
                yield state
                last, wait = state, LOOK_AGAIN
            if state is not None and state.ended:
                return
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(news.wait(), min(wait, follower.hurry))
            wait = min(wait * 2, LOOK_AGAIN_MOST)
    finally:
        await follower.leave(handle.name, news)


class Follower:
    """The jobs of one kind in a namespace, and their pods, while anybody listens.

    Args:
        place: where they are.
        kind: of them.
    """

    def __init__(self, place: Place, kind: Kind) -> None:
        self.kind = kind
        self.connection = AsyncConnection(place)
        self.jobs = Stream(self.connection, kind.path(place.namespace), self._job_told)
        self.pods = Stream(self.connection, f"/api/v1/namespaces/{place.namespace}/pods", self._pod_told)
        self._pods_of: dict[str, dict[str, Object]] = {}
        self._listening: dict[str, set[asyncio.Event]] = {}
        self._tasks = [asyncio.create_task(stream.run()) for stream in (self.jobs, self.pods)]

    @classmethod
    def of(cls, place: Place, kind: Kind) -> "Follower":
        """The one of this event loop."""
        followers = _FOLLOWERS.setdefault(asyncio.get_running_loop(), {})
        key = (place, kind.name, os.environ.get("KUBECONFIG", ""))
        if key not in followers:
            followers[key] = cls(place, kind)
        return followers[key]

    def listen(self, name: str) -> asyncio.Event:
        """What is set whenever something of a job changes."""
        news = asyncio.Event()
        self._listening.setdefault(name, set()).add(news)
        return news

    async def leave(self, name: str, news: asyncio.Event) -> None:
        """Listen no more; after the last the watches end."""
        listeners = self._listening.get(name, set())
        listeners.discard(news)
        if not listeners:
            self._listening.pop(name, None)
        if self._listening:
            return
        followers = _FOLLOWERS.get(asyncio.get_running_loop(), {})
        for key in [key for key, follower in followers.items() if follower is self]:
            del followers[key]
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.connection.close()

    async def ready(self) -> bool:
        """Whether jobs and pods have been listed.

        Raises:
            ConfigError: they may not be.
            RunError: the cluster has not answered for longer than its patience.
        """
        for stream, task in zip((self.jobs, self.pods), self._tasks, strict=True):
            if task.done():
                task.result()
            self._look_at(stream)
            if not stream.ready.is_set():
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(stream.ready.wait(), 1)
        return self.jobs.ready.is_set() and self.pods.ready.is_set()

    @property
    def hurry(self) -> float:
        """Seconds after which to look again at the latest: soon, while there is no answer."""
        if not (self.jobs.ready.is_set() and self.pods.ready.is_set()):
            return 0.0
        silent = self.jobs.silent_since is not None or self.pods.silent_since is not None
        return LOOK_AGAIN if silent else LOOK_AGAIN_MOST

    async def state(self, handle: Handle) -> JobState | None:
        """How a job is; None where that cannot be known now. One that can never start is removed."""
        try:
            job = self.jobs.objects.get(handle.name)
            if job is None or at(job, "metadata", "uid") != handle.uid:  # the watch may be behind
                job = await self.connection.found(self.jobs.path + f"/{handle.name}")
            if job is None or at(job, "metadata", "uid") != handle.uid:
                return self._gone(handle)
            seen = await self._seen(job, handle)
            state = state_of(seen, await self._last_words(seen))
            if state.phase == "failed" and not self.kind.ended(job):
                path = self.jobs.path + f"/{handle.name}"
                await self.connection.call("DELETE", path, body=removal(handle.uid))
        except Refused as refused:
            if refused.passing or refused.status in (404, 409):
                return None
            raise as_error(refused, f"job {handle.name}", self.connection.place) from refused
        except Exception as error:
            if is_no_answer(error):
                return None
            raise
        return state

    async def _seen(self, job: Object, handle: Handle) -> Seen:
        pods = [
            pod
            for pod in self._pods_of.get(handle.name, {}).values()
            if annotation(pod, TOKEN) == handle.token
        ]
        seen = Seen(self.kind, job, pods, datetime.now(UTC))
        if seen.tells_by_events:
            path = f"/api/v1/namespaces/{handle.place['namespace']}/events"
            found = [thing for query in events_of(seen) for thing in await self._listed(path, query)]
            seen = replace(seen, events=found)
        if suspended(job):
            queries = workload_queries(handle)
            workloads = [thing for path, query in queries for thing in await self._listed(path, query)]
            seen = replace(seen, workload=next(iter(workloads), None))
        return seen

    async def _listed(self, path: str, query: Mapping[str, str]) -> list[Object]:
        """What may be listed: it tells more, and is not needed."""
        try:
            found: list[Object] = (await self.connection.call("GET", path, query=query)).get("items") or []
        except Refused:
            return []
        return found

    async def _last_words(self, seen: Seen) -> str:
        pod = failing(seen)
        if pod is None:
            return ""
        path = f"{self.pods.path}/{name_of(pod)}/log"
        try:
            return await self.connection.text("GET", path, query=log_query(self.kind, WORDS_LINES))
        except Refused:
            return ""

    def _gone(self, handle: Handle) -> JobState:
        place = self.connection.place
        if handle.place.get("server", place.server) != place.server:
            raise another_cluster(handle, place)
        return GONE

    def _look_at(self, stream: Stream) -> None:
        error, since, place = stream.last_error, stream.silent_since, self.connection.place
        if error is None or since is None:
            return
        if isinstance(error, Refused) and error.status in (401, 403):
            raise as_error(error, f"watching {stream.path}", place) from error
        if time.monotonic() - since > PATIENCE_SECONDS:
            raise no_answer(place, error) from error

    def _job_told(self, job: Object) -> None:
        self._tell(name_of(job))

    def _pod_told(self, pod: Object) -> None:
        name, job = name_of(pod), label(pod, NAME)
        if name in self.pods.objects:
            self._pods_of.setdefault(job, {})[name] = pod
        else:
            self._pods_of.get(job, {}).pop(name, None)
            if not self._pods_of.get(job):
                self._pods_of.pop(job, None)
        self._tell(job)

    def _tell(self, name: str) -> None:
        for news in self._listening.get(name, ()):
            news.set()
