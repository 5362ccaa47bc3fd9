"""``/openapi/v3``: a document for each group, with schemas and those operations that clients look at.

kubectl and helm ask it whether unknown fields are checked, and by which keys lists are merged.
"""

import hashlib
import json
from typing import Any

from builders.kube.kinds import Kind, Kinds
from builders.kube.schemas import DEFINITIONS, INT_OR_STRING, QUANTITY, definition_of, definitions
from builders.kube.validation import Validation

Object = dict[str, Any]
COMPONENTS = "#/components/schemas/"
PARAMETERS = [
    {"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}}
    for name in ("dryRun", "fieldManager", "fieldValidation", "force")
]
ACTIONS = {"patch": "patch", "put": "update", "get": "get", "delete": "delete"}
EITHER = {"oneOf": [{"type": "string"}, {"type": "number"}]}


class OpenApi:
    """The documents, made when they are first asked for and whenever kinds have changed."""

    def __init__(self, kinds: Kinds, validation: Validation) -> None:
        self.kinds, self.validation = kinds, validation
        self._made: dict[tuple[Kind, ...], bytes] = {}

    def index(self) -> Object:
        """Where the documents are."""
        paths = {}
        for group, version in self._groups():
            path = _path(group, version)
            mark = hashlib.sha256(repr(self._kinds(group, version)).encode()).hexdigest()
            paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={mark}"}
        return {"paths": paths}

    def document(self, path: str) -> bytes | None:
        """One document, by its group's path."""
        for group, version in self._groups():
            if _path(group, version) == path:
                kinds = self._kinds(group, version)
                if kinds not in self._made:
                    self._made[kinds] = json.dumps(self._document(kinds)).encode()
                return self._made[kinds]
        return None

    def _groups(self) -> list[tuple[str, str]]:
        return list(dict.fromkeys((kind.group, kind.version) for kind in self.kinds))

    def _kinds(self, group: str, version: str) -> tuple[Kind, ...]:
        return tuple(kind for kind in self.kinds if (kind.group, kind.version) == (group, version))

    def _document(self, kinds: tuple[Kind, ...]) -> Object:
        paths: Object = {}
        schemas: Object = {}
        for kind in kinds:
            name = component(kind)
            paths |= _paths(kind, name)
            schemas[name] = _served(self.validation.schema(kind), schemas)
            if "$ref" in schemas[name]:
                schemas[name] = _served(definitions()[definition_of(kind)], schemas)
            told = {"group": kind.group, "kind": kind.kind, "version": kind.version}
            schemas[name] = {**schemas[name], "x-kubernetes-group-version-kind": [told]}
        return {
            "openapi": "3.0.0",
            "info": {"title": "Kubernetes", "version": "v1.37.1"},
            "paths": paths,
            "components": {"schemas": schemas},
        }


def component(kind: Kind) -> str:
    """Name of a kind's schema."""
    if kind.custom:
        return ".".join([*reversed(kind.group.split(".")), kind.version, kind.kind])
    return definition_of(kind)


def _path(group: str, version: str) -> str:
    return f"apis/{group}/{version}" if group else f"api/{version}"


def _paths(kind: Kind, name: str) -> Object:
    told = {"group": kind.group, "version": kind.version, "kind": kind.kind}
    collection = f"/{_path(kind.group, kind.version)}"
    collection += f"/namespaces/{{namespace}}/{kind.plural}" if kind.namespaced else f"/{kind.plural}"
    content = {"application/json": {"schema": {"$ref": COMPONENTS + name}}}
    answer = {"200": {"description": "OK", "content": content}}

    def operation(action: str) -> Object:
        return {
            "responses": answer,
            "parameters": PARAMETERS,
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": told,
        }

    own = {method: operation(action) for method, action in ACTIONS.items() if action in kind.verbs}
    paths: Object = {collection: {"post": operation("post")}}
    if own:
        paths[f"{collection}/{{name}}"] = own
    return paths


def _served(schema: Any, schemas: Object) -> Any:
    """A schema in OpenAPI's words; what it refers to is added to ``schemas``."""
    if isinstance(schema, list):
        return [_served(item, schemas) for item in schema]
    if not isinstance(schema, dict):
        return schema
    served: Object = {}
    for key, value in schema.items():
        if key == "$ref":
            name = value.removeprefix(DEFINITIONS)
            if name not in schemas:
                schemas[name] = {}
                schemas[name] = (
                    EITHER if name in (QUANTITY, INT_OR_STRING) else _served(definitions()[name], schemas)
                )
            served["$ref"] = COMPONENTS + name
        elif key == "type" and isinstance(value, list):
            served["type"] = next(one for one in value if one != "null")
        elif key == "additionalProperties" and value is False:
            continue
        elif key == "properties":
            served[key] = {name: _served(one, schemas) for name, one in value.items()}
        else:
            served[key] = _served(value, schemas)
    if "$ref" in served and len(served) > 1:
        reference = served.pop("$ref")
        served["allOf"] = [{"$ref": reference}]
    return served
