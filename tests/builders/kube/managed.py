"""Who manages which fields of an object: noted at each write, and what server-side apply goes by.

Who applies gives the fields that it wants and no others: what it gave before and gives no more goes, unless
another manages it; what another manages with another value is a conflict, unless it is forced.
"""

from dataclasses import dataclass
from typing import Any

from builders.kube.fieldsets import Path, fields_of, merged_by_fields, paths_of, told, trie, without_path
from builders.kube.kinds import Kind
from builders.kube.metadata import now
from builders.kube.status import ApiError, Cause, bad_request
from builders.kube.store import Object
from builders.kube.validation import Validation


@dataclass(frozen=True)
class Who:
    """One entry of ``managedFields``."""

    manager: str
    operation: str
    api_version: str
    subresource: str = ""


Managed = dict[Who, tuple[frozenset[Path], str]]
"""Fields and the time of the last change by each."""


class Managers:
    """Field managers."""

    def __init__(self, validation: Validation) -> None:
        self.validation = validation

    def updated(
        self, kind: Kind, item: Object, before: Object | None, manager: str, subresource: str = ""
    ) -> Object:
        """An object after a write that is no apply: its writer manages what it changed."""
        schema = self.validation.schema(kind)
        has, had = _differing(item, before or {})
        new, old = fields_of(has, schema), fields_of(had, schema)
        changed = {path for path, value in new.items() if path not in old or old[path] != value}
        gone = {path for path in old if path not in new}
        if not changed and not gone:
            return _with(item, (before or {}).get("metadata", {}).get("managedFields"))
        managed = {who: (fields - changed - gone, time) for who, (fields, time) in _read(before).items()}
        who = Who(manager, "Update", kind.api_version, subresource)
        managed[who] = (managed.get(who, (frozenset(), ""))[0] | changed, now())
        return _with(item, _written(managed))

    def applied(
        self, kind: Kind, before: Object | None, patch: Object, who: Who, *, force: bool
    ) -> tuple[Object, list[Object]]:
        """What an apply makes of an object, and its managers then.

        Raises:
            ApiError: 400, the patch names managers itself; 409, another manages a field with another value.
        """
        if patch.get("metadata", {}).get("managedFields"):
            raise bad_request("metadata.managedFields must be nil")
        schema = self.validation.schema(kind)
        wanted = fields_of(patch, schema)
        managed = _read(before)
        mine = managed.pop(who, (frozenset(), ""))
        merged = merged_by_fields(before or {}, patch, schema)
        there = fields_of(before or {}, schema)
        changed = {path for path, value in wanted.items() if path in there and there[path] != value}
        managed = _taken(managed, changed, force)
        others = frozenset().union(*(fields for fields, _ in managed.values()))
        for path in sorted(mine[0] - set(wanted), key=_items_first):
            if not _managed_by(others, path):
                merged = without_path(merged, path)
        fields = frozenset(wanted)
        managed[who] = (fields, mine[1] if before and fields == mine[0] and not changed else now())
        return merged, _written(managed)


def _taken(managed: Managed, changed: set[Path], force: bool) -> Managed:
    """Managers after one changed some fields.

    Raises:
        ApiError: 409, some are another's.
    """
    conflicts = {who: sorted(fields & changed) for who, (fields, _) in managed.items() if fields & changed}
    if not force and conflicts:
        raise _conflict(conflicts)
    return {who: (fields - changed, time) for who, (fields, time) in managed.items()}


def _conflict(conflicts: dict[Who, list[Path]]) -> ApiError:
    causes = []
    lines = []
    for who, paths in conflicts.items():
        words = f'"{who.manager}"'
        words += f' with subresource "{who.subresource}"' if who.subresource else ""
        words += f" using {who.api_version}" if who.operation == "Update" else ""
        causes += [Cause(told(path), "FieldManagerConflict", f"conflict with {words}") for path in paths]
        if len(paths) == 1:
            lines.append(f"conflict with {words}: {told(paths[0])}")
        else:
            lines.append("\n- ".join([f"conflicts with {words}:", *map(told, paths)]))
    count = len(causes)
    message = f"Apply failed with {count} conflict{'s' if count > 1 else ''}: {chr(10).join(lines)}"
    details = {"causes": [vars(cause) for cause in causes]}
    return ApiError(409, "Conflict", message, details=details)


def _items_first(path: Path) -> tuple[bool, int, Path]:
    """Items of lists go before their fields: without its key none is found."""
    return (path[-1] != ".", -len(path), path)


def _managed_by(others: frozenset[Path], path: Path) -> bool:
    """Whether someone manages a field, or, of a list's item, anything in it."""
    if path in others:
        return True
    return path[-1] == "." and any(one[: len(path) - 1] == path[:-1] for one in others)


def _differing(item: Object, before: Object) -> tuple[Object, Object]:
    """Those parts of two states that are not the same."""
    names = [name for name in {**before, **item} if item.get(name) != before.get(name)]
    return ({n: one[n] for n in names if n in one} for one in (item, before))  # type: ignore[return-value]


def _read(item: Object | None) -> Managed:
    managed: Managed = {}
    for entry in (item or {}).get("metadata", {}).get("managedFields") or []:
        who = Who(
            entry.get("manager", ""),
            entry.get("operation", "Update"),
            entry.get("apiVersion", ""),
            entry.get("subresource", ""),
        )
        managed[who] = (frozenset(paths_of(entry.get("fieldsV1") or {})), entry.get("time", ""))
    return managed


def _written(managed: Managed) -> list[Object]:
    entries = []
    for who, (fields, time) in managed.items():
        if not fields:
            continue
        entry: dict[str, Any] = {
            "manager": who.manager,
            "operation": who.operation,
            "apiVersion": who.api_version,
        }
        entry |= {"time": time or now(), "fieldsType": "FieldsV1", "fieldsV1": trie(fields)}
        if who.subresource:
            entry["subresource"] = who.subresource
        entries.append(entry)
    return entries


def _with(item: Object, entries: list[Object] | None) -> Object:
    metadata = {key: value for key, value in item["metadata"].items() if key != "managedFields"}
    if entries:
        metadata["managedFields"] = entries
    return {**item, "metadata": metadata}
