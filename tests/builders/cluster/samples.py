"""Objects that tests give to the cluster."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from builders.cluster.kinds import Object

NUMBERS = itertools.count()
IMAGE = "registry.example/mashbill:0.2"


def python(script: str, *arguments: str) -> list[str]:
    """A command that runs a script."""
    return ["python", "-c", script, *arguments]


def container(command: Sequence[str], **more: Any) -> Object:
    """A container of an image that has mashbill."""
    return {"name": "main", "image": IMAGE, "command": list(command), **more}


def template(
    command: Sequence[str] = ("true",), *, pod: Mapping[str, Any] | None = None, **more: Any
) -> Object:
    """A pod template with one container.

    Args:
        command: of the container.
        pod: fields of the pod's spec.
        more: fields of the container.
    """
    spec = {"restartPolicy": "Never", "containers": [container(command, **more)], **(pod or {})}
    return {"spec": spec}


def pod(
    name: str, command: Sequence[str] = ("true",), *, spec: Mapping[str, Any] | None = None, **more: Any
) -> Object:
    """A pod of its own."""
    own = template(command, pod=spec, **more)
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, **own}


def job(name: str, pods: Object, *, labels: Mapping[str, str] | None = None, **spec: Any) -> Object:
    """A Job of a pod template."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": dict(labels or {})},
        "spec": {"template": pods, **spec},
    }


def indexed(name: str, pods: Object, count: int, **spec: Any) -> Object:
    """An Indexed Job with all pods at once."""
    return job(name, pods, completionMode="Indexed", completions=count, parallelism=count, **spec)


def jobset(name: str, pods: Object, count: int = 1, *, job_spec: Object | None = None, **spec: Any) -> Object:
    """A JobSet of one replicated job, node, with some pods.

    Args:
        name: of it.
        pods: the template.
        count: of pods.
        job_spec: further fields of the Job.
        spec: further fields of the JobSet.
    """
    inner = {
        "completions": count,
        "parallelism": count,
        "backoffLimit": 0,
        "template": pods,
        **(job_spec or {}),
    }
    return {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": {"name": name},
        "spec": {"replicatedJobs": [{"name": "node", "template": {"spec": inner}}], **spec},
    }


def trainjob(name: str, command: Sequence[str], nodes: int = 1, **spec: Any) -> Object:
    """A TrainJob of Kubeflow's runtime for torchrun."""
    trainer = {"image": IMAGE, "command": list(command), "numNodes": nodes, "numProcPerNode": 1}
    return {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJob",
        "metadata": {"name": name},
        "spec": {"runtimeRef": {"name": "torch-distributed"}, "trainer": trainer, **spec},
    }


def queued(thing: Object, queue: str) -> Object:
    """The same, to wait in a queue."""
    labels = {**thing["metadata"].get("labels", {}), "kueue.x-k8s.io/queue-name": queue}
    return {
        **thing,
        "metadata": {**thing["metadata"], "labels": labels},
        "spec": {**thing["spec"], "suspend": True},
    }


def config_map(name: str, **files: str) -> Object:
    """A config map; a dot in a key is written as a double underscore."""
    data = {key.replace("__", "."): text for key, text in files.items()}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def secret(name: str, **values: str) -> Object:
    """A secret."""
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": values}


def claim(name: str) -> Object:
    """A volume claim."""
    spec = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def stored(thing: Object, **status: Any) -> Object:
    """An object as an API has it, with a status."""
    meta = {"namespace": "default", "uid": f"uid-{next(NUMBERS)}", **thing["metadata"]}
    return {**thing, "metadata": meta, "status": status}


def labelled(name: str, *, on: str = "", **spec: Any) -> Object:
    """A pod of a job as the API has it, on a node or on none."""
    one = stored(
        pod(name, spec={**spec, **({"nodeName": on} if on else {})}), phase="Running" if on else "Pending"
    )
    one["metadata"]["labels"] = {"job": "train"}
    return one
