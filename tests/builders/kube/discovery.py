"""What the API says of itself: groups, versions, resources, its own version."""

from typing import Any

from aiohttp import web

from builders.kube.answers import answer
from builders.kube.calls import Call
from builders.kube.cluster import Cluster
from builders.kube.kinds import Kind, Kinds
from builders.kube.status import no_such_path

Object = dict[str, Any]
VERSION = {
    "major": "1",
    "minor": "37",
    "gitVersion": "v1.37.1",
    "gitCommit": "0" * 40,
    "gitTreeState": "clean",
    "buildDate": "2026-09-01T00:00:00Z",
    "goVersion": "go1.25.0",
    "compiler": "gc",
    "platform": "linux/amd64",
}
SUBRESOURCE_KINDS = {
    "scale": ("autoscaling", "v1", "Scale"),
    "eviction": ("policy", "v1", "Eviction"),
    "binding": ("", "v1", "Binding"),
    "token": ("authentication.k8s.io", "v1", "TokenRequest"),
}
SUBRESOURCE_VERBS = {
    "log": ["get"],
    "binding": ["create"],
    "eviction": ["create"],
    "token": ["create"],
    "finalize": ["update"],
}


def discovered(cluster: Cluster, call: Call, accept: str) -> web.Response:
    """The answer to a request that is about no object.

    Raises:
        ApiError: 404.
    """
    parts = call.path.strip("/").split("/")
    if call.path in ("/healthz", "/livez", "/readyz"):
        return web.Response(text="ok")
    if call.path in ("/version", "/version/"):
        return answer(VERSION)
    if parts == ["openapi", "v3"]:
        return answer(cluster.openapi.index())
    if parts[:2] == ["openapi", "v3"]:
        document = cluster.openapi.document("/".join(parts[2:]))
        if document is None:
            raise no_such_path()
        return web.Response(body=document, content_type="application/json")
    if parts == ["api"]:
        return answer({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})
    if parts == ["apis"]:
        groups = [_group(cluster.kinds, name) for name in _groups(cluster.kinds)]
        return answer({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
    if parts == ["api", "v1"]:
        return answer(_resources(cluster.kinds, "", "v1"))
    if parts[0] == "apis" and parts[1] in _groups(cluster.kinds):
        if len(parts) == 2:
            return answer({"kind": "APIGroup", "apiVersion": "v1", **_group(cluster.kinds, parts[1])})
        if len(parts) == 3 and parts[2] in _versions(cluster.kinds, parts[1]):
            return answer(_resources(cluster.kinds, parts[1], parts[2]))
    raise no_such_path()


def _groups(kinds: Kinds) -> list[str]:
    return list(dict.fromkeys(kind.group for kind in kinds if kind.group))


def _versions(kinds: Kinds, group: str) -> list[str]:
    return list(dict.fromkeys(kind.version for kind in kinds if kind.group == group))


def _group(kinds: Kinds, group: str) -> Object:
    versions = [{"groupVersion": f"{group}/{v}", "version": v} for v in _versions(kinds, group)]
    return {"name": group, "versions": versions, "preferredVersion": versions[0]}


def _resources(kinds: Kinds, group: str, version: str) -> Object:
    resources: list[Object] = []
    for kind in kinds:
        if (kind.group, kind.version) == (group, version):
            resources += _resource(kind)
    api_version = f"{group}/{version}" if group else version
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": api_version,
        "resources": resources,
    }


def _resource(kind: Kind) -> list[Object]:
    own: Object = {
        "name": kind.plural,
        "singularName": kind.singular or kind.kind.lower(),
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": list(kind.verbs),
    }
    if kind.short:
        own["shortNames"] = list(kind.short)
    if kind.categories:
        own["categories"] = list(kind.categories)
    if "list" in kind.verbs:
        own["storageVersionHash"] = "AAAAAAAAAAA="
    subs = [_subresource(kind, name) for name in kind.subresources]
    return [own, *subs]


def _subresource(kind: Kind, name: str) -> Object:
    group, version, of = SUBRESOURCE_KINDS.get(name, ("", "", kind.kind))
    told: Object = {
        "name": f"{kind.plural}/{name}",
        "singularName": "",
        "namespaced": kind.namespaced,
        "kind": of,
        "verbs": SUBRESOURCE_VERBS.get(name, ["get", "patch", "update"]),
    }
    if version:
        told |= {"group": group, "version": version}
    return told
