"""Submitting, looking at and ending a job on Kubernetes, whichever kind of object it is.

A job is created by its name, in one request; its token stands in an annotation of it and of its pods. Whoever
finds the name taken compares the token. What else is made for a job belongs to it: it goes when the job goes.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib.util import find_spec

from mashbill.config.launch import LaunchConfig
from mashbill.errors import ConfigError, MashbillError, RunError
from mashbill.launch.backend import TOKEN, Handle, JobState, Order
from mashbill.launch.kubernetes.connection import (
    Connection,
    Place,
    Refused,
    another_cluster,
    as_error,
    connection_to,
)
from mashbill.launch.kubernetes.kinds import Kind
from mashbill.launch.kubernetes.looking import (
    WORDS_LINES,
    by_name,
    events_of,
    log_query,
    pods_path,
    removal,
    workload_queries,
)
from mashbill.launch.kubernetes.objects import Object, annotation, at, name_of, rank_of
from mashbill.launch.kubernetes.states import GONE, Seen, failing, state_of, suspended

STRICT = {"fieldValidation": "Strict"}
"""A key that the cluster does not know is refused, rather than dropped."""


class ClusterJobs:
    """Jobs of one kind."""

    name: str
    kind: Kind

    def __init__(self) -> None:
        for package in ("kubernetes", "kubernetes_asyncio"):
            if find_spec(package) is None:
                raise ModuleNotFoundError(f"{package} is not installed", name=package)

    def manifest(self, order: Order) -> Object:
        """The object that runs an order."""
        raise NotImplementedError

    def complete(self, connection: Connection, order: Order, uid: str) -> None:
        """Make what a job needs beside its object, if that is not there."""

    def check(self, takes: LaunchConfig) -> list[MashbillError]:
        """What will not do; nothing is submitted."""
        from mashbill.launch.kubernetes.checks import problems

        return problems(self.name, self.kind, takes, manifest=self.manifest)

    def submit(self, order: Order) -> Handle:
        """Submit an order, or take up the job that it was submitted as before.

        Raises:
            ConfigError: the cluster refuses it for good, or has a job of that name and another token.
            RunError: the cluster does not answer, or the earlier job of that name is still going.
        """
        manifest = self.manifest(order)
        connection = connection_to(Place.of(order.takes.kubernetes))
        job = self._created(connection, manifest, order)
        uid, version = str(job["metadata"]["uid"]), str(job["metadata"].get("resourceVersion", ""))
        place = asdict(connection.place)
        handle = Handle(self.name, order.name, order.token, uid, place, version)
        try:
            self.complete(connection, order, uid)
        except ConfigError:
            with suppress(MashbillError):  # what keeps it from being whole is told
                self.cancel(handle)
            raise
        return handle

    def state(self, handle: Handle) -> JobState:
        """How a job is; one that can never start is removed, and said to have failed.

        Raises:
            RunError: the cluster does not answer.
        """
        connection = connection_to(place_of(handle))
        try:
            seen = self._seen(connection, handle)
            if seen is None:
                return self._gone(connection, handle)
            state = state_of(seen, self._last_words(connection, seen))
        except Refused as refused:
            raise as_error(refused, f"job {handle.name}", connection.place) from refused
        if state.phase == "failed" and not self.kind.ended(seen.job):
            self.cancel(handle)
        return state

    def watch(self, handle: Handle) -> AsyncIterator[JobState]:
        """States as they change, from the present one to the last."""
        from mashbill.launch.kubernetes.following import states

        return states(self.kind, handle)

    def cancel(self, handle: Handle) -> None:
        """Remove a job and its pods; nothing where it is gone.

        Raises:
            RunError: the cluster does not answer.
        """
        connection = connection_to(place_of(handle))
        try:
            connection.call("DELETE", self.path(handle), body=removal(handle.uid))
        except Refused as refused:
            if refused.status not in (404, 409):  # 409: it is another's by now
                raise as_error(refused, f"job {handle.name}", connection.place) from refused

    def logs(self, handle: Handle, rank: int = 0, lines: int = 100) -> str:
        """The last lines that a node said, in its newest pod; empty where it said nothing.

        Raises:
            RunError: the cluster does not answer.
        """
        connection = connection_to(place_of(handle))
        try:
            pods = self.kind.last_pods(self._pods(connection, handle))
        except Refused as refused:
            raise as_error(refused, f"job {handle.name}", connection.place) from refused
        pod = next((pod for pod in pods if (rank_of(pod) or 0) == rank), None)
        return "" if pod is None else self._log(connection, pod, lines)

    def path(self, handle: Handle) -> str:
        """Where a job's object is."""
        return self.kind.path(handle.place["namespace"], handle.name)

    def _created(self, connection: Connection, manifest: Object, order: Order) -> Object:
        where = self.kind.path(connection.place.namespace)
        try:
            return connection.call("POST", where, query=STRICT, body=manifest)
        except RunError:  # it may have been made, and the answer been lost
            found = self._taken_up(connection, order)
            if found is None:
                raise
            return found
        except Refused as refused:
            if refused.status == 409 or refused.passing:
                found = self._taken_up(connection, order)
                if found is not None:
                    return found
            raise self._refusal(connection, refused, order) from refused

    def _taken_up(self, connection: Connection, order: Order) -> Object | None:
        """The job that an order was submitted as; None where there is none of its name."""
        try:
            found = connection.found(self.kind.path(connection.place.namespace, order.name))
        except Refused as refused:
            raise as_error(refused, f"job {order.name}", connection.place) from refused
        if found is None:
            return None
        if at(found, "metadata", "deletionTimestamp"):
            what = f"an earlier {self.kind.name} of that name is still being removed"
            raise RunError(f"job {order.name}", what, "try again in a moment")
        if annotation(found, TOKEN) != order.token:
            what = f"{connection.place} has a {self.kind.name} of that name that is another's"
            remove = f"kubectl delete {self.kind.plural}.{self.kind.group} {order.name}"
            raise ConfigError(f"job {order.name}", what, f"rename it, or remove it: {remove}")
        return found

    def _refusal(self, connection: Connection, refused: Refused, order: Order) -> MashbillError:
        if refused.status != 404:
            return as_error(refused, f"job {order.name}", connection.place)
        if "namespace" in refused.message:
            what = f"{connection.place} is not there"
            return ConfigError("kubernetes.namespace", what, "make it, or name another")
        what = f"{self.kind.needs or self.kind.name} is not installed in {connection.place.server}"
        return ConfigError(f"backend {self.name}", what, "install it, or take backend = 'job'")

    def _seen(self, connection: Connection, handle: Handle) -> Seen | None:
        job = connection.found(self.path(handle))
        if job is None or not is_of(job, handle):
            return None
        seen = Seen(self.kind, job, self._pods(connection, handle), datetime.now(UTC))
        events: list[Object] = []
        workloads: list[Object] = []
        if seen.tells_by_events:
            path = f"/api/v1/namespaces/{handle.place['namespace']}/events"
            for query in events_of(seen):
                events += self._listed(connection, path, query)
        if suspended(job):
            for path, query in workload_queries(handle):
                workloads += self._listed(connection, path, query)
        return replace(seen, events=events, workload=next(iter(workloads), None))

    def _pods(self, connection: Connection, handle: Handle) -> list[Object]:
        found = connection.call("GET", pods_path(handle), query=by_name(handle)).get("items") or []
        return [pod for pod in found if annotation(pod, TOKEN) == handle.token]

    def _listed(self, connection: Connection, path: str, query: Mapping[str, str]) -> list[Object]:
        """What may be listed: it tells more, and is not needed."""
        try:
            found: list[Object] = connection.call("GET", path, query=query).get("items") or []
        except Refused:
            return []
        return found

    def _last_words(self, connection: Connection, seen: Seen) -> str:
        pod = failing(seen)
        return "" if pod is None else self._log(connection, pod, WORDS_LINES)

    def _log(self, connection: Connection, pod: Object, lines: int) -> str:
        path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{name_of(pod)}/log"
        try:
            return connection.text("GET", path, query=log_query(self.kind, lines))
        except Refused:  # the container has not started, or its machine is gone
            return ""

    def _gone(self, connection: Connection, handle: Handle) -> JobState:
        """Gone: unless this is another cluster than the job was submitted to."""
        if handle.place.get("server", connection.place.server) != connection.place.server:
            raise another_cluster(handle, connection.place)
        return GONE


def is_of(job: Object, handle: Handle) -> bool:
    """Whether an object is the job of a handle, and not another of its name."""
    return at(job, "metadata", "uid") == handle.uid


def place_of(handle: Handle) -> Place:
    """Where a job is."""
    return Place(handle.place["context"], handle.place["namespace"])
