"""JobSet's and the trainer's objects by the models that Kubeflow publishes.

They are read by a model, written back, and refused when a key was lost on the way, as the models drop what
they do not know. Their schemas, for merging and for OpenAPI, are made from the same models.
"""

from collections.abc import Iterable
from functools import cache
from typing import Any

import pydantic
from kubeflow_trainer_api import models

from builders.kube.schemas import DEFINITIONS, Fault, Schema, definitions, faults

MODELS: dict[str, Any] = {
    "JobSet": models.JobsetV1alpha2JobSet,
    "TrainJob": models.TrainerV1alpha1TrainJob,
    "TrainingRuntime": models.TrainerV1alpha1TrainingRuntime,
    "ClusterTrainingRuntime": models.TrainerV1alpha1ClusterTrainingRuntime,
}
KEYS = {
    "replicatedJobs": "name",
    "replicatedJobsStatus": "name",
    "jobsStatus": "name",
    "dependsOn": "name",
    "conditions": "type",
    "runtimePatches": "manager",
    "env": "name",
}
"""Lists whose items are told apart by a key, by the key: what the definitions say and the models do not."""


def kept_whole(item: dict[str, Any], kind: str) -> list[Fault]:
    """What a kind's model refuses of an object, or loses of it; what is of a wrong type is told by the
    schema, as the models take whatever they are given apart before they look at it."""
    model = MODELS[kind]
    untyped = [fault for fault in faults(item, model_schema(kind)) if fault.kind == "type"]
    if untyped:
        return untyped
    try:
        back = model.from_dict(item).to_dict()
    except pydantic.ValidationError as error:
        return [_refused(one) for one in error.errors()]
    return list(_lost(item, back))


@cache
def model_schema(kind: str) -> Schema:
    """A model's schema, in which what is Kubernetes' own refers to Kubernetes' own."""
    made = MODELS[kind].model_json_schema()
    return _converted(made, made["$defs"])


def _refused(error: Any) -> Fault:
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


@cache
def _kubernetes_names() -> dict[str, str]:
    """Names of Kubernetes' schemas, by what the models call them."""
    return {name.replace(".", "").replace("-", "").lower(): name for name in definitions()}


def _converted(schema: Any, defs: dict[str, Schema], name: str = "") -> Schema:
    described = {"description": schema["description"]} if "description" in schema else {}
    for one in schema.get("anyOf", ()):
        if one.get("type") != "null":
            return {**_converted(one, defs, name), **described}
    if "$ref" in schema:
        own = schema["$ref"].removeprefix(DEFINITIONS)
        known = _kubernetes_names().get(own.lower())
        return {"$ref": DEFINITIONS + known} if known else {**_converted(defs[own], defs), **described}
    result = {**described, **{key: schema[key] for key in ("type", "required") if key in schema}}
    if "properties" in schema:
        properties = schema["properties"].items()
        result["properties"] = {key: _converted(value, defs, key) for key, value in properties}
        result["additionalProperties"] = False
    elif isinstance(schema.get("additionalProperties"), dict):
        result["additionalProperties"] = _converted(schema["additionalProperties"], defs)
    if "items" in schema:
        result["items"] = _converted(schema["items"], defs)
        if name in KEYS:
            result |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [KEYS[name]]}
    return result
