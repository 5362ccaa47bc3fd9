"""Custom resources: those of JobSet, Kubeflow's trainer, Kueue and KubeRay, and whatever a test defines."""

import copy
from collections.abc import Iterable

from builders.kube.custom_models import MODELS, kept_whole, model_schema
from builders.kube.custom_schemas import KUEUE, RAY, any_object
from builders.kube.kinds import Kind, Kinds
from builders.kube.rules import defaulted
from builders.kube.schemas import Schema, faults
from builders.kube.store import Change, Object, Store
from builders.kube.validation import Check, Validation


def _definition(
    group: str, versions: dict[str, Schema], kind: str, *, cluster: bool = False, short: Iterable[str] = ()
) -> Object:
    """A definition; the first of its versions is that which is stored and preferred."""
    plural = f"{kind.lower()}s"
    served = [
        {
            "name": version,
            "served": True,
            "storage": version == next(iter(versions)),
            "schema": {"openAPIV3Schema": schema},
            "subresources": {"status": {}},
        }
        for version, schema in versions.items()
    ]
    names = {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "names": {**names, "shortNames": list(short)},
            "scope": "Cluster" if cluster else "Namespaced",
            "versions": served,
        },
    }


TRAINER, JOBSET_GROUP, KUEUE_GROUP = "trainer.kubeflow.org", "jobset.x-k8s.io", "kueue.x-k8s.io"
_ALL = (
    _definition(JOBSET_GROUP, {"v1alpha2": any_object()}, "JobSet"),
    _definition(TRAINER, {"v1alpha1": any_object()}, "TrainJob"),
    _definition(TRAINER, {"v1alpha1": any_object()}, "TrainingRuntime"),
    _definition(TRAINER, {"v1alpha1": any_object()}, "ClusterTrainingRuntime", cluster=True),
    _definition(KUEUE_GROUP, KUEUE["LocalQueue"], "LocalQueue", short=("queue", "queues", "lq")),
    _definition(KUEUE_GROUP, KUEUE["ClusterQueue"], "ClusterQueue", cluster=True, short=("cq",)),
    _definition(KUEUE_GROUP, KUEUE["ResourceFlavor"], "ResourceFlavor", cluster=True, short=("rf",)),
    _definition(KUEUE_GROUP, KUEUE["Workload"], "Workload", short=("wl",)),
    _definition("ray.io", {"v1": RAY["RayCluster"]}, "RayCluster"),
    _definition("ray.io", {"v1": RAY["RayJob"]}, "RayJob"),
)
INSTALLED: dict[str, Object] = {definition["metadata"]["name"]: definition for definition in _ALL}
"""Definitions that are there unless a test leaves some out, by name: ``jobsets.jobset.x-k8s.io``."""


class Definitions:
    """Follows the definitions that are stored: what they define is served, until they are gone."""

    def __init__(self, kinds: Kinds, validation: Validation) -> None:
        self.kinds, self.validation = kinds, validation

    def follow(self, change: Change, store: Store) -> None:
        """A definition came, changed or went."""
        spec = change.item["spec"]
        names = spec["names"]
        if change.type == "DELETED":
            resource = f"{names['plural']}.{spec['group']}"
            for item in store.all(resource):
                store.remove(resource, item)
            self.kinds.remove(spec["group"], names["plural"])
            return
        for version in spec["versions"]:
            if version.get("served"):
                self._serve(spec, version)
        if change.type == "ADDED":
            conditions = [
                {
                    "type": name,
                    "status": "True",
                    "reason": "InitialNamesAccepted",
                    "message": "",
                    "lastTransitionTime": change.item["metadata"]["creationTimestamp"],
                }
                for name in ("NamesAccepted", "Established")
            ]
            stored = [version["name"] for version in spec["versions"] if version.get("storage")]
            status = {"conditions": conditions, "acceptedNames": names, "storedVersions": stored}
            store.put(change.resource, {**change.item, "status": status})

    def _serve(self, spec: Object, version: Object) -> None:
        names = spec["names"]
        kind = Kind(
            spec["group"],
            version["name"],
            names["kind"],
            names["plural"],
            spec["scope"] == "Namespaced",
            tuple(names.get("shortNames", ())),
            subresources=tuple(version.get("subresources", {})),
            generations=True,
            custom=True,
            categories=tuple(names.get("categories", ())),
            singular=names.get("singular", ""),
        )
        schema = (version.get("schema") or {}).get("openAPIV3Schema") or any_object()
        check = _check(kind, schema)
        modelled = kind.group in (JOBSET_GROUP, TRAINER) and kind.kind in MODELS
        self.validation.learn(kind, model_schema(kind.kind) if modelled else schema, check)
        self.kinds.add(kind)


def _check(kind: Kind, schema: Schema) -> Check:
    if kind.group in (JOBSET_GROUP, TRAINER) and kind.kind in MODELS:
        return lambda item: kept_whole(_filled(kind, item), kind.kind)
    own = _closed({**schema, "properties": {**schema.get("properties", {}), **_COMMON}})
    return lambda item: faults(item, own)


_COMMON: dict[str, Schema] = {
    "apiVersion": {"type": "string"},
    "kind": {"type": "string"},
    "metadata": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
}


def _filled(kind: Kind, item: Object) -> Object:
    """With what the webhook fills in, which it does before the schema is looked at."""
    try:
        return defaulted(kind, copy.deepcopy(item))
    except (AttributeError, KeyError, TypeError):
        return item


def _closed(schema: Schema) -> Schema:
    """A structural schema as it is served: what it does not name is not kept, at any depth."""
    result = dict(schema)
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            result[name] = _closed(schema[name])
    if "properties" in schema:
        result["properties"] = {name: _closed(inner) for name, inner in schema["properties"].items()}
        if "additionalProperties" not in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
            result["additionalProperties"] = False
    return result
