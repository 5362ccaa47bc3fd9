"""Deletion: grace, finalizers, and what becomes of what the deleted object owns.

A garbage collector follows each change, as the real one does after the answer: foreground deletion waits for
those dependents that block it, background deletion takes them after their owner, orphans lose their owner.
"""

import asyncio
import functools
from collections.abc import Callable
from typing import Any

from builders.kube.kinds import Kind, Kinds
from builders.kube.metadata import after
from builders.kube.status import ApiError, bad_request, conflict, forbidden, success
from builders.kube.store import Change, Object, Store

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"
POLICIES = {"Foreground": FOREGROUND, "Orphan": ORPHAN, "Background": ""}
LASTING = ("default", "kube-system", "kube-public")
KEPT_BY_DEFAULT = frozenset({"jobs.batch"})
"""Kinds whose dependents stay unless the request says otherwise."""
ORPHANS_WARNING = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove "
    "them or set propagationPolicy=Orphan to suppress this warning"
)


def finished(item: Object) -> bool:
    """Whether an object that is being deleted has nothing left to wait for."""
    metadata = item["metadata"]
    return (
        "deletionTimestamp" in metadata
        and not metadata.get("finalizers")
        and not metadata.get("deletionGracePeriodSeconds")
        and not (item.get("kind") == "Namespace" and item["spec"].get("finalizers"))
    )


class Deletion:
    """Deletes objects, and what they own."""

    def __init__(self, store: Store, kinds: Kinds) -> None:
        self.store, self.kinds = store, kinds
        self._later: Callable[[Callable[[], None]], Any] = lambda call: asyncio.get_running_loop().call_soon(
            call
        )
        store.every_change.append(self._follow)

    def delete(self, kind: Kind, item: Object, options: Object, *, dry_run: bool = False) -> Object:
        """Delete an object, or begin to.

        Args:
            kind: of the object.
            item: as it is.
            options: a DeleteOptions.
            dry_run: whether nothing is to be done.
        Returns:
            What is answered: the object while it waits for something, else a Status or the object.
        Raises:
            ApiError: 400 or 409.
        """
        name = item["metadata"]["name"]
        if kind.resource == "namespaces" and name in LASTING:
            raise forbidden(name, "", "namespaces", "this namespace may not be deleted")
        _preconditions(kind, item, options.get("preconditions") or {})
        policy = _policy(kind, item, options)
        grace = _grace(kind, item, options)
        finalizers = [
            name for name in item["metadata"].get("finalizers") or [] if name not in (FOREGROUND, ORPHAN)
        ]
        if finalizer := POLICIES[policy]:
            finalizers = [*finalizers, finalizer]
        metadata = {**item["metadata"], "finalizers": finalizers}
        first = "deletionTimestamp" not in metadata
        if first or grace < metadata.get("deletionGracePeriodSeconds", 0):
            metadata["deletionTimestamp"] = after(grace)
            metadata["deletionGracePeriodSeconds"] = grace
        if first and "generation" in metadata:
            metadata["generation"] += 1
        if not finalizers:
            del metadata["finalizers"]
        marked = {**item, "metadata": metadata}
        if kind.resource == "namespaces":
            marked["status"] = {**item.get("status", {}), "phase": "Terminating"}
        if dry_run:
            return marked
        if finished(marked):
            gone = self.remove(kind, marked)
            return (
                gone
                if kind.returns_deleted
                else success(metadata["name"], kind.group, kind.plural, metadata["uid"])
            )
        return self.store.put(kind.resource, marked) if marked != item else item

    def warnings(self, kind: Kind, options: Object) -> list[str]:
        """What a client is told of a deletion."""
        told = "propagationPolicy" in options or "orphanDependents" in options
        return [ORPHANS_WARNING] if kind.resource in KEPT_BY_DEFAULT and not told else []

    def remove(self, kind: Kind, item: Object) -> Object:
        """Take an object out of the store."""
        return self.store.remove(kind.resource, item)

    def _follow(self, change: Change) -> None:
        metadata = change.item["metadata"]
        if change.type == "DELETED":
            uid = metadata["uid"]
            if self.store.owned_by(uid):
                self._later(lambda: self._collect_dependents(uid))
            for reference in metadata.get("ownerReferences") or []:
                self._later(functools.partial(self._wake_owner, reference["uid"]))
        elif change.resource == "namespaces" and "deletionTimestamp" in metadata:
            self._later(lambda: self._empty_namespace(metadata["name"]))
        elif "deletionTimestamp" in metadata:
            if {FOREGROUND, ORPHAN} & set(metadata.get("finalizers") or ()):
                self._later(lambda: self._wake_owner(metadata["uid"]))
        elif metadata.get("ownerReferences") and change.type == "ADDED":
            self._later(lambda: self._collect(metadata["uid"]))
        if change.type == "DELETED" and metadata.get("namespace"):
            namespace = self.store.get("namespaces", ("", metadata["namespace"]))
            if namespace and "deletionTimestamp" in namespace["metadata"]:
                self._later(lambda: self._empty_namespace(metadata["namespace"]))

    def _wake_owner(self, uid: str) -> None:
        """Go on with the deletion of an owner that waits for its dependents."""
        found = self.store.by_uid(uid)
        if not found or "deletionTimestamp" not in found[1]["metadata"]:
            return
        resource, owner = found
        finalizers = owner["metadata"].get("finalizers") or []
        dependents = self.store.owned_by(uid)
        if ORPHAN in finalizers:
            for dependent_resource, dependent in dependents:
                self._disown(dependent_resource, dependent, uid)
            self._without(resource, owner, ORPHAN)
        elif FOREGROUND in finalizers:
            for dependent_resource, dependent in dependents:
                self._delete_dependent(dependent_resource, dependent, uid)
            if not any(_blocks(dependent, uid) for _, dependent in self.store.owned_by(uid)):
                found = self.store.by_uid(uid)
                if found:
                    self._without(resource, found[1], FOREGROUND)

    def _delete_dependent(self, resource: str, item: Object, owner: str) -> None:
        """Delete what an owner waits for, unless another owner keeps it."""
        metadata = item["metadata"]
        others = [r for r in metadata["ownerReferences"] if r["uid"] != owner and self._is_there(r, item)]
        if others:
            self._disown(resource, item, owner)
        elif "deletionTimestamp" not in metadata:
            policy = "Foreground" if self.store.owned_by(metadata["uid"]) else "Background"
            self.delete(self.kinds.of(resource), item, {"propagationPolicy": policy})

    def _collect_dependents(self, uid: str) -> None:
        for _, dependent in self.store.owned_by(uid):
            self._collect(dependent["metadata"]["uid"])

    def _collect(self, uid: str) -> None:
        """Delete an object none of whose owners is there."""
        found = self.store.by_uid(uid)
        if not found or "deletionTimestamp" in found[1]["metadata"]:
            return
        resource, item = found
        references = item["metadata"].get("ownerReferences") or []
        there = [reference for reference in references if self._is_there(reference, item)]
        if references and not there:
            self.delete(self.kinds.of(resource), item, {"propagationPolicy": "Background"})
        elif len(there) < len(references):
            for reference in references:
                if reference not in there:
                    self._disown(resource, item, reference["uid"])
                    return

    def _is_there(self, reference: Object, item: Object) -> bool:
        found = self.store.by_uid(reference["uid"])
        if not found:
            return False
        namespace = found[1]["metadata"].get("namespace")
        return namespace in (None, item["metadata"].get("namespace"))

    def _disown(self, resource: str, item: Object, uid: str) -> None:
        references = [r for r in item["metadata"]["ownerReferences"] if r["uid"] != uid]
        metadata = {**item["metadata"], "ownerReferences": references}
        if not references:
            del metadata["ownerReferences"]
        self.store.put(resource, {**item, "metadata": metadata})

    def _without(self, resource: str, item: Object, finalizer: str) -> None:
        finalizers = [name for name in item["metadata"].get("finalizers") or [] if name != finalizer]
        metadata = {**item["metadata"], "finalizers": finalizers}
        if not finalizers:
            del metadata["finalizers"]
        changed = {**item, "metadata": metadata}
        if finished(changed):
            self.remove(self.kinds.of(resource), changed)
        else:
            self.store.put(resource, changed)

    def _empty_namespace(self, name: str) -> None:
        namespace = self.store.get("namespaces", ("", name))
        if namespace is None:
            return
        left = 0
        for resource in self.store.resources():
            for item in self.store.all(resource):
                if item["metadata"].get("namespace") == name:
                    left += 1
                    if "deletionTimestamp" not in item["metadata"]:
                        self.delete(self.kinds.of(resource), item, {"propagationPolicy": "Background"})
        left = sum(
            item["metadata"].get("namespace") == name
            for resource in self.store.resources()
            for item in self.store.all(resource)
        )
        namespace = self.store.get("namespaces", ("", name))
        if not left and namespace and namespace["spec"].get("finalizers"):
            emptied = {**namespace, "spec": {}}
            if finished(emptied):
                self.remove(self.kinds.of("namespaces"), emptied)


def _preconditions(kind: Kind, item: Object, wanted: Object) -> None:
    metadata = item["metadata"]
    for name, word in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
        if wanted.get(name) and wanted[name] != metadata[name]:
            where = "UID in object meta" if name == "uid" else "ResourceVersion in object meta"
            words = f"Precondition failed: {word} in precondition: {wanted[name]}, {where}: {metadata[name]}"
            raise conflict(metadata["name"], kind.group, kind.plural, words)


def _policy(kind: Kind, item: Object, options: Object) -> str:
    policy, orphans = options.get("propagationPolicy"), options.get("orphanDependents")
    if policy and orphans is not None:
        raise ApiError(
            422,
            "Invalid",
            'DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Invalid '
            "value: orphanDependents and deletionPropagation cannot be both set",
        )
    if policy and policy not in POLICIES:
        raise bad_request(f"invalid propagationPolicy: {policy}")
    if orphans is not None:
        return "Orphan" if orphans else "Background"
    if policy:
        return policy
    for name, finalizer in POLICIES.items():
        if finalizer and finalizer in (item["metadata"].get("finalizers") or ()):
            return name
    return "Orphan" if kind.resource in KEPT_BY_DEFAULT else "Background"


def _grace(kind: Kind, item: Object, options: Object) -> int:
    if kind.resource != "pods":
        return 0
    ended = (item.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    if not item["spec"].get("nodeName") or ended:
        return 0
    wanted = options.get("gracePeriodSeconds")
    return int(item["spec"].get("terminationGracePeriodSeconds", 30) if wanted is None else wanted)


def _blocks(dependent: Object, uid: str) -> bool:
    references = dependent["metadata"].get("ownerReferences") or []
    return any(r["uid"] == uid and r.get("blockOwnerDeletion") for r in references)
