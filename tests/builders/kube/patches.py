"""Patches: JSON patch, merge patch, strategic merge patch, and server-side apply."""

import copy
from collections.abc import Mapping
from typing import Any

from builders.kube.apply import applied
from builders.kube.kinds import Kind
from builders.kube.objects import Objects, Writer
from builders.kube.schemas import without_nulls
from builders.kube.status import ApiError, bad_request
from builders.kube.store import Object
from builders.kube.strategic import merged_strategically

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"


def patched(
    objects: Objects,
    kind: Kind,
    key: tuple[str, str],
    patch: Any,
    writer: Writer,
    query: Mapping[str, str],
    headers: Mapping[str, str],
    *,
    subresource: str = "",
) -> tuple[Object, int]:
    """Change an object by a patch; an apply makes it where there is none.

    Returns:
        The object, and the status of the answer.
    Raises:
        ApiError: 400, 404, 409, 415 or 422.
    """
    form = headers.get("Content-Type", "").partition(";")[0].strip()
    if form == APPLY:
        return applied(objects, kind, key, patch, writer, query, subresource=subresource)
    before = objects.get(kind, *key)
    changed: Any
    if form == JSON_PATCH:
        changed = json_patched(before, patch)
    elif form == MERGE_PATCH:
        changed = merged(before, patch)
    elif form == STRATEGIC and not kind.custom:
        changed = merged_strategically(before, patch, objects.validation.schema(kind))
    else:
        known = [JSON_PATCH, MERGE_PATCH, APPLY] + ([] if kind.custom else [STRATEGIC])
        raise ApiError(
            415,
            "UnsupportedMediaType",
            "the body of the request was in an unknown format - accepted media types include: "
            + ", ".join(known),
        )
    if not isinstance(changed, dict):
        raise bad_request("a patch must leave an object")
    item = objects.read(kind, changed, writer)
    return objects.replace(kind, item, before, writer, subresource=subresource), 200


def merged(value: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    result = dict(value) if isinstance(value, dict) else {}
    for name, change in patch.items():
        if change is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), change)
    return result


def json_patched(value: Object, operations: Any) -> Any:
    """RFC 6902.

    Raises:
        ApiError: 400 for what is no patch, 422 for one that does not fit.
    """
    if not isinstance(operations, list):
        raise bad_request("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    document: Any = {"": copy.deepcopy(value)}
    for operation in operations:
        try:
            _operate(document, operation)
        except (KeyError, IndexError, ValueError, TypeError) as error:
            words = f"the server rejected our request due to an error in our request: {operation}: {error}"
            raise ApiError(422, "Invalid", words) from error
    return without_nulls(document[""])


def _operate(document: Any, operation: Mapping[str, Any]) -> None:
    kind, path = operation["op"], _steps(operation["path"])
    parent = _at(document, path[:-1])
    if kind == "test":
        if _at(document, path) != operation["value"]:
            raise ValueError("testing value failed")
    elif kind == "remove":
        _take(parent, path[-1])
    elif kind == "replace":
        _take(parent, path[-1])
        _put(parent, path[-1], copy.deepcopy(operation["value"]))
    elif kind == "add":
        _put(parent, path[-1], copy.deepcopy(operation["value"]))
    elif kind in ("move", "copy"):
        source = _steps(operation["from"])
        value = copy.deepcopy(_at(document, source))
        if kind == "move":
            _take(_at(document, source[:-1]), source[-1])
        _put(_at(document, path[:-1]), path[-1], value)
    else:
        raise ValueError(f"unexpected operation {kind}")


def _steps(path: str) -> list[str]:
    return [step.replace("~1", "/").replace("~0", "~") for step in path.split("/")]


def _at(value: Any, steps: list[str]) -> Any:
    for step in steps:
        value = value[int(step)] if isinstance(value, list) else value[step]
    return value


def _take(parent: Any, step: str) -> None:
    del parent[int(step) if isinstance(parent, list) else step]


def _put(parent: Any, step: str, value: Any) -> None:
    if not isinstance(parent, list):
        parent[step] = value
    elif step == "-":
        parent.append(value)
    else:
        if not 0 <= int(step) <= len(parent):
            raise IndexError(f"no place {step}")
        parent.insert(int(step), value)
