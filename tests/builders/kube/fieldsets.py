"""Sets of fields, as ``managedFields`` has them: paths through an object by names, list keys and values."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from builders.kube.schemas import DEFINITIONS, OBJECT_META, Schema, resolved

Path = tuple[str, ...]
"""Steps: ``f:name``, ``k:{"name":"main"}``, ``v:"value"``; an item of a keyed list itself ends in a dot."""
METADATA: Schema = {"$ref": f"{DEFINITIONS}{OBJECT_META}"}
SERVER_OWNED = frozenset(
    {
        *("uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink"),
        *("name", "namespace", "generateName", "deletionTimestamp", "deletionGracePeriodSeconds"),
    }
)
DEFAULT_KEYS = {"protocol": "TCP"}
"""Keys of lists' items that have a value where an item leaves them out."""


def fields_of(item: dict[str, Any], schema: Schema) -> dict[Path, Any]:
    """Every field of an object that someone may manage, with its value."""
    found: dict[Path, Any] = {}
    properties = resolved(schema).get("properties", {})
    for name, value in item.items():
        if name == "metadata":
            given = {key: one for key, one in value.items() if key not in SERVER_OWNED}
            if given:
                _walk(given, METADATA, ("f:metadata",), found)
        elif name not in ("apiVersion", "kind"):
            _walk(value, properties.get(name, {}), (f"f:{name}",), found)
    return found


def _walk(value: Any, schema: Schema, path: Path, found: dict[Path, Any]) -> None:
    outer, schema = schema, resolved(schema)
    if isinstance(value, dict) and value and _granular(outer, schema):
        properties, others = schema.get("properties", {}), schema.get("additionalProperties")
        for name, inner in value.items():
            of = properties.get(name) or (others if isinstance(others, dict) else {})
            _walk(inner, of, (*path, f"f:{name}"), found)
    elif isinstance(value, list) and value and (keys := keys_of(outer, schema)):
        for item in value:
            step = (*path, key_step(item, keys))
            found[*step, "."] = item.get(keys[0])
            _walk(item, schema.get("items", {}), step, found)
    elif isinstance(value, list) and value and _is_set(outer, schema):
        for item in value:
            found[*path, f"v:{json.dumps(item)}"] = item
    else:
        found[path] = value


def _granular(outer: Schema, schema: Schema) -> bool:
    return "atomic" not in (outer.get("x-kubernetes-map-type"), schema.get("x-kubernetes-map-type"))


def _is_set(outer: Schema, schema: Schema) -> bool:
    return "set" in (outer.get("x-kubernetes-list-type"), schema.get("x-kubernetes-list-type"))


def keys_of(outer: Schema, schema: Schema) -> list[str]:
    """Names of the fields that tell a list's items apart; none where the list is one value."""
    for one in (outer, schema):
        if one.get("x-kubernetes-list-type") == "map":
            return one["x-kubernetes-list-map-keys"]
    return []


def key_step(item: dict[str, Any], keys: list[str]) -> str:
    """The step to a list's item."""
    told = {key: item.get(key, DEFAULT_KEYS.get(key)) for key in sorted(keys)}
    return "k:" + json.dumps({k: v for k, v in told.items() if v is not None}, separators=(",", ":"))


def merged_by_fields(value: Any, change: Any, schema: Schema, outer: Schema | None = None) -> Any:
    """What is applied over what is there: maps and keyed lists grow together, all else is replaced."""
    outer = outer or schema
    schema = resolved(schema)
    if isinstance(change, dict) and isinstance(value, dict) and _granular(outer, schema):
        properties, others = schema.get("properties", {}), schema.get("additionalProperties")
        result = dict(value)
        for name, inner in change.items():
            of = properties.get(name) or (others if isinstance(others, dict) else {})
            result[name] = merged_by_fields(value.get(name), inner, of)
        return result
    if isinstance(change, list) and isinstance(value, list):
        if keys := keys_of(outer, schema):
            return _merged_items(value, change, keys, schema.get("items", {}))
        if _is_set(outer, schema):
            return value + [item for item in change if item not in value]
    return change


def _merged_items(value: list[Any], change: list[Any], keys: list[str], schema: Schema) -> list[Any]:
    applied = {key_step(item, keys): item for item in change}
    there = {key_step(item, keys): item for item in value}
    kept = [
        merged_by_fields(item, applied[step], schema) if step in applied else item
        for step, item in there.items()
    ]
    return kept + [item for step, item in applied.items() if step not in there]


def without_path(value: Any, path: Path) -> Any:
    """A value without a field; what is empty then goes with it."""
    step, rest = path[0], path[1:]
    if isinstance(value, dict):
        name = step[2:]
        if name not in value:
            return value
        left = without_path(value[name], rest) if rest else None
        result = {key: one for key, one in value.items() if key != name}
        return {**value, name: left} if left not in (None, {}, []) else result
    if isinstance(value, list):
        if step.startswith("v:"):
            return [item for item in value if json.dumps(item) != step[2:]]
        keys = json.loads(step[2:])
        here = [item for item in value if _has(item, keys)]
        if rest == (".",):
            return [item for item in value if item not in here]
        return [without_path(item, rest) if item in here else item for item in value]
    return value


def _has(item: Any, keys: dict[str, Any]) -> bool:
    return isinstance(item, dict) and all(item.get(k, DEFAULT_KEYS.get(k)) == v for k, v in keys.items())


def trie(paths: Iterable[Path]) -> dict[str, Any]:
    """A set as ``fieldsV1``."""
    root: dict[str, Any] = {}
    for path in sorted(paths):
        at = root
        for step in path:
            at = at.setdefault(step, {})
    return root


def paths_of(fields: dict[str, Any], path: Path = ()) -> Iterator[Path]:
    """The set that a ``fieldsV1`` is."""
    for step, inner in fields.items():
        if inner:
            yield from paths_of(inner, (*path, step))
        else:
            yield (*path, step)


def told(path: Path) -> str:
    """A field as a conflict names it: ``.spec.containers[name="main"].image``."""
    text = ""
    for step in path:
        kind, _, rest = step.partition(":")
        if kind == "f":
            text += f".{rest}"
        elif kind == "k":
            text += "[" + ",".join(f"{k}={json.dumps(v)}" for k, v in json.loads(rest).items()) + "]"
        elif kind == "v":
            text += f"[={rest}]"
    return text
