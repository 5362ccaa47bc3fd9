"""Objects created and changed: the way through decoding, defaults, admission and validation."""

import copy
from dataclasses import dataclass
from typing import Any

from builders.kube.access import Access
from builders.kube.admission import Admission
from builders.kube.calls import User
from builders.kube.deletion import Deletion, finished
from builders.kube.kinds import Kind, Kinds
from builders.kube.managed import Managers
from builders.kube.metadata import born, kept, metadata_causes
from builders.kube.rules import causes, defaulted, prepared
from builders.kube.status import already_exists, bad_request, conflict, invalid, not_found, wrong
from builders.kube.store import Object, Store
from builders.kube.validation import Validation

TRIES = 8
"""Times that a generated name is drawn, before the request is told that there is one already."""


@dataclass(frozen=True)
class Writer:
    """Who writes, and how.

    Attributes:
        user: whose token it is.
        manager: field manager.
        dry_run: whether nothing is to be stored.
        checking: of unknown fields: Strict, Warn or Ignore.
    """

    user: User
    manager: str = "unknown"
    dry_run: bool = False
    checking: str = "Strict"


class Objects:
    """What may be done with objects, whoever asks; rights are looked at before."""

    def __init__(self, store: Store, kinds: Kinds, validation: Validation, access: Access) -> None:
        self.store, self.kinds, self.validation = store, kinds, validation
        self.admission = Admission(store, access)
        self.deletion = Deletion(store, kinds)
        self.managers = Managers(validation)

    def get(self, kind: Kind, namespace: str, name: str) -> Object:
        """One object.

        Raises:
            ApiError: 404.
        """
        item = self.store.get(kind.resource, (namespace if kind.namespaced else "", name))
        if item is None:
            raise not_found(name, kind.group, kind.plural)
        return kind.in_version(item)

    def create(
        self,
        kind: Kind,
        namespace: str,
        given: Any,
        writer: Writer,
        *,
        managers: list[Object] | None = None,
    ) -> Object:
        """Store a new object; ``managers`` says who manages which of its fields, without it its writer does.

        Raises:
            ApiError: 400, 403, 404, 409 or 422.
        """
        given = self.read(kind, given, writer)
        inner = given["metadata"].get("namespace", namespace)
        if kind.namespaced and inner != namespace:
            raise bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        if given["metadata"].get("resourceVersion"):
            raise bad_request("resourceVersion should not be set on objects to be created")
        for attempt in range(TRIES):
            item = self._made(kind, namespace, copy.deepcopy(given), writer)
            name = item["metadata"]["name"]
            if self.store.get(kind.resource, (item["metadata"].get("namespace", ""), name)) is None:
                break
            if given["metadata"].get("name") or attempt == TRIES - 1:
                raise already_exists(name, kind.group, kind.plural)
        if managers is None:
            item = self.managers.updated(kind, item, None, writer.manager)
        else:
            item["metadata"]["managedFields"] = managers
        if writer.dry_run:
            return item
        return self.store.put(kind.resource, item)

    def _made(self, kind: Kind, namespace: str, given: Object, writer: Writer) -> Object:
        item = defaulted(kind, prepared(kind, born(given, kind, namespace), None))
        self.admission.create(kind, item, writer.user)
        if found := [*metadata_causes(item, kind), *causes(kind, item, None)]:
            raise invalid(item["metadata"].get("name", ""), kind.group, kind.kind, found)
        self.admission.accept(kind, item)
        return item

    def update(
        self,
        kind: Kind,
        key: tuple[str, str],
        given: Any,
        writer: Writer,
        *,
        subresource: str = "",
    ) -> Object:
        """Put an object in the place of the one that is there.

        Raises:
            ApiError: 400, 404, 409 or 422.
        """
        namespace, name = key
        given = self.read(kind, given, writer)
        metadata = given["metadata"]
        if metadata.get("name", name) != name:
            raise bad_request(
                f"the name of the object ({metadata['name']}) does not match the name on the URL ({name})"
            )
        if metadata.get("namespace", namespace) != namespace:
            raise bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        before = self.get(kind, namespace, name)
        if kind.custom and not metadata.get("resourceVersion"):
            cause = wrong("metadata.resourceVersion", 0, "must be specified for an update")
            raise invalid(name, kind.group, kind.kind, [cause])
        return self.replace(kind, given, before, writer, subresource=subresource)

    def replace(
        self,
        kind: Kind,
        given: Object,
        before: Object,
        writer: Writer,
        *,
        subresource: str = "",
        managers: list[Object] | None = None,
    ) -> Object:
        """Put what was read, or what a patch made, in an object's place; ``managers`` says who manages which
        of its fields, without it who writes manages what changed."""
        was = before["metadata"]
        name = was["name"]
        self._as_expected(kind, given, before)
        item = prepared(kind, kept(given, before), before, subresource)
        item = defaulted(kind, {"apiVersion": kind.api_version, "kind": kind.kind, **item})
        self.admission.update(kind, item, before, writer.user)
        if found := [*metadata_causes(item, kind, before), *causes(kind, item, before, subresource)]:
            raise invalid(name, kind.group, kind.kind, found)
        if managers is None:
            item = self.managers.updated(kind, item, before, writer.manager, subresource)
        else:
            item["metadata"]["managedFields"] = managers
        if _same(item, before) and (managers is None or managers == was.get("managedFields")):
            return before
        if (kind.generations or kind.custom) and _means_other(item, before):
            item["metadata"]["generation"] = was.get("generation", 0) + 1
        if writer.dry_run:
            return item
        if finished(item):
            return self.deletion.remove(kind, item)
        return self.store.put(kind.resource, item)

    def _as_expected(self, kind: Kind, given: Object, before: Object) -> None:
        name, metadata, was = before["metadata"]["name"], given["metadata"], before["metadata"]
        if metadata.get("uid", was["uid"]) != was["uid"]:
            words = (
                f"Precondition failed: UID in precondition: {metadata['uid']}, "
                f"UID in object meta: {was['uid']}"
            )
            raise conflict(name, kind.group, kind.plural, words)
        if metadata.get("resourceVersion", was["resourceVersion"]) not in ("", was["resourceVersion"]):
            raise conflict(name, kind.group, kind.plural)

    def read_part(self, kind: Kind, given: Any, writer: Writer) -> Object:
        """What is applied, which may lack what an object needs."""
        return self.validation.read(kind, given, writer.checking, whole=False)

    def read(self, kind: Kind, given: Any, writer: Writer) -> Object:
        """A request's object, checked against its schema."""
        return self.validation.read(kind, given, writer.checking)


def _same(item: Object, before: Object) -> bool:
    return _without_version(item) == _without_version(before)


def _without_version(item: Object) -> Object:
    metadata = {
        key: value
        for key, value in item["metadata"].items()
        if key not in ("resourceVersion", "managedFields")
    }
    return {**item, "metadata": metadata}


def _means_other(item: Object, before: Object) -> bool:
    apart = ("metadata", "status")
    return any(item.get(key) != before.get(key) for key in {*item, *before} if key not in apart)
