"""What a kind fills in and refuses beyond its schema: here is which kind has what, each has its module."""

from collections.abc import Callable, Iterator
from typing import Any

from builders.kube import cluster_rules, custom_rules, job_rules, pod_rules
from builders.kube.kinds import Kind
from builders.kube.status import Cause

Object = dict[str, Any]
DEFAULTS: dict[str, Callable[[Object], None]] = {
    "pods": pod_rules.fill_pod,
    "jobs.batch": job_rules.fill_job,
    "jobsets.jobset.x-k8s.io": custom_rules.fill_jobset,
    "trainjobs.trainer.kubeflow.org": custom_rules.fill_trainjob,
    "services": cluster_rules.fill_service,
    "secrets": cluster_rules.fill_secret,
    "namespaces": cluster_rules.fill_namespace,
    "persistentvolumeclaims": cluster_rules.fill_claim,
    **{
        f"{plural}.apps": cluster_rules.fill_workload
        for plural in ("deployments", "statefulsets", "daemonsets")
    },
    **{
        f"{plural}.rbac.authorization.k8s.io": cluster_rules.fill_binding
        for plural in ("rolebindings", "clusterrolebindings")
    },
}
"""What the server fills in where a client left it out; called with each new state."""
BIRTHS: dict[str, Callable[[Object], None]] = {
    "pods": pod_rules.begin_pod,
    "jobs.batch": job_rules.begin_job,
    "namespaces": cluster_rules.begin_namespace,
    "persistentvolumeclaims": cluster_rules.begin_claim,
    "services": cluster_rules.begin_service,
}
"""What the server gives a new object."""
KEEPS_STATUS = frozenset({"nodes", "persistentvolumes"})
"""Kinds whose status may be given at their birth."""
CAUSES: dict[str, Callable[[Object, Object | None, str], Iterator[Cause]]] = {
    "pods": pod_rules.pod_causes,
    "jobs.batch": job_rules.job_causes,
    "jobsets.jobset.x-k8s.io": custom_rules.jobset_causes,
    "trainjobs.trainer.kubeflow.org": custom_rules.trainjob_causes,
    "configmaps": cluster_rules.data_causes,
    "secrets": cluster_rules.data_causes,
    "services": cluster_rules.service_causes,
    "persistentvolumeclaims": cluster_rules.claim_causes,
    **{
        f"{plural}.apps": cluster_rules.workload_causes
        for plural in ("deployments", "statefulsets", "daemonsets", "replicasets")
    },
    **{
        f"{plural}.rbac.authorization.k8s.io": cluster_rules.binding_causes
        for plural in ("rolebindings", "clusterrolebindings")
    },
}


def defaulted(kind: Kind, item: Object) -> Object:
    """An object with what the server fills in."""
    if fill := DEFAULTS.get(kind.resource):
        fill(item)
    return item


def prepared(kind: Kind, item: Object, before: Object | None, subresource: str = "") -> Object:
    """A new state without what a request of its kind may not change: status at the object's own path,
    everything else at that of the status."""
    if before is None:
        if kind.has_status and kind.resource not in KEEPS_STATUS:
            item = {key: value for key, value in item.items() if key != "status"}
        if begin := BIRTHS.get(kind.resource):
            begin(item)
        return item
    if not kind.has_status:
        return item
    if subresource == "status":
        fixed = {key: value for key, value in before.items() if key != "status"}
        return {**fixed, **_status_and_metadata(kind, item, before)}
    rest = {key: value for key, value in item.items() if key != "status"}
    return {**rest, "status": before["status"]} if "status" in before else rest


def _status_and_metadata(kind: Kind, item: Object, before: Object) -> Object:
    metadata = before["metadata"] if kind.custom else item["metadata"]
    given = {"metadata": {**metadata, "managedFields": item["metadata"].get("managedFields", [])}}
    if not given["metadata"]["managedFields"]:
        del given["metadata"]["managedFields"]
    if "status" in item:
        given["status"] = item["status"]
    return given


def causes(kind: Kind, item: Object, before: Object | None, subresource: str = "") -> Iterator[Cause]:
    """What a kind refuses of a new object, or of a change."""
    if look := CAUSES.get(kind.resource):
        yield from look(item, before, subresource)
