"""Verdicts on objects are those of kubernetes-validate, and of the models of JobSet and TrainJob."""

import copy
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydantic
import pytest

from builders.kube import schemas
from builders.kube.custom_models import MODELS, kept_whole, model_schema
from builders.kube.kinds import BUILT_IN
from builders.kube.samples import config_map, job, jobset, pod, runtime, secret, trainjob
from builders.kube.schemas import definition_of, faults
from builders.kube.tools import schemas_folder

JUDGE = """
import json, sys
import kubernetes_validate
for line in open(sys.argv[1]):
    try:
        kubernetes_validate.validate(json.loads(line), "1.37", strict=True)
        print("valid")
    except kubernetes_validate.ValidationError:
        print("invalid")
"""
VALUES = (
    None,
    "text",
    "",
    7,
    -1,
    1.5,
    True,
    [],
    {},
    ["a"],
    {"a": "b"},
    [{"a": 1}],
    "2026-01-01T00:00:00Z",
    "64Gi",
)


def full_job() -> dict[str, Any]:
    """A job that uses much of what there is."""
    probe = {"exec": {"command": ["true"]}, "periodSeconds": 5}
    source = {"secretKeyRef": {"name": "s3", "key": "id", "optional": True}}
    container = {
        "name": "main",
        "image": "lab:1",
        "command": ["python"],
        "args": ["-m", "mashbill"],
        "env": [{"name": "A", "value": "1"}, {"name": "B", "valueFrom": source}],
        "envFrom": [{"secretRef": {"name": "s3"}}],
        "ports": [{"containerPort": 29400}],
        "resources": {"limits": {"nvidia.com/gpu": 8, "memory": "64Gi"}, "requests": {"cpu": 0.5}},
        "volumeMounts": [{"name": "shm", "mountPath": "/dev/shm"}],
        "livenessProbe": probe,
        "securityContext": {"runAsNonRoot": True, "capabilities": {"drop": ["ALL"]}},
    }
    term = {"matchExpressions": [{"key": "pool", "operator": "In", "values": ["gpu"]}]}
    nodes = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    spread = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}
    spec = {
        "restartPolicy": "Never",
        "containers": [container],
        "volumes": [{"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "2Gi"}}],
        "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
        "affinity": {"nodeAffinity": nodes},
        "topologySpreadConstraints": [spread],
        "subdomain": "train",
        "terminationGracePeriodSeconds": 300,
    }
    rules = [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [2]}},
    ]
    made = job(
        "train", completionMode="Indexed", completions=2, parallelism=2, podFailurePolicy={"rules": rules}
    )
    made["spec"]["template"] = {"metadata": {"labels": {"a": "b"}}, "spec": spec}
    return made


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container and key in it."""
    for key in (
        list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    ):
        yield value, key
        yield from places(value[key])


def damaged(seed: int) -> dict[str, Any]:
    """An object with some of its values replaced, and keys added or gone; no null in a list, which the
    schemas allow, a server reads as an empty object, and the API of the tests refuses."""
    draw = random.Random(seed)
    item = draw.choice([full_job(), full_job(), pod("p"), secret("s", a="b"), config_map("c", a="b")])
    item = copy.deepcopy(item)
    for _ in range(draw.randint(1, 2)):
        there = [one for one in places(item) if one[1] not in ("kind", "apiVersion", "name")]
        inside, key = draw.choice(there)
        value = copy.deepcopy(draw.choice(VALUES if isinstance(inside, dict) else VALUES[1:]))
        how = draw.choice(["replace", "add", "remove"])
        if how == "add" and isinstance(inside, dict):
            inside[draw.choice(["imagined", "image", "spec", "replicas"])] = value
        elif how == "remove" and isinstance(inside, dict):
            del inside[key]
        else:
            inside[key] = value
    return schemas.without_nulls(item)


def verdicts(items: list[dict[str, Any]], folder: Path) -> list[str]:
    """Those of kubernetes-validate, in a process of its own as it needs another version of a library."""
    path = folder / "items.jsonl"
    path.write_text("".join(json.dumps(item) + "\n" for item in items))
    environment = {**os.environ, "PYTHONPATH": str(schemas_folder())}
    command = [sys.executable, "-W", "ignore", "-c", JUDGE, str(path)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()


def found(item: dict[str, Any]) -> list[schemas.Fault]:
    kind = next(k for k in BUILT_IN if (k.api_version, k.kind) == (item["apiVersion"], item["kind"]))
    return [*faults(item, {"$ref": f"#/$defs/{definition_of(kind)}"})]


def ours(item: dict[str, Any]) -> str:
    """Our verdict, but for what a server reads and a schema takes as any string: times, bytes, quantities."""
    read = ("quantities", "parsing time", "illegal base64")
    return "invalid" if any(not fault.words.startswith(read) for fault in found(item)) else "valid"


@pytest.mark.slow
def test_damaged_objects_are_judged_as_by_kubernetes_validate(tmp_path: Path) -> None:
    items = [damaged(seed) for seed in range(400)]
    theirs = verdicts(items, tmp_path)
    assert min(theirs.count("valid"), theirs.count("invalid")) > 50
    differing = [
        (mine, other, item)
        for item, other in zip(items, theirs, strict=True)
        if (mine := ours(item)) != other
    ]
    assert not differing, differing[0]


def test_times_bytes_and_quantities_are_read_not_only_typed() -> None:
    broken_secret = {**secret("s"), "data": {"a": "no base64!"}}
    assert found(broken_secret)
    late = pod("p")
    late["metadata"]["creationTimestamp"] = "yesterday"
    assert found(late)
    big = full_job()
    big["spec"]["parallelism"] = 2**31
    assert found(big)


@pytest.mark.parametrize("make", [jobset, trainjob, runtime])
def test_every_key_that_a_model_would_lose_is_found(make: Any) -> None:
    whole = make("train")
    assert kept_whole(whole, whole["kind"]) == []
    count = sum(isinstance(inside, dict) for inside, _ in places(whole))
    noticed = 0
    for number in range(count):
        item = copy.deepcopy(whole)
        inside = [inside for inside, _ in places(item) if isinstance(inside, dict)][number]
        inside["imagined"] = "1"
        noticed += bool(kept_whole(item, item["kind"]))
    assert noticed == count


@pytest.mark.parametrize("make", [jobset, trainjob, runtime])
def test_schema_of_a_model_says_what_the_model_says(make: Any) -> None:
    whole = make("train")
    whole["metadata"] = {}
    schema = model_schema(whole["kind"])
    assert not list(faults(whole, schema))
    for inside, key in places(whole):
        if key in ("metadata", "apiVersion", "kind"):
            continue
        value = inside[key]
        inside[key] = 7.5 if not isinstance(value, float) else "text"
        item = copy.deepcopy(whole)
        assert _refused_by_model(item) == bool(list(faults(item, schema))), key
        inside[key] = value


def _refused_by_model(item: dict[str, Any]) -> bool:
    try:
        MODELS[item["kind"]].from_dict(item)
    except (pydantic.ValidationError, TypeError, AttributeError):
        return True
    return False
