"""What a request asks for: verb, kind, place, as the API server's own request info has it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import yaml

from builders.kube.protobuf import object_of
from builders.kube.status import ApiError, bad_request

VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete", "GET": "get", "HEAD": "get"}
FLAGS = frozenset(
    {
        *("watch", "follow", "previous", "timestamps", "allowWatchBookmarks", "sendInitialEvents", "force"),
        "orphanDependents",
    }
)
OF_NAMESPACES = ("status", "finalize")


@dataclass(frozen=True)
class User:
    """Who asks."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""


@dataclass(frozen=True)
class Call:
    """One request, as it is authorized and as tests find it in the audit.

    Attributes:
        user: who asked.
        verb: get, list, watch, create, update, patch, delete, deletecollection; for paths the method.
        group, version, resource, subresource, namespace, name: of what.
        path: as it came.
        query: parameters.
        resourceful: whether it is about objects, rather than discovery and the like.
    """

    user: str
    verb: str
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""
    query: Mapping[str, str] = field(default_factory=dict, compare=False)
    resourceful: bool = True


def call_of(user: str, method: str, path: str, query: Mapping[str, str]) -> Call:
    """Read a request's method and path."""
    parts = [unquote(part) for part in path.strip("/").split("/")]
    group = version = ""
    rest: list[str] = []
    if parts[0] == "api" and len(parts) > 2:
        version, rest = parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    if not rest:
        return Call(user, method.lower(), path=path, query=query, resourceful=False)
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]
        if len(rest) > 2 and not (len(rest) == 3 and rest[2] in OF_NAMESPACES):
            rest = rest[2:]
    name = rest[1] if len(rest) > 1 else ""
    verb = VERBS.get(method, method.lower())
    if verb == "get" and not name:
        verb = "watch" if query.get("watch") == "true" else "list"
        fields = query.get("fieldSelector", "")
        if fields.startswith("metadata.name=") and "," not in fields:
            name = fields.partition("=")[2].lstrip("=")
    elif verb == "delete" and not name:
        verb = "deletecollection"
    return Call(user, verb, group, version, rest[0], "/".join(rest[2:]), namespace, name, path, query)


def read_query(query: Mapping[str, str]) -> dict[str, str]:
    """Parameters, with what is true or false in one spelling, as Go reads several and clients write them."""
    return {key: _flag(value) if key in FLAGS else value for key, value in query.items()}


def _flag(value: str) -> str:
    return {"1": "true", "t": "true", "0": "false", "f": "false", "": "true"}.get(
        value.lower(), value.lower()
    )


def decoded(body: bytes, content_type: str) -> Any:
    """A request's body.

    Raises:
        ApiError: 415 for what is neither JSON nor YAML, 400 for what cannot be read.
    """
    form = content_type.partition(";")[0].strip() or "application/json"
    known = object_of(body) if "protobuf" in form else None
    if known is not None:
        return known
    if "protobuf" in form:
        raise ApiError(
            415,
            "UnsupportedMediaType",
            "the body of the request was in an unknown format - accepted media types include: "
            "application/json, application/yaml",
        )
    try:
        return yaml.safe_load(body) if "yaml" in form else json.loads(body or b"null")
    except (ValueError, yaml.YAMLError) as error:
        raise bad_request(f"error decoding request body: {error}") from error
