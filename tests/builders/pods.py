"""Pods of a job as a cluster has them, in the state that a test wants."""

import copy
from typing import Any

from builders.kube import KubernetesApi

STARTED = "2026-11-28T10:00:00Z"


def pod_of(
    job: dict[str, Any], rank: int = 0, status: dict[str, Any] | None = None, *, attempt: int = 0
) -> dict[str, Any]:
    """A pod of a Job or of a JobSet's only job.

    Args:
        job: its object.
        rank: its completion index.
        status: of the pod; pending without one.
        attempt: which of that rank, from 0.
    """
    spec = job["spec"]
    if job["kind"] == "JobSet":
        spec = spec["replicatedJobs"][0]["template"]["spec"]
    template = copy.deepcopy(spec["template"])
    name = job["metadata"]["name"]
    metadata = template["metadata"] | {
        "name": f"{name}-{rank}-{'abcdefgh'[attempt]}xyz{rank}",
        "namespace": job["metadata"].get("namespace", "default"),
        "uid": f"uid-{name}-{rank}-{attempt}",
        "creationTimestamp": f"2026-11-28T10:{attempt:02}:00Z",
    }
    index = {"batch.kubernetes.io/job-completion-index": str(rank)}
    metadata["annotations"] = metadata["annotations"] | index
    metadata["labels"] = metadata["labels"] | index
    container = template["spec"]["containers"][0]
    container["env"] = [v for v in container["env"] if "value" in v]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": template["spec"] | {"nodeName": f"gpu-{rank}"},
        "status": status or {"phase": "Pending"},
    }


def running() -> dict[str, Any]:
    """The status of a pod at work."""
    state = {"running": {"startedAt": STARTED}}
    return {"phase": "Running", "startTime": STARTED, "containerStatuses": [_container(state)]}


def ended(
    code: int, reason: str = "", *, at: str = STARTED, message: str = "", **more: Any
) -> dict[str, Any]:
    """The status of a pod whose container ended by itself."""
    end = {"exitCode": code, "finishedAt": at, "reason": reason or ("Completed" if code == 0 else "Error")}
    state = {"terminated": end | ({"message": message} if message else {})}
    phase = "Succeeded" if code == 0 else "Failed"
    return {"phase": phase, "startTime": STARTED, "containerStatuses": [_container(state)], **more}


def waiting(reason: str, message: str = "", *, since: str = STARTED) -> dict[str, Any]:
    """The status of a pod whose container can't start yet."""
    state = {"waiting": {"reason": reason, "message": message}}
    return {"phase": "Pending", "startTime": since, "containerStatuses": [_container(state)]}


def unplaced(message: str, *, since: str = STARTED) -> dict[str, Any]:
    """The status of a pod that no node takes."""
    told = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return {"phase": "Pending", "conditions": [told | {"lastTransitionTime": since}]}


def placed_in(api: KubernetesApi, pod: dict[str, Any]) -> None:
    """Put a pod with its status into a cluster."""
    made = {
        **pod,
        "metadata": {k: v for k, v in pod["metadata"].items() if k not in ("uid", "creationTimestamp")},
    }
    api.put({**made, "status": {}})
    told(api, "pods", pod["metadata"]["name"], pod["status"])


def told(api: KubernetesApi, resource: str, name: str, status: dict[str, Any]) -> None:
    """Let a controller say how an object is, by the status subresource."""
    from builders.kube.clients import client_of

    groups = {"pods": "/api/v1", "jobs": "/apis/batch/v1", "jobsets": "/apis/jobset.x-k8s.io/v1alpha2"}
    groups |= {"trainjobs": "/apis/trainer.kubeflow.org/v1alpha1", "rayjobs": "/apis/ray.io/v1"}
    path = f"{groups[resource]}/namespaces/default/{resource}/{name}/status"
    client_of(api).call_api(
        path,
        "PATCH",
        header_params={"Content-Type": "application/merge-patch+json", "Accept": "application/json"},
        body={"status": status},
        auth_settings=["BearerToken"],
        response_types_map={200: "object"},
    )


def _container(state: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": "mashbill",
        "image": "registry.example/mashbill:0.2",
        "imageID": "",
        "ready": "running" in state,
        "restartCount": 0,
        "state": state,
    }
