"""What Kubeflow Trainer does with a TrainJob: a JobSet, made of the training runtime that it refers to."""

import copy
from typing import Any

from builders.cluster.changes import Create, Delete, Note, Patch, Wanted, made_by, status_change
from builders.cluster.kinds import (
    Object,
    condition,
    holds,
    key_of,
    leaving,
    merged,
    status_of,
    uid_of,
    with_condition,
)
from builders.cluster.pace import Pace
from builders.cluster.progress import told_where

STEP = "trainer.kubeflow.org/trainjob-ancestor-step"
SOURCE = "trainer-trainjob-controller"
PORT = 29_400
RANK = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
DEADLINE = ("DeadlineExceeded", "TrainJob was active longer than specified deadline")


def torch_distributed(image: str = "pytorch/pytorch:2.9.1-cuda12.8-cudnn9-runtime") -> Object:
    """The runtime that Kubeflow Trainer comes with for torchrun."""
    pods = {"spec": {"containers": [{"name": "node", "image": image}]}}
    job = {"metadata": {"labels": {STEP: "trainer"}}, "spec": {"template": pods}}
    return {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "ClusterTrainingRuntime",
        "metadata": {
            "name": "torch-distributed",
            "labels": {"trainer.kubeflow.org/framework": "torch"},
        },
        "spec": {
            "mlPolicy": {"numNodes": 1, "torch": {}},
            "template": {"spec": {"replicatedJobs": [{"name": "node", "template": job}]}},
        },
    }


def reconcile(
    train: Object, runtime: Object | None, jobset: Object | None, *, pace: Pace, address: str = ""
) -> Wanted:
    """What is to be done for a TrainJob.

    Args:
        train: as it is.
        runtime: that it refers to; None where there is none.
        jobset: of its name, if it made one.
        pace: of the cluster's time.
        address: where its containers post how far they are; nowhere where it is empty.
    """
    wanted = Wanted()
    if leaving(train) or holds(train, "Complete") or holds(train, "Failed"):
        if holds(train, "Failed") and jobset and not leaving(jobset) and not holds(jobset, "Failed"):
            wanted.changes.append(Delete("JobSet", key_of(jobset), uid_of(jobset)))
        return wanted
    status = copy.deepcopy(status_of(train))
    status["conditions"] = list(status.get("conditions") or [])
    suspended = bool(train["spec"].get("suspend"))
    _deadline(train, status, suspended, pace, wanted)
    if runtime is None and jobset is None:
        reference = train["spec"]["runtimeRef"]
        kind = reference.get("kind", "ClusterTrainingRuntime")
        message = f"Referenced runtime not found: {kind}.trainer.kubeflow.org {reference['name']!r} not found"
        _say(status, "Failed", "TrainingRuntimeNotSupported", message)
        wanted.changes.append(Note(train, "TrainingRuntimeNotSupported", message, SOURCE, warning=True))
    elif jobset is None and runtime is not None:
        wanted.changes.append(Create(made_by(train, _jobset(train, runtime, address))))
    elif jobset is not None and not leaving(jobset):
        if bool(jobset["spec"].get("suspend")) != suspended:
            wanted.changes.append(Patch("JobSet", key_of(jobset), {"spec": {"suspend": suspended}}))
        _report(jobset, status)
    if suspended:
        _say(status, "Suspended", "Suspended", "TrainJob is suspended")
    elif holds(train, "Suspended"):
        _say(status, "Suspended", "Resumed", "TrainJob is resumed", "False")
    wanted.changes += status_change(train, status)
    return wanted


def _say(status: Object, kind: str, reason: str, message: str, value: str = "True") -> None:
    new = {"type": kind, "status": value, "reason": reason, "message": message}
    status["conditions"] = with_condition(status["conditions"], new)


def _deadline(train: Object, status: Object, suspended: bool, pace: Pace, wanted: Wanted) -> None:
    limit = train["spec"].get("activeDeadlineSeconds")
    if limit is None or suspended:
        pace.forget(f"{uid_of(train)}/active")
        return
    left = limit - pace.since(f"{uid_of(train)}/active")
    if left > 0:
        wanted.look_again(left)
    else:
        _say(status, "Failed", *DEADLINE)


def _report(jobset: Object, status: Object) -> None:
    for theirs, ours in (("Completed", "Complete"), ("Failed", "Failed")):
        found = condition(jobset, theirs)
        if found and found["status"] == "True":
            _say(status, ours, found["reason"], found["message"])
    jobs = status_of(jobset).get("replicatedJobsStatus")
    if jobs:
        status["jobsStatus"] = copy.deepcopy(jobs)


def _jobset(train: Object, runtime: Object, address: str) -> Object:
    namespace, name = key_of(train)
    template = copy.deepcopy(runtime["spec"]["template"])
    for patch in train["spec"].get("runtimePatches") or []:
        template = merged(template, (patch.get("trainingRuntimeSpec") or {}).get("template") or {})
    policy = runtime["spec"].get("mlPolicy") or {}
    trainer = train["spec"].get("trainer") or {}
    for replicated in template["spec"]["replicatedJobs"]:
        labels = replicated["template"].get("metadata", {}).get("labels", {})
        if labels.get(STEP) == "trainer":
            _train(name, replicated, trainer, policy)
            if address:
                told_where(replicated["template"]["spec"]["template"]["spec"], address)
    meta = template.get("metadata") or {}
    return {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": meta.get("labels", {}),
            "annotations": meta.get("annotations", {}),
        },
        "spec": {**template["spec"], "suspend": bool(train["spec"].get("suspend"))},
    }


def _train(name: str, replicated: Object, trainer: Object, policy: Object) -> None:
    """Put what a TrainJob says of its trainer into the replicated job that trains."""
    nodes = trainer.get("numNodes") or policy.get("numNodes") or 1
    spec = replicated["template"]["spec"]
    spec |= {"completions": nodes, "parallelism": nodes, "completionMode": "Indexed"}
    container = next(one for one in spec["template"]["spec"]["containers"] if one["name"] == "node")
    for field in ("image", "command", "args"):
        if trainer.get(field):
            container[field] = trainer[field]
    if trainer.get("resourcesPerNode"):
        container["resources"] = trainer["resourcesPerNode"]
    own = merged(container.get("env") or [], trainer.get("env") or [])
    if "torch" in policy:
        host = f"{name}-{replicated['name']}-0-0.{name}"
        own = merged(own, _torch(nodes, _processes(trainer, policy, container), host))
        container.setdefault("ports", []).append({"containerPort": PORT})
    container["env"] = own


def _torch(nodes: int, processes: str, host: str) -> list[Object]:
    """What torchrun reads in place of arguments."""
    return [
        {"name": "PET_NNODES", "value": str(nodes)},
        {"name": "PET_NPROC_PER_NODE", "value": processes},
        {"name": "PET_NODE_RANK", "valueFrom": {"fieldRef": {"fieldPath": RANK}}},
        {"name": "PET_MASTER_ADDR", "value": host},
        {"name": "PET_MASTER_PORT", "value": str(PORT)},
    ]


def _processes(trainer: Object, policy: Object, container: Object) -> str:
    said: Any = trainer.get("numProcPerNode") or (policy["torch"] or {}).get("numProcPerNode")
    limits = (container.get("resources") or {}).get("limits") or {}
    gpus = next((amount for resource, amount in limits.items() if resource.endswith("/gpu")), None)
    return str(said or gpus or "auto")
