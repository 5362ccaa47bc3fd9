"""Subresources of objects, and what is asked and never stored: access reviews, tokens, bindings, logs."""

import asyncio
import copy
from typing import Any

import aiohttp
from aiohttp import web

from builders.kube.access import account_user
from builders.kube.answers import answer, writer_of
from builders.kube.calls import Call, User, decoded
from builders.kube.cluster import Cluster
from builders.kube.kinds import Kind
from builders.kube.metadata import after, now
from builders.kube.patches import patched
from builders.kube.schemas import without_nulls
from builders.kube.status import ApiError, bad_request, conflict, method_not_allowed, no_such_path
from builders.kube.store import Object

CREATED = {
    "kind": "Status",
    "apiVersion": "v1",
    "metadata": {},
    "status": "Success",
    "code": 201,
}


async def subresource(
    cluster: Cluster, kind: Kind, call: Call, user: User, request: web.BaseRequest
) -> web.StreamResponse:
    """A request to a part of an object."""
    if call.subresource not in kind.subresources:
        raise no_such_path()
    objects = cluster.objects
    if call.subresource == "log":
        return await _log(cluster, kind, call, request)
    if call.verb == "get":
        item = objects.get(kind, call.namespace, call.name)
        return answer(_scale(item) if call.subresource == "scale" else item)
    body = decoded(await request.read(), request.headers.get("Content-Type", ""))
    writer = writer_of(call, user, request.headers)
    key = (call.namespace, call.name)
    if call.verb == "create":
        made = {"binding": _bind, "eviction": _evict, "token": _token}.get(call.subresource)
        if not made:
            raise method_not_allowed(call.resource, call.group)
        return answer(made(cluster, kind, call, body), 201)
    if call.subresource == "scale":
        return answer(_rescale(cluster, kind, call, body))
    if call.verb == "update":
        item = objects.update(kind, key, body, writer, subresource=call.subresource)
    elif call.verb == "patch":
        item, _ = patched(
            objects, kind, key, body, writer, call.query, request.headers, subresource=call.subresource
        )
    else:
        raise method_not_allowed(call.resource, call.group)
    return answer(item)


def asked(cluster: Cluster, kind: Kind, call: Call, user: User, item: Object) -> Object:
    """The answer to a review."""
    spec = item.get("spec") or {}
    if kind.kind == "SelfSubjectReview":
        status: Object = {"userInfo": {"username": user.name, "groups": list(user.groups)}}
    elif kind.kind == "SelfSubjectRulesReview":
        status = _rules(cluster, user, spec.get("namespace", ""))
    elif kind.kind == "TokenReview":
        status = _reviewed(cluster, spec.get("token", ""))
    else:
        of = user
        if kind.kind != "SelfSubjectAccessReview":
            of = User(spec.get("user", ""), tuple(spec.get("groups") or ()))
        status = {"allowed": cluster.access.allows(of, _call(of, spec))}
    return {**item, "status": status}


def _call(user: User, spec: Object) -> Call:
    if path := spec.get("nonResourceAttributes"):
        return Call(user.name, path.get("verb", ""), path=path.get("path", ""), resourceful=False)
    wanted = spec.get("resourceAttributes") or {}
    names = ("verb", "group", "version", "resource", "subresource", "namespace", "name")
    return Call(user.name, *(wanted.get(name, "") for name in names))


def _rules(cluster: Cluster, user: User, namespace: str) -> Object:
    resources: list[Object] = []
    paths: list[Object] = []
    for rule in cluster.access.rules(user, namespace):
        if rule.paths:
            paths.append({"verbs": sorted(rule.verbs), "nonResourceURLs": sorted(rule.paths)})
        else:
            told = {"verbs": rule.verbs, "apiGroups": rule.groups, "resources": rule.resources}
            told |= {"resourceNames": rule.names} if rule.names else {}
            resources.append({name: sorted(values) for name, values in told.items()})
    return {"resourceRules": resources, "nonResourceRules": paths, "incomplete": False}


def _reviewed(cluster: Cluster, token: str) -> Object:
    try:
        user = cluster.access.authenticated(f"Bearer {token}")
    except ApiError:
        return {"authenticated": False, "error": "invalid bearer token"}
    return {"authenticated": True, "user": {"username": user.name, "groups": list(user.groups)}}


def _bind(cluster: Cluster, kind: Kind, call: Call, body: Any) -> Object:
    """A scheduler places a pod."""
    pod = cluster.objects.get(kind, call.namespace, call.name)
    target = (body or {}).get("target") or {}
    if target.get("kind") not in (None, "", "Node") or not target.get("name"):
        raise bad_request("target: Required value")
    if "deletionTimestamp" in pod["metadata"]:
        raise conflict(
            call.name, "", "pods/binding", f"pod {call.name} is being deleted, cannot be assigned to a host"
        )
    if there := pod["spec"].get("nodeName"):
        raise conflict(
            call.name, "", "pods/binding", f'pod {call.name} is already assigned to node "{there}"'
        )
    condition = {"type": "PodScheduled", "status": "True", "lastTransitionTime": now()}
    conditions = [c for c in pod["status"].get("conditions", []) if c["type"] != "PodScheduled"]
    status = {**pod["status"], "conditions": [*conditions, condition]}
    cluster.store.put("pods", {**pod, "spec": {**pod["spec"], "nodeName": target["name"]}, "status": status})
    return CREATED


def _evict(cluster: Cluster, kind: Kind, call: Call, body: Any) -> Object:
    """A pod is asked to go, as a drain asks."""
    pod = copy.deepcopy(cluster.objects.get(kind, call.namespace, call.name))
    condition = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting",
        "lastTransitionTime": now(),
    }
    pod["status"].setdefault("conditions", []).append(condition)
    pod = cluster.store.put("pods", pod)
    cluster.deletion.delete(kind, pod, (body or {}).get("deleteOptions") or {})
    return CREATED


def _token(cluster: Cluster, kind: Kind, call: Call, body: Any) -> Object:
    """A token of a service account."""
    cluster.objects.get(kind, call.namespace, call.name)
    seconds = ((body or {}).get("spec") or {}).get("expirationSeconds") or 3600
    token = cluster.access.issue(account_user(call.namespace, call.name))
    status = {"token": token, "expirationTimestamp": after(seconds)}
    return {
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {"name": call.name, "namespace": call.namespace, "creationTimestamp": now()},
        "spec": {"audiences": ["https://kubernetes.default.svc"], "expirationSeconds": seconds},
        "status": status,
    }


def _scale(item: Object) -> Object:
    metadata = item["metadata"]
    names = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {name: metadata[name] for name in names if name in metadata},
        "spec": {"replicas": item["spec"].get("replicas", 0)},
        "status": {"replicas": (item.get("status") or {}).get("replicas", 0)},
    }


def _rescale(cluster: Cluster, kind: Kind, call: Call, body: Any) -> Object:
    item = cluster.objects.get(kind, call.namespace, call.name)
    replicas = (without_nulls(body).get("spec") or {}).get("replicas", item["spec"].get("replicas", 0))
    metadata = {**item["metadata"], "generation": item["metadata"].get("generation", 0) + 1}
    spec = {**item["spec"], "replicas": replicas}
    return _scale(cluster.store.put(kind.resource, {**item, "metadata": metadata, "spec": spec}))


async def _log(cluster: Cluster, kind: Kind, call: Call, request: web.BaseRequest) -> web.StreamResponse:
    pod = cluster.objects.get(kind, call.namespace, call.name)
    container = _container(pod, call)
    if not pod["spec"].get("nodeName"):
        raise bad_request(f"pod {call.name} does not have a host assigned")
    node = cluster.store.get("nodes", ("", pod["spec"]["nodeName"]))
    uid = pod["metadata"]["uid"]
    states = [*pod["status"].get("containerStatuses", []), *pod["status"].get("initContainerStatuses", [])]
    state = next((one.get("state") or {} for one in states if one["name"] == container), {})
    if not cluster.logs.has(uid, container) and not {"running", "terminated"} & set(state):
        reason = (state.get("waiting") or {}).get("reason", "ContainerCreating")
        words = f'container "{container}" in pod "{call.name}" is waiting to start: {reason}'
        raise bad_request(words)
    if not cluster.logs.has(uid, container) and (address := _kubelet(node)):
        return await _from_kubelet(
            f"{address}/containerLogs/{call.namespace}/{call.name}/{container}", call, request
        )
    if call.query.get("follow") != "true":
        return web.Response(body=cluster.logs.text(uid, container, call.query), content_type="text/plain")
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    await response.prepare(request)
    ended = asyncio.Event()
    stop = cluster.store.listen("pods", lambda change: _notice(change.item, change.type, uid, ended))
    _notice(pod, "", uid, ended)
    try:
        async for text in cluster.logs.follow(uid, container, call.query, ended):
            await response.write(text)
        await response.write_eof()
    except (ConnectionError, asyncio.CancelledError):
        pass
    finally:
        stop()
    return response


def _notice(pod: Object, type_: str, uid: str, ended: asyncio.Event) -> None:
    over = type_ == "DELETED" or (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    if pod["metadata"]["uid"] == uid and over:
        ended.set()


def _container(pod: Object, call: Call) -> str:
    spec = pod["spec"]
    names = [container["name"] for container in [*spec["containers"], *spec.get("initContainers", [])]]
    wanted = call.query.get("container")
    if wanted and wanted not in names:
        raise bad_request(f"container {wanted} is not valid for pod {call.name}")
    if not wanted and len(spec["containers"]) > 1:
        told = " ".join(container["name"] for container in spec["containers"])
        raise bad_request(f"a container name must be specified for pod {call.name}, choose one of: [{told}]")
    return wanted or names[0]


def _kubelet(node: Object | None) -> str:
    status = (node or {}).get("status") or {}
    port = ((status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}).get("Port")
    address = next((a["address"] for a in status.get("addresses", []) if a["type"] == "InternalIP"), "")
    return f"http://{address}:{port}" if port and address else ""


async def _from_kubelet(url: str, call: Call, request: web.BaseRequest) -> web.StreamResponse:
    timeout = aiohttp.ClientTimeout(total=None)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(url, params=dict(call.query)) as source,
        ):
            response = web.StreamResponse(status=source.status, headers={"Content-Type": "text/plain"})
            await response.prepare(request)
            async for text in source.content.iter_any():
                await response.write(text)
            await response.write_eof()
            return response
    except aiohttp.ClientConnectionError as error:
        raise ApiError(500, "InternalError", f'Get "{url}": {error}') from error
