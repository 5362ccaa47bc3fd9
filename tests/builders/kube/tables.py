"""Tables, which kubectl asks for when it prints for people."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from builders.kube.kinds import Kind

Object = dict[str, Any]
WANTED = "as=Table"
Column = tuple[str, Callable[[Object], Any]]
"""Its head, and what it says of an object; one that begins with a dash is for ``-o wide``."""


def is_wanted(accept: str) -> bool:
    """Whether a client would rather have a table."""
    return WANTED in accept and "g=meta.k8s.io" in accept


def table(kind: Kind, items: list[Object], metadata: Object) -> Object:
    """Objects as a table's rows."""
    columns: list[Column] = [("Name", _at(".metadata.name")), *COLUMNS.get(kind.resource, []), ("Age", age)]
    if kind.resource == "events":
        columns = [*EVENTS, ("-Name", _at(".metadata.name"))]
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": [_definition(name) for name, _ in columns],
        "rows": [{"cells": [say(item) for _, say in columns], "object": _partial(item)} for item in items],
    }


def age(item: Object) -> str:
    """Since when it is there."""
    return since(item["metadata"].get("creationTimestamp"))


def since(moment: str | None) -> str:
    """How long ago, in a word."""
    if not moment:
        return "<unknown>"
    then = datetime.fromisoformat(moment.replace("Z", "+00:00"))
    return _span((datetime.now(UTC) - then).total_seconds())


def _span(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{int(seconds // length)}{unit}"
    return f"{int(seconds)}s"


def _definition(name: str) -> Object:
    form = "name" if name == "Name" else ""
    return {
        "name": name.lstrip("-"),
        "type": "string",
        "format": form,
        "description": name.lstrip("-"),
        "priority": int(name.startswith("-")),
    }


def _partial(item: Object) -> Object:
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": item["metadata"]}


def _at(path: str, otherwise: Any = "") -> Callable[[Object], Any]:
    """What is at ``.status.conditions[?(@.type=="Ready")].status``."""

    def say(item: Object) -> Any:
        value: Any = item
        for name, wanted in re.findall(r'\.(\w+)(?:\[\?\(@\.type=="(\w+)"\)\])?', path):
            value = (value or {}).get(name) if isinstance(value, dict) else None
            if wanted and isinstance(value, list):
                value = next((one for one in value if one.get("type") == wanted), None)
        return otherwise if value is None else value

    return say


def _ready(pod: Object) -> str:
    states = (pod.get("status") or {}).get("containerStatuses", [])
    return f"{sum(bool(one.get('ready')) for one in states)}/{len(pod['spec']['containers'])}"


def _state(pod: Object) -> str:
    """What kubectl calls a pod's status: the reason of whatever is out of order, else its phase."""
    status = pod.get("status") or {}
    if "deletionTimestamp" in pod["metadata"]:
        return "Terminating"
    for one in status.get("containerStatuses", []):
        for name in ("waiting", "terminated"):
            reason = ((one.get("state") or {}).get(name) or {}).get("reason")
            if reason:
                return reason
    return status.get("reason") or status.get("phase", "Unknown")


def _restarts(pod: Object) -> str:
    return str(sum(s.get("restartCount", 0) for s in (pod.get("status") or {}).get("containerStatuses", [])))


def _job_state(job: Object) -> str:
    has = {c["type"] for c in (job.get("status") or {}).get("conditions", []) if c["status"] == "True"}
    for name in ("Complete", "Failed", "Suspended", "FailureTarget", "SuccessCriteriaMet"):
        if name in has:
            return name
    return "Running"


def _completions(job: Object) -> str:
    done = (job.get("status") or {}).get("succeeded", 0)
    wanted = job["spec"].get("completions")
    return f"{done}/{wanted}" if wanted is not None else f"{done}/1 of {job['spec'].get('parallelism', 1)}"


def _duration(job: Object) -> str:
    status = job.get("status") or {}
    if "startTime" not in status:
        return ""
    if "completionTime" not in status:
        return since(status["startTime"])
    begin, end = (
        datetime.fromisoformat(status[name].replace("Z", "+00:00"))
        for name in ("startTime", "completionTime")
    )
    return _span((end - begin).total_seconds())


def _node_state(node: Object) -> str:
    ready = _at('.status.conditions[?(@.type=="Ready")].status')(node) == "True"
    return ("Ready" if ready else "NotReady") + (
        ",SchedulingDisabled" if node.get("spec", {}).get("unschedulable") else ""
    )


EVENTS: list[Column] = [
    ("Last Seen", lambda event: since(event.get("lastTimestamp") or event.get("eventTime"))),
    ("Type", _at(".type")),
    ("Reason", _at(".reason")),
    (
        "Object",
        lambda e: f"{e['involvedObject'].get('kind', '').lower()}/{e['involvedObject'].get('name', '')}",
    ),
    ("Message", lambda event: event.get("message", "").strip()),
]
COLUMNS: dict[str, list[Column]] = {
    "pods": [
        ("Ready", _ready),
        ("Status", _state),
        ("Restarts", _restarts),
        ("-IP", _at(".status.podIP", "<none>")),
        ("-Node", _at(".spec.nodeName", "<none>")),
    ],
    "jobs.batch": [("Status", _job_state), ("Completions", _completions), ("Duration", _duration)],
    "nodes": [("Status", _node_state), ("Version", _at(".status.nodeInfo.kubeletVersion"))],
    "namespaces": [("Status", _at(".status.phase"))],
    "configmaps": [("Data", lambda item: len({**item.get("data", {}), **item.get("binaryData", {})}))],
    "secrets": [("Type", _at(".type")), ("Data", lambda item: len(item.get("data", {})))],
    "services": [("Type", _at(".spec.type")), ("Cluster-IP", _at(".spec.clusterIP"))],
    "persistentvolumeclaims": [("Status", _at(".status.phase")), ("Volume", _at(".spec.volumeName"))],
    "jobsets.jobset.x-k8s.io": [
        ("TerminalState", _at(".status.terminalState")),
        ("Restarts", _at(".status.restarts")),
        ("Completed", _at('.status.conditions[?(@.type=="Completed")].status')),
        ("Suspended", _at(".spec.suspend")),
    ],
    "trainjobs.trainer.kubeflow.org": [
        ("Runtime", _at(".spec.runtimeRef.name")),
        ("State", lambda item: (((item.get("status") or {}).get("conditions") or [{}])[-1]).get("type", "")),
    ],
    "localqueues.kueue.x-k8s.io": [
        ("ClusterQueue", _at(".spec.clusterQueue")),
        ("Pending Workloads", _at(".status.pendingWorkloads")),
        ("Admitted Workloads", _at(".status.admittedWorkloads")),
    ],
    "rayjobs.ray.io": [
        ("Job Status", _at(".status.jobStatus")),
        ("Deployment Status", _at(".status.jobDeploymentStatus")),
        ("Ray Cluster Name", _at(".status.rayClusterName")),
    ],
}
