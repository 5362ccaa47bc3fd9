"""The backend ``rayjob``: a RayJob of KubeRay, which makes a Ray cluster for an order and removes it after.

The command is one driver, on the head. Where there are workers, they do what it spreads: the head then offers
Ray no core and has no GPU. The cluster goes as soon as the driver has ended, as its machines cost; the object
stays, with the pod that has the driver's log.
"""

import shlex
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version

from mashbill.config.launch import LaunchConfig
from mashbill.errors import ConfigError
from mashbill.launch.amounts import number_of
from mashbill.launch.backend import NODE, Order
from mashbill.launch.kubernetes.cluster_jobs import ClusterJobs
from mashbill.launch.kubernetes.kinds import RAYJOB
from mashbill.launch.kubernetes.manifests import templated
from mashbill.launch.kubernetes.objects import Object
from mashbill.launch.kubernetes.pods import (
    CONTAINER,
    LONGEST_NAME,
    checked_name,
    job_annotations,
    job_labels,
    literal,
    pod_template,
)

HEAD, WORKER = "ray-head", "ray-worker"
WORKERS = "workers"
LONGEST = 47
"""Characters of a RayJob's name, of which KubeRay makes those of a cluster and its service."""
EVERY_ADDRESS = "0.0.0.0"  # noqa: S104 - of a pod, which its namespace's network policies guard
OF_SHARED_MEMORY = 0.9
"""Share of /dev/shm that Ray's object store takes."""
SUBMITTER = {"cpus": "500m", "memory": "1Gi", "gpus": 0}
"""What the pod takes that submits the driver and follows its log."""


class RayJobBackend(ClusterJobs):
    """Orders as RayJobs."""

    name, kind = "rayjob", RAYJOB

    def manifest(self, order: Order) -> Object:
        """The RayJob."""
        return rayjob(order)


def rayjob(order: Order) -> Object:
    """A RayJob.

    Raises:
        ConfigError: several nodes are asked for; or its name, or the pod template of one's own, will not do.
    """
    takes = order.takes
    if takes.nodes > 1:
        what = "a Ray job has one driver, which spreads its own work"
        raise ConfigError("nodes", what, "leave nodes out, and set ray.workers")
    spec: Object = {
        "entrypoint": literal(shlex.join(order.command)),
        "submissionMode": "K8sJobMode",
        "submitterPodTemplate": _submitter(order),
        "shutdownAfterJobFinishes": True,
        "ttlSecondsAfterFinished": 0,
        "backoffLimit": takes.max_restarts,
        "rayClusterSpec": _cluster(order),
    }
    if takes.time_limit_seconds:
        spec["activeDeadlineSeconds"] = takes.time_limit_seconds
    if takes.queue:
        spec["suspend"] = True
    metadata = {
        "name": checked_name(order, "x" * (LONGEST_NAME - LONGEST)),
        "labels": job_labels(order),
        "annotations": job_annotations(order),
    }
    return {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": metadata, "spec": spec}


def _cluster(order: Order) -> Object:
    """The head, and workers that are all alike."""
    takes = order.takes
    works = not takes.ray.workers
    head = order if works else replace(order, takes=takes.model_copy(update={"gpus": 0}))
    offers = _offers(takes) if works else {"num-cpus": "0", "num-gpus": "0"}
    cluster: Object = {
        "headGroupSpec": {
            "rayStartParams": {"dashboard-host": EVERY_ADDRESS} | offers | _store(takes),
            "template": _template(head, HEAD),
        },
    }
    if not works:
        group = {
            "groupName": WORKERS,
            "replicas": takes.ray.workers,
            "minReplicas": takes.ray.workers,
            "maxReplicas": takes.ray.workers,
            "rayStartParams": _offers(takes) | _store(takes),
            "template": _template(order, WORKER),
        }
        cluster["workerGroupSpecs"] = [group]
    ray = takes.ray.version or _installed()
    return cluster | ({"rayVersion": ray} if ray else {})


def _offers(takes: LaunchConfig) -> dict[str, str]:
    """What Ray is told that a pod has: cores are not limited, so it would take all of the machine's."""
    cores = {"num-cpus": str(max(1, int(number_of(takes.cpus))))} if takes.cpus else {}
    return cores | {"num-gpus": str(takes.gpus)}


def _store(takes: LaunchConfig) -> dict[str, str]:
    size = int(OF_SHARED_MEMORY * number_of(takes.kubernetes.shared_memory))
    return {"object-store-memory": str(size)}


def _template(order: Order, container: str) -> Object:
    """Pods whose command is KubeRay's; a template of one's own is merged before ours has its new name."""
    template = templated(order, pod_template(order, ""))
    for one in template["spec"]["containers"]:
        if one["name"] == CONTAINER:
            one["name"] = container
            del one["command"]
            one["env"] = [_first(v) if v["name"] == NODE else v for v in one["env"]]
    return template


def _first(variable: Object) -> Object:
    return {"name": variable["name"], "value": "0"}


def _submitter(order: Order) -> Object:
    """The pod that submits the driver: it needs the image, and neither secrets nor volumes."""
    pods = order.takes.kubernetes
    bare: Object = {"environment_from": (), "volumes": (), "resources": {}, "template": None}
    takes = order.takes.model_copy(
        update=SUBMITTER | {"environment": {}, "kubernetes": pods.model_copy(update=bare)}
    )
    return _template(replace(order, takes=takes, environment={}), RAYJOB.container)


def _installed() -> str | None:
    try:
        return version("ray")
    except PackageNotFoundError:
        return None
