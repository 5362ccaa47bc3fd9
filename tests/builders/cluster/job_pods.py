"""Pods as a Job makes them of its template."""

import copy
from collections.abc import Sequence

from builders.cluster.changes import made_by
from builders.cluster.job_accounts import (
    INDEX,
    INDEX_FAILURES,
    TRACKING,
    has_failed,
    index_failures,
    index_of,
)
from builders.cluster.kinds import Object, key_of, short_hash, uid_of


def pod_of(job: Object, index: int, before: int, pods: Sequence[Object]) -> Object:
    """A new pod of a Job.

    Args:
        job: whose it is.
        index: its completion index; -1 where it has none.
        before: pods of this index that were there already, for its name.
        pods: of the Job.
    """
    template = copy.deepcopy(job["spec"]["template"])
    meta = template.setdefault("metadata", {})
    namespace, name = key_of(job)
    labels = meta.setdefault("labels", {})
    for prefix in ("batch.kubernetes.io/", ""):
        labels |= {f"{prefix}controller-uid": uid_of(job), f"{prefix}job-name": name}
    meta |= {"namespace": namespace, "finalizers": [*meta.get("finalizers", []), TRACKING]}
    stem = name if index < 0 else f"{name}-{index}"
    meta["generateName"] = f"{stem[:57]}-"
    known = sorted(uid_of(pod) for pod in pods if index_of(pod) == index)
    meta["name"] = meta["generateName"] + short_hash(uid_of(job), str(index), str(before), *known)
    if index >= 0:
        labels[INDEX] = str(index)
        annotations = meta.setdefault("annotations", {})
        annotations[INDEX] = str(index)
        if job["spec"].get("backoffLimitPerIndex") is not None:
            annotations[INDEX_FAILURES] = str(_failures(job, index, pods))
        template["spec"].setdefault("hostname", f"{name}-{index}"[:63])
        _tell_index(template["spec"])
    return made_by(job, {"apiVersion": "v1", "kind": "Pod", **template})


def _failures(job: Object, index: int, pods: Sequence[Object]) -> int:
    before = [pod for pod in pods if index_of(pod) == index and has_failed(job, pod)]
    return max((index_failures(pod) + 1 for pod in before), default=0)


def _tell_index(spec: Object) -> None:
    told = {"fieldRef": {"apiVersion": "v1", "fieldPath": f"metadata.annotations['{INDEX}']"}}
    for container in spec.get("initContainers", []) + spec["containers"]:
        variables = container.setdefault("env", [])
        if all(one["name"] != "JOB_COMPLETION_INDEX" for one in variables):
            variables.append({"name": "JOB_COMPLETION_INDEX", "valueFrom": told})
