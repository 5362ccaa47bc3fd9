"""Requests answered: who asks, whether it is allowed, what goes wrong on command, and then what was asked."""

import asyncio
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from builders.kube.answers import answer, writer_of
from builders.kube.calls import Call, User, call_of, decoded, read_query
from builders.kube.cluster import Cluster
from builders.kube.discovery import discovered
from builders.kube.faults import Dropped
from builders.kube.kinds import Kind
from builders.kube.lists import listed
from builders.kube.objects import Writer
from builders.kube.patches import patched
from builders.kube.selectors import selector
from builders.kube.status import ApiError, bad_request, method_not_allowed, no_such_path
from builders.kube.store import Object
from builders.kube.subresources import asked, subresource
from builders.kube.tables import is_wanted, table
from builders.kube.watching import Watch

OPEN_PATHS = ("/version", "/healthz", "/livez", "/readyz")
WRITES = ("create", "update", "patch", "delete", "deletecollection")


class Server:
    """Answers HTTP requests out of a cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.bookmark_seconds = 60.0
        self.watches: set[Watch] = set()
        self.audit: list[Call] = []
        self.crashes: list[Exception] = []

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """One request, whatever becomes of it."""
        try:
            return await self._handle(request)
        except ApiError as error:
            return answer(error.body(), error.code, retry_after=error.retry_after)
        except Dropped:
            if request.transport:
                request.transport.abort()
            return web.Response()
        except Exception as error:
            self.crashes.append(error)
            raise

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        query = read_query(request.query)
        call = call_of("", request.method, request.path, query)
        access, headers = self.cluster.access, request.headers
        user = access.authenticated(headers.get("Authorization"))
        groups = tuple(headers.getall("Impersonate-Group", ()))
        user = access.impersonated(user, headers.get("Impersonate-User", ""), groups)
        call = call_of(user.name, request.method, request.path, query)
        self.audit.append(call)
        cut = await self.cluster.faults.before(call)
        if not _public(call):
            self.cluster.access.check(user, call)
        response = await self._answer(request, call, user)
        if cut:
            raise Dropped
        return response

    async def _answer(self, request: web.BaseRequest, call: Call, user: User) -> web.StreamResponse:
        if not call.resourceful:
            return discovered(self.cluster, call, request.headers.get("Accept", ""))
        kind = self.cluster.kinds.find(call.group, call.version, call.resource)
        if kind is None or (kind.namespaced and call.name and not call.namespace):
            raise no_such_path()
        if call.subresource:
            return await subresource(self.cluster, kind, call, user, request)
        if call.verb not in kind.verbs:
            raise method_not_allowed(call.resource, call.group)
        if call.verb == "watch":
            return await self.watch(request, kind, call)
        if call.verb in ("get", "list"):
            return answer(self._read(kind, call, request.headers.get("Accept", "")))
        body = decoded(await request.read(), request.headers.get("Content-Type", ""))
        return self.write(kind, call, user, body, request.headers)

    def _read(self, kind: Kind, call: Call, accept: str) -> Object:
        if call.verb == "get":
            found = self.cluster.objects.get(kind, call.namespace, call.name)
            return table(kind, [found], {}) if is_wanted(accept) else found
        found = listed(self.cluster.store, kind, self._chosen(kind, call), call.query)
        return table(kind, found["items"], found["metadata"]) if is_wanted(accept) else found

    def _chosen(self, kind: Kind, call: Call) -> Any:
        query = call.query
        return selector(kind, call.namespace, query.get("labelSelector", ""), query.get("fieldSelector", ""))

    def write(
        self, kind: Kind, call: Call, user: User, body: Any, headers: Mapping[str, str]
    ) -> web.Response:
        """A request that changes something."""
        writer = writer_of(call, user, headers, body)
        self.cluster.validation.warnings = []
        objects, key = self.cluster.objects, (call.namespace, call.name)
        if kind.verbs == ("create",):
            return answer(asked(self.cluster, kind, call, user, objects.read(kind, body, writer)), 201)
        status = 200
        warnings: list[str] = []
        if call.verb == "create":
            result, status = objects.create(kind, call.namespace, body, writer), 201
        elif call.verb == "update":
            result = objects.update(kind, key, body, writer)
        elif call.verb == "patch":
            result, status = patched(objects, kind, key, body, writer, call.query, headers)
        elif call.verb == "delete":
            result, warnings = self._delete(kind, call, body, writer)
        else:
            result = self._delete_all(kind, call, body or {}, writer)
        return answer(result, status, warnings=[*warnings, *self.cluster.validation.warnings])

    def _delete(self, kind: Kind, call: Call, body: Any, writer: Writer) -> tuple[Object, list[str]]:
        options = {**_options(call.query), **(body or {})}
        item = self.cluster.objects.get(kind, call.namespace, call.name)
        result = self.cluster.deletion.delete(kind, item, options, dry_run=writer.dry_run)
        return result, self.cluster.deletion.warnings(kind, options)

    def _delete_all(self, kind: Kind, call: Call, body: Object, writer: Writer) -> Object:
        options = {**_options(call.query), **body}
        found = listed(self.cluster.store, kind, self._chosen(kind, call), {})
        for item in found["items"]:
            metadata = item["metadata"]
            there = self.cluster.store.get(kind.resource, (metadata.get("namespace", ""), metadata["name"]))
            if there:
                self.cluster.deletion.delete(kind, there, options, dry_run=writer.dry_run)
        return found

    async def watch(self, request: web.BaseRequest, kind: Kind, call: Call) -> web.StreamResponse:
        """Send changes as they come."""
        since = call.query.get("resourceVersion", "")
        if since and not since.isdigit():
            raise bad_request(f'resourceVersion: Invalid value: "{since}": strconv.ParseUint: invalid syntax')
        watch = Watch(self.cluster.store, kind, self._chosen(kind, call), call)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        self.watches.add(watch)
        try:
            await response.prepare(request)
            async for lines in watch.lines(self.bookmark_seconds):
                await response.write(lines)
            if watch.cut == "dropped":
                raise Dropped
            await response.write_eof()
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            watch.close()
            self.watches.discard(watch)
        return response


def _options(query: Mapping[str, str]) -> Object:
    """DeleteOptions that were given as parameters."""
    options: Object = {n: query[n] for n in ("propagationPolicy",) if n in query}
    if "gracePeriodSeconds" in query:
        options["gracePeriodSeconds"] = int(query["gracePeriodSeconds"])
    if "orphanDependents" in query:
        options["orphanDependents"] = query["orphanDependents"] == "true"
    return options


def _public(call: Call) -> bool:
    return not call.resourceful and call.path in OPEN_PATHS
