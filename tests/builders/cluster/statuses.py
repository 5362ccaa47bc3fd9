"""A pod's status, as the kubelet writes it from what its containers do."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from builders.cluster.containers import Container
from builders.cluster.kinds import Key, Object, now_text, status_of, with_condition


@dataclass
class Run:
    """A pod on its node.

    Attributes:
        key: its namespace and name.
        address: its own; node_address: its node's.
        folder: its disk.
        containers: by name, init containers first.
        volumes: folders of its volumes, once they are there.
        ending: whether its containers were asked to end.
        verdict: why the kubelet ends it, as reason and message: Evicted, DeadlineExceeded.
        disrupted: a condition that says so, where it is no fault of the pod's.
    """

    key: Key
    address: str
    node_address: str
    folder: Path
    containers: dict[str, Container]
    volumes: Mapping[str, Path] | None = None
    ending: bool = False
    verdict: tuple[str, str] | None = None
    disrupted: Object | None = None


def pod_status(pod: Object, run: Run) -> Object:
    """What the status of a pod is now."""
    status = copy.deepcopy(status_of(pod))
    spec = pod["spec"]
    first = [run.containers[one["name"]] for one in spec.get("initContainers", [])]
    main = [run.containers[one["name"]] for one in spec["containers"]]
    status |= {
        "hostIP": run.node_address,
        "hostIPs": [{"ip": run.node_address}],
        "podIP": run.address,
        "podIPs": [{"ip": run.address}],
        "phase": _phase(spec.get("restartPolicy", "Always"), first, main, run),
        "containerStatuses": [_container(one, run.containers[one["name"]]) for one in spec["containers"]],
        "qosClass": status.get("qosClass", _quality(spec["containers"])),
    }
    status.setdefault("startTime", now_text())
    if first:
        status["initContainerStatuses"] = [
            _container(one, run.containers[one["name"]]) for one in spec["initContainers"]
        ]
    if run.verdict and status["phase"] == "Failed":
        status["reason"], status["message"] = run.verdict
    status["conditions"] = _conditions(status, first, main, run)
    return status


def _phase(policy: str, first: Sequence[Container], main: Sequence[Container], run: Run) -> str:
    everything = [*first, *main]
    if run.ending and not any(one.begun for one in everything):
        good = all(one.ended and one.ended["exitCode"] == 0 for one in everything)
        return "Succeeded" if good and not run.verdict else "Failed"
    if policy == "Never" and any(one.ended and one.ended["exitCode"] for one in first):
        return "Failed"
    if policy != "Always" and all(one.ended for one in main):
        codes = [one.ended["exitCode"] for one in main if one.ended]
        if not any(codes):
            return "Succeeded"
        if policy == "Never":
            return "Failed"
    started = any(one.running or one.ended or one.last for one in main)
    return "Running" if started else "Pending"


def _container(spec: Object, container: Container) -> Object:
    status = {
        "name": container.name,
        "image": spec["image"],
        "imageID": "",
        "ready": container.running,
        "started": container.running,
        "restartCount": container.restarts,
        "state": container.state(),
        "lastState": {"terminated": container.last} if container.last else {},
    }
    ended = container.ended or {"exitCode": 0}
    wanted = spec.get("terminationMessagePolicy") == "FallbackToLogsOnError"
    if wanted and ended["exitCode"] and "message" not in ended:
        ended["message"] = container.last_words()
    return status


def _conditions(
    status: Object, first: Sequence[Container], main: Sequence[Container], run: Run
) -> list[Object]:
    conditions = list(status.get("conditions") or [])
    over = status["phase"] in ("Succeeded", "Failed")
    reason = {"Succeeded": "PodCompleted", "Failed": "PodFailed"}.get(status["phase"], "ContainersNotReady")
    unready = [one.name for one in main if not one.running]
    message = "" if over else f"containers with unready status: [{' '.join(unready)}]"
    ready: Object = {"status": "True"}
    if unready or over:
        ready = {"status": "False", "reason": reason, **({"message": message} if message else {})}
    initialized: Object = {"status": "True"}
    incomplete = [one.name for one in first if not (one.ended and one.ended["exitCode"] == 0)]
    if incomplete:
        message = f"containers with incomplete status: [{' '.join(incomplete)}]"
        initialized = {"status": "False", "reason": "ContainersNotInitialized", "message": message}
    if run.disrupted:
        conditions = with_condition(conditions, run.disrupted)
    sandbox = "False" if over or run.volumes is None else "True"
    for kind, new in (
        ("PodReadyToStartContainers", {"status": sandbox}),
        ("Initialized", initialized),
        ("Ready", ready),
        ("ContainersReady", ready),
        ("PodScheduled", {"status": "True"}),
    ):
        conditions = with_condition(conditions, {"type": kind, **new})
    return conditions


def _quality(containers: Sequence[Object]) -> str:
    """Guaranteed, Burstable or BestEffort."""
    resources = [one.get("resources") or {} for one in containers]
    if not any(one.get("limits") or one.get("requests") for one in resources):
        return "BestEffort"
    for one in resources:
        limits = one.get("limits") or {}
        if not {"cpu", "memory"} <= limits.keys() or (one.get("requests") or limits) != limits:
            return "Burstable"
    return "Guaranteed"
