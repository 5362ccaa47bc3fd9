"""What is asked of the API to know how a job is: paths and queries, the same with threads and without."""

from collections.abc import Iterator

from mashbill.launch.backend import Handle
from mashbill.launch.kubernetes.kinds import Kind
from mashbill.launch.kubernetes.objects import NAME, Object, at, name_of
from mashbill.launch.kubernetes.states import Seen

WORDS_LINES = 40
"""Of the log of the pod that a job failed by."""
MOST_EVENTS = "200"
KUEUE, KUEUE_VERSIONS = "kueue.x-k8s.io", ("v1beta2", "v1beta1")


def pods_path(handle: Handle) -> str:
    """Where pods are."""
    return f"/api/v1/namespaces/{handle.place['namespace']}/pods"


def by_name(handle: Handle) -> dict[str, str]:
    """The query for a job's pods."""
    return {"labelSelector": f"{NAME}={handle.name}"}


def events_of(seen: Seen) -> Iterator[dict[str, str]]:
    """Queries for the events that may say why a job has no pods, or why they don't start."""
    kind = seen.kind
    objects = [(kind.name, name_of(seen.job)), *kind.makers(seen.job)]
    waiting = (pod for pod in kind.last_pods(seen.pods) if at(pod, "status", "phase") == "Pending")
    objects += [("Pod", name_of(pod)) for pod in [*waiting][:1]]
    for what, called in objects:
        selector = f"involvedObject.kind={what},involvedObject.name={called}"
        yield {"fieldSelector": selector, "limit": MOST_EVENTS}


def workload_queries(handle: Handle) -> Iterator[tuple[str, dict[str, str]]]:
    """Paths and queries of Kueue's workload of a job, by the versions that clusters serve."""
    for version in KUEUE_VERSIONS:
        path = f"/apis/{KUEUE}/{version}/namespaces/{handle.place['namespace']}/workloads"
        yield path, {"labelSelector": f"{KUEUE}/job-uid={handle.uid}"}


def log_query(kind: Kind, lines: int) -> dict[str, str]:
    """The query for the end of a pod's log."""
    return {"container": kind.container, "tailLines": str(lines)}


def removal(uid: str) -> Object:
    """Options of a deletion that takes pods with the job, and takes no other job of its name."""
    return {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "propagationPolicy": "Foreground",
        "preconditions": {"uid": uid},
    }
