"""A TrainJob of Kubeflow's Trainer: the runtime's pods, with what an order takes patched onto them.

A patch carries less than a pod template. What it can't carry and the user asked for is refused by name; how
often a failed job is started again is the runtime's own.
"""

from mashbill.errors import ConfigError
from mashbill.launch.backend import Order
from mashbill.launch.kubernetes.manifests import NODE_JOB, templated
from mashbill.launch.kubernetes.objects import Object
from mashbill.launch.kubernetes.pods import (
    CONTAINER,
    checked_name,
    job_annotations,
    job_labels,
    pod_template,
)

MANAGER = "mashbill.dev/launch"
OF_SECRETS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "HF_TOKEN",
    "MLFLOW_TRACKING_TOKEN",
    "MLFLOW_TRACKING_URI",
    "WANDB_API_KEY",
)
"""Keys of a secret that a TrainJob's pods see: its patches name variables one by one."""
_OF_PODS = frozenset(
    {
        "affinity",
        "imagePullSecrets",
        "nodeSelector",
        "schedulingGates",
        "securityContext",
        "serviceAccountName",
        "terminationGracePeriodSeconds",
        "tolerations",
        "volumes",
    }
)
_OF_CONTAINERS = ("securityContext", "volumeMounts")
_THE_RUNTIMES = frozenset(
    {"containers", "restartPolicy", "automountServiceAccountToken", "enableServiceLinks"}
)
"""Of our template, what the runtime's pods have their own of."""
_THE_TRAINERS = frozenset({"name", "image", "command", "env", "resources"})
"""Of our container, what the TrainJob has fields of its own for."""


def trainjob(order: Order) -> Object:
    """A TrainJob.

    Raises:
        ConfigError: its name will not do, or a setting is one that a TrainJob can't carry.
    """
    takes = order.takes
    name = checked_name(order, f"-{NODE_JOB}-0-{takes.nodes - 1}-abcde")
    ours = pod_template(order, f"{name}-{NODE_JOB}-0-0.{name}")
    pods = templated(order, ours)
    container = _ours(pods)
    _refuse(_added(container, _ours(ours)))
    trainer = {
        "image": takes.image,
        "command": container["command"][:1],
        "args": container["command"][1:],
        "numNodes": takes.nodes,
        "numProcPerNode": takes.processes or takes.gpus or None,
        "resourcesPerNode": container.get("resources"),
        "env": container["env"] + _from_secrets(takes.kubernetes.environment_from),
    }
    spec: Object = {
        "runtimeRef": {"name": takes.kubernetes.runtime},
        "trainer": {key: value for key, value in trainer.items() if value not in (None, [], {})},
        "runtimePatches": [_patch(pods)],
    }
    if takes.time_limit_seconds:
        spec["activeDeadlineSeconds"] = takes.time_limit_seconds
    if takes.queue:
        spec["suspend"] = True
    return {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJob",
        "metadata": {"name": name, "labels": job_labels(order), "annotations": job_annotations(order)},
        "spec": spec,
    }


def _from_secrets(names: tuple[str, ...]) -> list[Object]:
    """Variables of known names; of several secrets the last that has one gives it."""
    sources = {
        key: {"secretKeyRef": {"name": name, "key": key, "optional": True}}
        for name in names
        for key in OF_SECRETS
    }
    return [{"name": key, "valueFrom": source} for key, source in sources.items()]


def _ours(template: Object) -> Object:
    found: Object = next(c for c in template["spec"]["containers"] if c["name"] == CONTAINER)
    return found


def _added(container: Object, ours: Object) -> list[str]:
    """What a template of one's own adds to our container, and a TrainJob has no field for."""
    carried = {*_OF_CONTAINERS, *_THE_TRAINERS}
    added = [key for key in container if key not in carried and container[key] != ours.get(key)]
    return [f"spec.containers[{CONTAINER}].{key}" for key in added]


def _patch(template: Object) -> Object:
    spec = template["spec"]
    _refuse([f"spec.{name}" for name in spec if name not in _OF_PODS | _THE_RUNTIMES])
    containers = [_container_patch(container) for container in spec["containers"]]
    carried = {name: value for name, value in spec.items() if name in _OF_PODS} | {"containers": containers}
    pods = {"metadata": template["metadata"], "spec": carried}
    replicated = {"name": NODE_JOB, "template": {"spec": {"template": pods}}}
    return {
        "manager": MANAGER,
        "trainingRuntimeSpec": {"template": {"spec": {"replicatedJobs": [replicated]}}},
    }


def _container_patch(container: Object) -> Object:
    if container["name"] == CONTAINER:
        return {"name": NODE_JOB} | {key: container[key] for key in _OF_CONTAINERS if key in container}
    carried = {"name", "env", *_OF_CONTAINERS}
    _refuse([f"spec.containers[{container['name']}].{key}" for key in container if key not in carried])
    return container


def _refuse(paths: list[str]) -> None:
    """What the user asked for and no patch carries."""
    if paths:
        names = {"spec.priorityClassName": "kubernetes.priority_class"}
        where = names.get(paths[0], "kubernetes.template")
        what = f"a TrainJob can't carry {', '.join(paths)}"
        raise ConfigError(where, what, "put it into the training runtime, or take backend = 'jobset'")
