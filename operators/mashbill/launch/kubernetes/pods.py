"""The pod template of a job: what an order takes, in Kubernetes' words.

What restricted pod security asks stands in every template: no root, a root filesystem that is only read, no
privilege. A process writes to its scratch folder, to /tmp and to volumes.
"""

import hashlib
import re

from mashbill.config.launch import KubernetesConfig, LaunchConfig
from mashbill.errors import ConfigError
from mashbill.launch.backend import ADDRESS, NODE, NODES, RENDEZVOUS, TOKEN, Order
from mashbill.launch.kubernetes.objects import INDEX, MANAGED_BY, NAME, OURS, Object

CONTAINER = "mashbill"
DISK = "MASHBILL_SCRATCH"
"""Variable that says where a machine's own disk is."""
SCRATCH, TEMPORARY, SHARED_MEMORY = "/scratch", "/tmp", "/dev/shm"  # noqa: S108 - paths of a pod's own volumes
QUEUE = "kueue.x-k8s.io/queue-name"
REQUIRED_TOPOLOGY = "kueue.x-k8s.io/podset-required-topology"
LONGEST_NAME = 63
_NAME = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")
_LABEL = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?")


def pod_template(order: Order, meet_at: str, *, subdomain: str | None = None) -> Object:
    """The template of an order's pods.

    Args:
        order: what they run and take.
        meet_at: host name of the first node.
        subdomain: the service that the pods' names belong to, where their controller sets none.
    """
    pods = order.takes.kubernetes
    spec = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": pods.grace_seconds,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [_container(order, meet_at)],
        "volumes": _volumes(pods),
        "subdomain": subdomain,
        "serviceAccountName": pods.service_account,
        "priorityClassName": pods.priority_class,
        "imagePullSecrets": [{"name": name} for name in pods.pull_secrets],
        "nodeSelector": dict(pods.node_selector),
        "tolerations": [dict(toleration) for toleration in pods.tolerations],
        "affinity": _affinity(order),
    }
    return {
        "metadata": {"labels": labels(order), "annotations": _annotations(order)},
        "spec": {name: value for name, value in spec.items() if value not in (None, [], {})},
    }


def checked_name(order: Order, longest_suffix: str) -> str:
    """An order's name, if its pods can have it.

    Args:
        order: whose name it is.
        longest_suffix: what a controller puts behind it.
    Raises:
        ConfigError: it is no name in Kubernetes, or the pods' names would be too long.
    """
    if not _NAME.fullmatch(order.name):
        what = f"{order.name!r} is no name in Kubernetes"
        raise ConfigError("job's name", what, "begin with a letter and use a-z, 0-9 and dashes")
    over = len(order.name) + len(longest_suffix) - LONGEST_NAME
    if over > 0:
        what = f"{order.name} is {over} characters too long for the names of its pods"
        raise ConfigError("job's name", what, f"name pods by at most {LONGEST_NAME} characters")
    return order.name


def labels(order: Order) -> dict[str, str]:
    """What a job and its pods are found by."""
    given = {_prefixed(name): _as_label(value) for name, value in order.labels.items()}
    return given | {MANAGED_BY: OURS, NAME: order.name}


def job_labels(order: Order) -> dict[str, str]:
    """Labels of the job itself: with them Kueue queues it."""
    return labels(order) | ({QUEUE: order.takes.queue} if order.takes.queue else {})


def job_annotations(order: Order) -> dict[str, str]:
    """Annotations of the job itself: whose it is, and its labels as they were given."""
    return {_prefixed(name): value for name, value in order.labels.items()} | {TOKEN: order.token}


def resources(takes: LaunchConfig) -> Object:
    """What a container requests and is limited to; cores are not limited, as a limit only slows down."""
    alike = dict(takes.kubernetes.resources)
    if takes.memory:
        alike["memory"] = takes.memory
    if takes.gpus:
        alike[takes.kubernetes.gpu_resource] = str(takes.gpus)
    requests = alike | ({"cpu": takes.cpus} if takes.cpus else {})
    found = {"requests": requests, "limits": alike}
    return {name: amounts for name, amounts in found.items() if amounts}


def environment(order: Order, meet_at: str) -> list[Object]:
    """Variables of the container, as a list of Kubernetes'."""
    plain = {"HOME": TEMPORARY, DISK: SCRATCH, **order.takes.environment, **order.environment}
    plain[NODES] = str(order.takes.nodes)
    if order.takes.nodes > 1:
        plain[RENDEZVOUS] = f"{meet_at}:{order.takes.port}"
    index = {"fieldRef": {"fieldPath": f"metadata.annotations['{INDEX}']"}}
    own = {"fieldRef": {"fieldPath": "status.podIP"}}
    told = [{"name": NODE, "valueFrom": index}, {"name": ADDRESS, "valueFrom": own}]
    return told + [
        {"name": name, "value": literal(value)}
        for name, value in plain.items()
        if name not in {NODE, ADDRESS}
    ]


def literal(text: str) -> str:
    """A text that Kubernetes leaves as it is: it would put variables where ``$(NAME)`` stands."""
    return text.replace("$", "$$") if "$(" in text or "$$" in text else text


def _container(order: Order, meet_at: str) -> Object:
    pods = order.takes.kubernetes
    container = {
        "name": CONTAINER,
        "image": order.takes.image,
        "command": [literal(word) for word in order.command],
        "workingDir": SCRATCH,
        "env": environment(order, meet_at),
        "envFrom": [{"secretRef": {"name": name}} for name in pods.environment_from],
        "resources": resources(order.takes),
        "volumeMounts": _mounts(pods),
        "ports": [{"name": "meeting", "containerPort": order.takes.port}] if order.takes.nodes > 1 else [],
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
        },
    }
    return {name: value for name, value in container.items() if value not in (None, [], {})}


def _volumes(pods: KubernetesConfig) -> list[Object]:
    taken = {volume.path for volume in pods.volumes}
    scratch: Object = {"sizeLimit": pods.scratch} if pods.scratch else {}
    memory = {"medium": "Memory", "sizeLimit": pods.shared_memory}
    ours = [("scratch", SCRATCH, scratch), ("tmp", TEMPORARY, {}), ("shm", SHARED_MEMORY, memory)]
    made = [{"name": name, "emptyDir": source} for name, path, source in ours if path not in taken]
    for number, volume in enumerate(pods.volumes):
        claim: Object = {"claimName": volume.claim} | ({"readOnly": True} if volume.read_only else {})
        made.append({"name": f"claim-{number}", "persistentVolumeClaim": claim})
    return made


def _mounts(pods: KubernetesConfig) -> list[Object]:
    paths: dict[str, Object] = {
        SCRATCH: {"name": "scratch"},
        TEMPORARY: {"name": "tmp"},
        SHARED_MEMORY: {"name": "shm"},
    }
    for number, volume in enumerate(pods.volumes):
        paths[volume.path] = {"name": f"claim-{number}"} | ({"readOnly": True} if volume.read_only else {})
    return [mount | {"mountPath": path} for path, mount in paths.items()]


def _affinity(order: Order) -> Object:
    """The user's; and one to the other pods of the job, where they shall be near and no queue sees to it."""
    pods = order.takes.kubernetes
    affinity = dict(pods.affinity)
    if pods.topology and not order.takes.queue:
        near = {
            "labelSelector": {"matchLabels": {NAME: order.name}},
            "topologyKey": pods.topology,
        }
        given = dict(affinity.get("podAffinity", {}))
        required = [*given.get("requiredDuringSchedulingIgnoredDuringExecution", []), near]
        affinity["podAffinity"] = given | {"requiredDuringSchedulingIgnoredDuringExecution": required}
    return affinity


def _annotations(order: Order) -> dict[str, str]:
    topology = order.takes.kubernetes.topology
    near = {REQUIRED_TOPOLOGY: topology} if topology and order.takes.queue else {}
    return {TOKEN: order.token, **near}


def _prefixed(name: str) -> str:
    return name if "/" in name else f"mashbill.dev/{name}"


def _as_label(value: str) -> str:
    """A value that a label may have; one that was changed ends in a hash of what it was."""
    if _LABEL.fullmatch(value):
        return value
    words = re.sub(r"[^A-Za-z0-9_.-]", "-", value).strip("-_.")[:50].rstrip("-_.")
    return f"{words or 'x'}-{hashlib.sha256(value.encode()).hexdigest()[:8]}"
