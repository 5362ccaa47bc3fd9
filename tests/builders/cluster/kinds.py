"""Kinds of objects that the cluster's controllers read and write, and what objects have in common."""

import copy
import datetime
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]
Key = tuple[str, str]
"""Namespace and name; the namespace is empty for what the whole cluster has."""


@dataclass(frozen=True)
class Kind:
    """A kind of object, and where the API has it.

    Attributes:
        name: of the kind.
        version: as in ``apiVersion``.
        plural: as in the path.
        namespaced: whether its objects lie in namespaces.
    """

    name: str
    version: str
    plural: str
    namespaced: bool = True

    def path(self, key: Key | None = None, under: str = "") -> str:
        """Path of an object, of what is under it, or of all objects of the kind."""
        root = f"/apis/{self.version}" if "/" in self.version else f"/api/{self.version}"
        if key is None:
            return f"{root}/{self.plural}"
        space = f"/namespaces/{key[0]}" if self.namespaced else ""
        name = f"/{key[1]}" if key[1] else ""
        return f"{root}{space}/{self.plural}{name}{under}"


KINDS = {
    kind.name: kind
    for kind in (
        Kind("Node", "v1", "nodes", namespaced=False),
        Kind("Pod", "v1", "pods"),
        Kind("Service", "v1", "services"),
        Kind("ServiceAccount", "v1", "serviceaccounts"),
        Kind("Secret", "v1", "secrets"),
        Kind("ConfigMap", "v1", "configmaps"),
        Kind("PersistentVolumeClaim", "v1", "persistentvolumeclaims"),
        Kind("Event", "v1", "events"),
        Kind("Namespace", "v1", "namespaces", namespaced=False),
        Kind("PriorityClass", "scheduling.k8s.io/v1", "priorityclasses", namespaced=False),
        Kind("Job", "batch/v1", "jobs"),
        Kind("JobSet", "jobset.x-k8s.io/v1alpha2", "jobsets"),
        Kind("TrainJob", "trainer.kubeflow.org/v1alpha1", "trainjobs"),
        Kind("TrainingRuntime", "trainer.kubeflow.org/v1alpha1", "trainingruntimes"),
        Kind(
            "ClusterTrainingRuntime",
            "trainer.kubeflow.org/v1alpha1",
            "clustertrainingruntimes",
            namespaced=False,
        ),
        Kind("LocalQueue", "kueue.x-k8s.io/v1beta1", "localqueues"),
        Kind("ClusterQueue", "kueue.x-k8s.io/v1beta1", "clusterqueues", namespaced=False),
        Kind("Workload", "kueue.x-k8s.io/v1beta1", "workloads"),
    )
}


def key_of(thing: Object) -> Key:
    """Where an object is."""
    meta = thing["metadata"]
    return meta.get("namespace", ""), meta["name"]


def uid_of(thing: Object) -> str:
    """What no other object is called, ever."""
    return thing["metadata"]["uid"]


def leaving(thing: Object) -> bool:
    """Whether its deletion was asked for."""
    return bool(thing["metadata"].get("deletionTimestamp"))


def status_of(thing: Object) -> Object:
    """Its status; empty where nobody has written one."""
    return thing.get("status") or {}


def labels_of(thing: Object) -> dict[str, str]:
    """Its labels."""
    return thing["metadata"].get("labels") or {}


def annotations_of(thing: Object) -> dict[str, str]:
    """Its annotations."""
    return thing["metadata"].get("annotations") or {}


def condition(thing: Object, kind: str) -> Object | None:
    """Its condition of a type."""
    return next((one for one in status_of(thing).get("conditions") or [] if one["type"] == kind), None)


def holds(thing: Object, kind: str) -> bool:
    """Whether its condition of a type is true."""
    found = condition(thing, kind)
    return found is not None and found["status"] == "True"


def with_condition(conditions: Iterable[Object], new: Object) -> list[Object]:
    """Conditions with one put in its place; its time of transition stays where its status does."""
    kept, placed = [], False
    for one in conditions:
        if one["type"] != new["type"]:
            kept.append(one)
            continue
        same = one["status"] == new["status"]
        kept.append({**new, "lastTransitionTime": one["lastTransitionTime"] if same else now_text()})
        placed = True
    if not placed:
        kept.append({"lastTransitionTime": now_text(), **new})
    return kept


def controller_of(thing: Object) -> Object | None:
    """The reference to the object that made it."""
    references = thing["metadata"].get("ownerReferences") or []
    return next((one for one in references if one.get("controller")), None)


def reference_to(owner: Object) -> Object:
    """What an object says of that which made it."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": uid_of(owner),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def matches(labels: Mapping[str, str], selector: Mapping[str, str] | None) -> bool:
    """Whether labels have every value of a selector."""
    return all(labels.get(name) == value for name, value in (selector or {}).items())


def now_text() -> str:
    """The time, as the API writes it."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def short_hash(*parts: str) -> str:
    """Five letters that names are told apart by."""
    return hashlib.sha256("/".join(parts).encode()).hexdigest()[:5]


def merged(under: Any, over: Any) -> Any:
    """A value with another's fields put into it; lists of what has a name are merged by name."""
    if isinstance(under, dict) and isinstance(over, dict):
        result = dict(under)
        for name, value in over.items():
            result[name] = merged(under[name], value) if name in under else copy.deepcopy(value)
        return result
    if _named(under) and _named(over):
        known = {one["name"]: one for one in under}
        added = {one["name"]: merged(known.get(one["name"], {}), one) for one in over}
        return [added.pop(one["name"], one) for one in under] + list(added.values())
    return copy.deepcopy(over)


def _named(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, dict) and "name" in one for one in value)
