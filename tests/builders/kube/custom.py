"""Custom resources: those of JobSet, Kubeflow's trainer, Kueue and KubeRay, and whatever a test defines.

JobSet's and the trainer's objects are read by the models that Kubeflow publishes, written back, and refused
when a key was lost on the way, as those models drop what they do not know.
"""

import functools
from collections.abc import Callable, Iterable
from typing import Any

import pydantic
from kubeflow_trainer_api import models

from builders.kube.custom_schemas import KUEUE, RAY, any_object
from builders.kube.kinds import Kind, Kinds
from builders.kube.schemas import Fault, Schema, faults
from builders.kube.store import Change, Object, Store
from builders.kube.validation import Check, Validation

MODELS = {
    "JobSet": models.JobsetV1alpha2JobSet,
    "TrainJob": models.TrainerV1alpha1TrainJob,
    "TrainingRuntime": models.TrainerV1alpha1TrainingRuntime,
    "ClusterTrainingRuntime": models.TrainerV1alpha1ClusterTrainingRuntime,
}


def _definition(
    group: str, version: str, kind: str, schema: Schema, *, cluster: bool = False, short: Iterable[str] = ()
) -> Object:
    plural = f"{kind.lower()}s"
    served = {
        "name": version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
    }
    names = {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "names": {**names, "shortNames": list(short)},
            "scope": "Cluster" if cluster else "Namespaced",
            "versions": [served],
        },
    }


TRAINER, JOBSET_GROUP, KUEUE_GROUP = "trainer.kubeflow.org", "jobset.x-k8s.io", "kueue.x-k8s.io"
_ALL = (
    _definition(JOBSET_GROUP, "v1alpha2", "JobSet", any_object()),
    _definition(TRAINER, "v1alpha1", "TrainJob", any_object()),
    _definition(TRAINER, "v1alpha1", "TrainingRuntime", any_object()),
    _definition(TRAINER, "v1alpha1", "ClusterTrainingRuntime", any_object(), cluster=True),
    _definition(KUEUE_GROUP, "v1beta1", "LocalQueue", KUEUE["LocalQueue"], short=("queue", "queues", "lq")),
    _definition(KUEUE_GROUP, "v1beta1", "ClusterQueue", KUEUE["ClusterQueue"], cluster=True, short=("cq",)),
    _definition(
        KUEUE_GROUP, "v1beta1", "ResourceFlavor", KUEUE["ResourceFlavor"], cluster=True, short=("rf",)
    ),
    _definition(KUEUE_GROUP, "v1beta1", "Workload", KUEUE["Workload"], short=("wl",)),
    _definition("ray.io", "v1", "RayCluster", RAY["RayCluster"]),
    _definition("ray.io", "v1", "RayJob", RAY["RayJob"]),
)
INSTALLED: dict[str, Object] = {definition["metadata"]["name"]: definition for definition in _ALL}
"""Definitions that are there unless a test leaves some out, by name: ``jobsets.jobset.x-k8s.io``."""


def kept_whole(item: Object, model: Any) -> list[Fault]:
    """What a model refuses of an object, or loses of it."""
    try:
        back = model.from_dict(item).to_dict()
    except pydantic.ValidationError as error:
        return [_refused(one, item) for one in error.errors()]
    return list(_lost(item, back))


def _refused(error: Any, item: Object) -> Fault:
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error["loc"]).lstrip(".")
    if error["type"] == "missing":
        return Fault(path, "missing")
    if error["type"] == "value_error":
        return Fault(path, "enum", "", error["input"], (str(error["msg"]),))
    return Fault(path, "type", error["msg"], error["input"], (error["type"].removesuffix("_type"),))


def _lost(given: Any, back: Any, path: str = "") -> Iterable[Fault]:
    if isinstance(given, dict) and isinstance(back, dict):
        for name, value in given.items():
            inner = f"{path}.{name}" if path else name
            if name not in back:
                yield Fault(inner, "unknown", f'unknown field "{inner}"', value)
            else:
                yield from _lost(value, back[name], inner)
    elif isinstance(given, list) and isinstance(back, list):
        for index, (value, other) in enumerate(zip(given, back, strict=True)):
            yield from _lost(value, other, f"{path}[{index}]")


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
        self.validation.learn(kind, schema, _check(kind, schema))
        self.kinds.add(kind)


def _check(kind: Kind, schema: Schema) -> Check:
    model = MODELS.get(kind.kind) if kind.group in (JOBSET_GROUP, TRAINER) else None
    if model:
        return functools.partial(kept_whole, model=model)
    own = {**schema, "properties": {**schema.get("properties", {}), **_COMMON}}
    look: Callable[[Object], Iterable[Fault]] = lambda item: faults(item, _closed(own))  # noqa: E731
    return look


_COMMON: dict[str, Schema] = {
    "apiVersion": {"type": "string"},
    "kind": {"type": "string"},
    "metadata": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
}


def _closed(schema: Schema) -> Schema:
    """A structural schema as it is served: what it does not name is not kept."""
    if "additionalProperties" in schema or schema.get("x-kubernetes-preserve-unknown-fields"):
        return schema
    return {**schema, "additionalProperties": False}
