"""What an object may hold, by Kubernetes' own schemas as the wheel of kubernetes-validate has them.

They are walked here rather than handed to a library, as thousands of status updates are checked in a test and
as refusals have the real server's words; a test compares the verdicts with kubernetes-validate's.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from builders.kube.bounds import out_of_bounds
from builders.kube.kinds import Kind
from builders.kube.tools import schemas_folder

VERSION = "v1.37.0"
DEFINITIONS = "#/$defs/"
QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
POD_TEMPLATE = "io.k8s.api.core.v1.PodTemplateSpec"
_QUANTITY = re.compile(r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(([KMGTPE]i)|[numkMGTPE]|([eE][+-]?[0-9]+))?$")
_TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$")
_RANGES = {"int32": 2**31, "int64": 2**63}
Schema = dict[str, Any]


@dataclass(frozen=True)
class Fault:
    """One thing that a schema does not allow.

    Attributes:
        path: of the field, as ``spec.containers[0].image``.
        kind: unknown field, wrong type, missing, none of the values that there are, or out of bounds.
        words: what the server says of it; for ``missing`` nothing.
        value: that was given.
        allowed: the values that there are.
    """

    path: str
    kind: Literal["unknown", "type", "missing", "enum", "bounds"]
    words: str = ""
    value: Any = None
    allowed: tuple[str, ...] = ()


@cache
def definitions() -> dict[str, Schema]:
    """Every schema by its name, with unknown fields forbidden and lists' merge keys told."""
    folder = schemas_folder() / "kubernetes_validate" / "kubernetes-json-schema" / f"{VERSION}-local-strict"
    return json.loads((folder / "_definitions.json").read_text())["$defs"]


@cache
def _names() -> dict[tuple[str, str, str], str]:
    names: dict[tuple[str, str, str], str] = {}
    for name, schema in definitions().items():
        for of in schema.get("x-kubernetes-group-version-kind", ()):
            names.setdefault((of["group"], of["version"], of["kind"]), name)
    return names


def definition_of(kind: Kind) -> str:
    """Name of a built-in kind's schema."""
    return _names()[kind.group, kind.version, kind.kind]


def resolved(schema: Schema, defs: dict[str, Schema] | None = None) -> Schema:
    """What a reference refers to."""
    while "$ref" in schema:
        schema = (defs or definitions())[schema["$ref"].removeprefix(DEFINITIONS)]
    return schema


def faults(value: Any, schema: Schema, path: str = "", owner: str = "") -> Iterator[Fault]:
    """What is wrong with a value.

    Args:
        value: JSON, without nulls.
        schema: what it must be.
        path: of the value.
        owner: the structure that it is in, for the words of a wrong type.
    """
    reference = schema.get("$ref", "").removeprefix(DEFINITIONS)
    if reference == QUANTITY:
        yield from _quantity(value, path)
        return
    if reference == INT_OR_STRING or schema.get("x-kubernetes-int-or-string"):
        if not isinstance(value, str) and type(value) is not int:
            yield Fault(path, "type", f"json: cannot unmarshal {_go(value)} into int32 or string", value)
        return
    owner = reference.rpartition(".")[2] or owner
    schema = resolved(schema)
    types = schema.get("type")
    wanted = next((t for t in ([types] if isinstance(types, str) else types or []) if t != "null"), None)
    if wanted and not _is(value, wanted):
        into = _go_type(wanted, schema)
        words = f"json: cannot unmarshal {_go(value)} into Go struct field {owner}.{path} of type {into}"
        yield Fault(path, "type", words, value, (wanted,))
    elif "enum" in schema and value not in schema["enum"]:
        yield Fault(path, "enum", "", value, tuple(map(str, schema["enum"])))
    elif words := out_of_bounds(value, schema):
        yield Fault(path, "bounds", f"{path} in body {words}", value)
    elif wanted == "object" or "properties" in schema:
        yield from _object(value, schema, path, owner)
    elif wanted == "array":
        for index, item in enumerate(value):
            yield from faults(item, schema.get("items", {}), f"{path}[{index}]", owner)
    else:
        yield from _format(value, schema, path)


def _object(value: Schema, schema: Schema, path: str, owner: str) -> Iterator[Fault]:
    properties = schema.get("properties", {})
    others = schema.get("additionalProperties", True)
    for name in schema.get("required", ()):
        if value.get(name) is None:
            yield Fault(f"{path}.{name}" if path else name, "missing")
    for name, item in value.items():
        inner = f"{path}.{name}" if path else name
        if name in properties:
            yield from faults(item, properties[name], inner, owner)
        elif isinstance(others, dict):
            yield from faults(item, others, inner, owner)
        elif properties and not others and not schema.get("x-kubernetes-preserve-unknown-fields"):
            yield Fault(inner, "unknown", f'unknown field "{inner}"', item)


def _quantity(value: Any, path: str) -> Iterator[Fault]:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        yield Fault(path, "type", f"json: cannot unmarshal {_go(value)} into resource.Quantity", value)
    elif not _QUANTITY.match(str(value)):
        words = "quantities must match the regular expression"
        yield Fault(path, "type", f"{words} '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'", value)


def _format(value: Any, schema: Schema, path: str) -> Iterator[Fault]:
    form = schema.get("format")
    if form in _RANGES and not -_RANGES[form] <= value < _RANGES[form]:
        yield Fault(path, "type", f"json: cannot unmarshal number {value} into {path} of type {form}", value)
    elif form == "date-time" and not _TIME.match(value):
        words = f'parsing time {json.dumps(value)} as "2006-01-02T15:04:05Z07:00": cannot parse it'
        yield Fault(path, "type", words, value)
    elif form == "byte":
        try:
            base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            yield Fault(path, "type", "illegal base64 data at input byte 0", value)


def _is(value: Any, wanted: str) -> bool:
    if wanted == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    return (
        type(value) is {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int}[wanted]
    )


def _go(value: Any) -> str:
    name = {str: "string", bool: "bool", int: "number", float: "number", list: "array", dict: "object"}
    return name.get(type(value), "null")


def _go_type(wanted: str, schema: Schema) -> str:
    if wanted == "integer":
        return schema.get("format", "int64")
    return {"boolean": "bool", "object": "map", "array": "slice"}.get(wanted, wanted)


def without_nulls(value: Any) -> Any:
    """A copy without keys whose value is null, as a server's decoder leaves them out."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value
