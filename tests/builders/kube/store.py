"""What the API remembers: objects by kind, one count of changes over all of them, and the changes themselves.

An object that is stored is never altered, a change puts another in its place: what a watch sends is encoded
once, however many watch.
"""

import json
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from builders.kube.status import expired

Object = dict[str, Any]
Key = tuple[str, str]
"""Namespace, empty for kinds without, and name."""
KEPT = 50_000
"""Changes of one kind that watches may go back to."""


@dataclass(frozen=True)
class Change:
    """One change of one object.

    Attributes:
        type: what became of it.
        item: as it is now; at its removal as it was, with the removal's version.
        before: as it was; None where it is new.
    """

    type: Literal["ADDED", "MODIFIED", "DELETED"]
    resource: str
    item: Object
    before: Object | None

    @cached_property
    def version(self) -> int:
        return int(self.item["metadata"]["resourceVersion"])

    @cached_property
    def encoded(self) -> bytes:
        """The object as JSON."""
        return encode(self.item)


Listener = Callable[[Change], None]


def encode(item: Object) -> bytes:
    return json.dumps(item, separators=(",", ":")).encode()


def key_of(item: Object) -> Key:
    metadata = item["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


class Store:
    """Objects and their changes."""

    def __init__(self) -> None:
        self.version = 1
        self._compacted: dict[str, int] = defaultdict(int)
        self._objects: dict[str, dict[Key, Object]] = defaultdict(dict)
        self._changes: dict[str, deque[Change]] = defaultdict(deque)
        self._listeners: dict[str, list[Listener]] = defaultdict(list)
        self._by_uid: dict[str, tuple[str, Key]] = {}
        self._owned: dict[str, set[tuple[str, Key]]] = defaultdict(set)
        self.pages: dict[str, tuple[int, list[Object]]] = {}
        self.every_change: list[Listener] = []

    def get(self, resource: str, key: Key) -> Object | None:
        return self._objects[resource].get(key)

    def all(self, resource: str) -> list[Object]:
        """Every object of a kind, by namespace and name."""
        objects = self._objects[resource]
        return [objects[key] for key in sorted(objects)]

    def resources(self) -> list[str]:
        """Kinds of which there are objects."""
        return [resource for resource, objects in self._objects.items() if objects]

    def by_uid(self, uid: str) -> tuple[str, Object] | None:
        """An object, and what it is stored under."""
        place = self._by_uid.get(uid)
        return (place[0], self._objects[place[0]][place[1]]) if place else None

    def owned_by(self, uid: str) -> list[tuple[str, Object]]:
        """Objects that name an owner, and what they are stored under."""
        return [(resource, self._objects[resource][key]) for resource, key in sorted(self._owned[uid])]

    def put(self, resource: str, item: Object) -> Object:
        """Store an object under its name, with the next version."""
        before = self.get(resource, key_of(item))
        return self._change(Change("MODIFIED" if before else "ADDED", resource, self._next(item), before))

    def remove(self, resource: str, item: Object) -> Object:
        """Remove an object; gives it with the removal's version."""
        return self._change(Change("DELETED", resource, self._next(item), self.get(resource, key_of(item))))

    def since(self, resource: str, version: int) -> Iterator[Change]:
        """Changes after a version.

        Raises:
            ApiError: 410, they are not kept any more.
        """
        if version < self._compacted[resource]:
            raise expired(f"too old resource version: {version} ({self._compacted[resource]})")
        yield from (change for change in self._changes[resource] if change.version > version)

    def listen(self, resource: str, listener: Listener) -> Callable[[], None]:
        """Call a function with each change from now on, until what is returned is called."""
        listeners = self._listeners[resource]
        listeners.append(listener)
        return lambda: listeners.remove(listener)

    def compact(self) -> None:
        """Forget every change up to now: what goes on from an earlier version is gone."""
        self.pages.clear()
        for resource in {*self._changes, *self._objects, *self._listeners}:
            self._changes[resource].clear()
            self._compacted[resource] = self.version

    def tick(self) -> int:
        """Count a change that is none of an object's."""
        self.version += 1
        return self.version

    def _next(self, item: Object) -> Object:
        self.version += 1
        return {**item, "metadata": {**item["metadata"], "resourceVersion": str(self.version)}}

    def _change(self, change: Change) -> Object:
        key, resource = key_of(change.item), change.resource
        place = (resource, key)
        for uid in _owners(change.before):
            self._owned[uid].discard(place)
        if change.type == "DELETED":
            del self._objects[resource][key]
            self._by_uid.pop(change.item["metadata"]["uid"], None)
        else:
            self._objects[resource][key] = change.item
            self._by_uid[change.item["metadata"]["uid"]] = place
            for uid in _owners(change.item):
                self._owned[uid].add(place)
        changes = self._changes[resource]
        changes.append(change)
        if len(changes) > KEPT:
            self._compacted[resource] = changes.popleft().version
        for listener in [*self._listeners[resource], *self.every_change]:
            listener(change)
        return change.item


def _owners(item: Object | None) -> list[str]:
    references = (item or {}).get("metadata", {}).get("ownerReferences") or []
    return [reference["uid"] for reference in references]
