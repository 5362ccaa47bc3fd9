"""The objects that an order becomes: an Indexed Job with its headless Service, or a JobSet.

A pod that was asked to end and has saved, or that was disrupted, is no failure: an Indexed Job replaces it
and counts nothing; a JobSet starts all of its pods again and counts nothing. A setting that is wrong ends the
job at once. Every other failure counts, up to ``max_restarts``: of an Indexed Job's node by itself, as each
is replaced alone; of a JobSet as a whole.
"""

from mashbill.errors import ConfigError
from mashbill.launch.backend import PAUSED_EXIT, Order
from mashbill.launch.kubernetes.objects import MANAGED_BY, NAME, OURS, Object
from mashbill.launch.kubernetes.pods import (
    CONTAINER,
    checked_name,
    job_annotations,
    job_labels,
    labels,
    pod_template,
)
from mashbill.launch.kubernetes.template import merged, own_template

NODE_JOB = "node"
"""Name of the one replicated job of a JobSet, as of Kubeflow's runtimes."""
_POD_SUFFIX = "-abcde"
_DISRUPTED = [{"type": "DisruptionTarget", "status": "True"}]


def templated(order: Order, template: Object) -> Object:
    """A pod template with the user's own under it."""
    path = order.takes.kubernetes.template
    return template if path is None else merged(template, own_template(path))


def job(order: Order) -> Object:
    """An Indexed Job.

    Raises:
        ConfigError: the job's name, or the pod template of one's own, will not do.
    """
    takes = order.takes
    name = checked_name(order, f"-{takes.nodes - 1}{_POD_SUFFIX}")
    subdomain = name if takes.nodes > 1 else None
    template = pod_template(order, f"{name}-0.{name}", subdomain=subdomain)
    spec = _job_spec(order, templated(order, template), disrupted="Ignore")
    if takes.nodes > 1:
        spec |= {"backoffLimitPerIndex": takes.max_restarts, "maxFailedIndexes": 0}
    else:
        spec["backoffLimit"] = takes.max_restarts
    spec |= {"ttlSecondsAfterFinished": takes.kubernetes.ttl_seconds, "podReplacementPolicy": "Failed"}
    if takes.queue:
        spec["suspend"] = True
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": _metadata(order), "spec": spec}


def service(order: Order, uid: str) -> Object:
    """The headless Service by which the nodes of an Indexed Job find each other; it goes with the job.

    Args:
        order: whose nodes meet.
        uid: of its Job.
    """
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": order.name, "uid": uid}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(order) | {"labels": labels(order), "ownerReferences": [owner]},
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": {MANAGED_BY: OURS, NAME: order.name},
            "ports": [{"name": "meeting", "port": order.takes.port, "targetPort": order.takes.port}],
        },
    }


def jobset(order: Order) -> Object:
    """A JobSet of one replicated job, whose pods are all started again when one fails.

    Raises:
        ConfigError: the job's name, or the pod template of one's own, will not do.
    """
    takes = order.takes
    name = checked_name(order, f"-{NODE_JOB}-0-{takes.nodes - 1}{_POD_SUFFIX}")
    template = pod_template(order, f"{name}-{NODE_JOB}-0-0.{name}")
    jobs = _job_spec(order, templated(order, template), disrupted="FailJob") | {"backoffLimit": 0}
    spec = {
        "network": {"enableDNSHostnames": True, "publishNotReadyAddresses": True, "subdomain": name},
        "replicatedJobs": [{"name": NODE_JOB, "replicas": 1, "template": {"spec": jobs}}],
        "failurePolicy": _failure_policy(takes.max_restarts),
        "ttlSecondsAfterFinished": takes.kubernetes.ttl_seconds,
    }
    if takes.queue:
        spec["suspend"] = True
    metadata = _metadata(order)
    return {"apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet", "metadata": metadata, "spec": spec}


def _metadata(order: Order) -> Object:
    return {"name": order.name, "labels": job_labels(order), "annotations": job_annotations(order)}


def _job_spec(order: Order, template: Object, *, disrupted: str) -> Object:
    """What both have in common.

    Args:
        order: what is run.
        template: of its pods.
        disrupted: what is done where a pod is no failure, but ended.
    """
    spec: Object = {
        "completions": order.takes.nodes,
        "parallelism": order.takes.nodes,
        "completionMode": "Indexed",
        "podFailurePolicy": {
            "rules": [
                {"action": disrupted, "onPodConditions": _DISRUPTED},
                {"action": disrupted, "onExitCodes": _exit_code(PAUSED_EXIT)},
                {"action": "FailJob", "onExitCodes": _exit_code(ConfigError.exit_code)},
            ]
        },
        "template": template,
    }
    if order.takes.time_limit_seconds:
        spec["activeDeadlineSeconds"] = order.takes.time_limit_seconds
    return spec


def _exit_code(code: int) -> Object:
    return {"containerName": CONTAINER, "operator": "In", "values": [code]}


def _failure_policy(max_restarts: int) -> Object:
    """By the reason and message of the failed Job's condition, as its pod failure policy words them."""
    for_nothing = [r"has condition DisruptionTarget ", rf"failed with exit code {PAUSED_EXIT} "]
    rules = [
        {
            "name": "disruptedOrPaused",
            "action": "RestartJobSetAndIgnoreMaxRestarts",
            "onJobFailureReasons": ["PodFailurePolicy"],
            "onJobFailureMessagePatterns": for_nothing,
        },
        {
            "name": "wrongSettingOrOutOfTime",
            "action": "FailJobSet",
            "onJobFailureReasons": ["PodFailurePolicy", "DeadlineExceeded"],
        },
    ]
    return {"maxRestarts": max_restarts, "restartStrategy": "BlockingRecreate", "rules": rules}
