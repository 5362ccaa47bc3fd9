"""A request's object read: built-in kinds by Kubernetes' schemas, custom resources by what their makers
publish, with every field that would be dropped refused."""

from collections.abc import Callable, Iterable
from typing import Any

from builders.kube.bounds import fill_defaults
from builders.kube.kinds import Kind
from builders.kube.schemas import OBJECT_META, Fault, Schema, definition_of, faults, without_nulls
from builders.kube.status import Cause, bad_request, invalid, of_wrong_type, required, unsupported, wrong

Object = dict[str, Any]
Check = Callable[[Object], Iterable[Fault]]
METADATA: Schema = {"$ref": f"#/$defs/{OBJECT_META}"}


class Validation:
    """What objects of each kind may hold."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self._custom: dict[tuple[str, str], tuple[Schema, Check]] = {}

    def learn(self, kind: Kind, schema: Schema, check: Check | None = None) -> None:
        """Take a custom kind's schema, and what looks at its objects in its place where there is one."""
        self._custom[kind.api_version, kind.kind] = (schema, check or (lambda item: faults(item, schema)))

    def schema(self, kind: Kind) -> Schema:
        """What an object of a kind is."""
        if kind.custom:
            return self._custom[kind.api_version, kind.kind][0]
        return {"$ref": f"#/$defs/{definition_of(kind)}"}

    def read(self, kind: Kind, given: Any, checking: str = "Strict", *, whole: bool = True) -> Object:
        """An object as it may be stored.

        Args:
            kind: that the path names.
            given: the body.
            checking: Strict refuses unknown fields, Warn and Ignore leave them out.
            whole: whether what an object needs must be there.
        Raises:
            ApiError: 400 or 422.
        """
        item = _of_kind(kind, given)
        if kind.custom:
            fill_defaults(item, self._custom[kind.api_version, kind.kind][0])
            found = [*faults(item["metadata"], METADATA, "metadata")]
            found += self._custom[kind.api_version, kind.kind][1](item)
        else:
            found = [*faults(item, self.schema(kind))]
        unknown = [fault for fault in found if fault.kind == "unknown"]
        if unknown and checking == "Strict":
            raise _unreadable(kind, f"strict decoding error: {', '.join(f.words for f in unknown)}")
        self.warnings = [fault.words for fault in unknown] if checking == "Warn" else []
        for fault in unknown:
            _remove(item, fault.path)
        untyped = next((fault for fault in found if fault.kind == "type"), None)
        if untyped and not (kind.custom and untyped.allowed):
            raise _unreadable(kind, untyped.words)
        apart = ("unknown",) if whole else ("unknown", "missing")
        causes = [_cause(fault) for fault in found if fault.kind not in apart]
        if causes:
            raise invalid(item["metadata"].get("name", ""), kind.group, kind.kind, causes)
        return item


def _of_kind(kind: Kind, given: Any) -> Object:
    if not isinstance(given, dict):
        raise bad_request(f"couldn't get version/kind; json parse error: {type(given).__name__} is no object")
    if kind.custom and not given.get("kind"):
        raise bad_request("Object 'Kind' is missing in the request's body")
    if given.get("kind", kind.kind) != kind.kind:
        raise _unreadable(kind, "unknown conversion", given["kind"])
    if given.get("apiVersion", kind.api_version) != kind.api_version:
        raise bad_request(
            f"the API version in the data ({given['apiVersion']}) does not match the expected API version "
            f"({kind.api_version})"
        )
    item = without_nulls(given)
    item = {"apiVersion": kind.api_version, "kind": kind.kind, **item}
    if not isinstance(item.setdefault("metadata", {}), dict):
        raise _unreadable(kind, "json: cannot unmarshal into Go struct field .metadata of type v1.ObjectMeta")
    return item


def _unreadable(kind: Kind, words: str, name: str = "") -> Exception:
    return bad_request(
        f'{name or kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: {words}'
    )


def _cause(fault: Fault) -> Cause:
    if fault.kind == "missing":
        return required(fault.path)
    if fault.kind == "bounds":
        return wrong(fault.path, fault.value, fault.words)
    if fault.kind == "enum":
        return unsupported(fault.path, fault.value, fault.allowed)
    return of_wrong_type(fault.path, fault.value, fault.allowed[0])


def _remove(item: Any, path: str) -> None:
    """Leave out a field, named as faults name it."""
    steps: list[str | int] = []
    for step in path.split("."):
        name, *indices = step.replace("]", "").split("[")
        steps += [name, *map(int, indices)]
    for one in steps[:-1]:
        item = item[one]
    item.pop(steps[-1], None)
