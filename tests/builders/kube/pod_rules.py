"""Pods: what the server fills in, what it refuses, and which few fields may change."""

from collections.abc import Iterator
from typing import Any

from builders.kube.container_rules import container_causes, fill_container
from builders.kube.metadata import LABEL, LABEL_WORDS, label_causes
from builders.kube.quantities import amount
from builders.kube.status import Cause, duplicate, not_allowed, required, unsupported, wrong

Object = dict[str, Any]
ALWAYS_MUTABLE = (
    "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to "
    "existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was "
    "previously negative)"
)
RESTARTS = ("Always", "Never", "OnFailure")
DEFAULTS = {
    "restartPolicy": "Always",
    "terminationGracePeriodSeconds": 30,
    "dnsPolicy": "ClusterFirst",
    "schedulerName": "default-scheduler",
    "enableServiceLinks": True,
}


def fill_spec(spec: Object) -> None:
    """Defaults of a pod's spec, or of a template's."""
    for name, value in DEFAULTS.items():
        spec.setdefault(name, value)
    spec.setdefault("securityContext", {})
    if account := spec.get("serviceAccountName"):
        spec["serviceAccount"] = account
    for container in [*spec.get("containers", []), *spec.get("initContainers", [])]:
        fill_container(container)
    for volume in spec.get("volumes", []):
        _fill_volume(volume)


def fill_pod(pod: Object) -> None:
    fill_spec(pod["spec"])


def begin_pod(pod: Object) -> None:
    """A new pod's state."""
    spec = pod.get("spec") or {}
    pod["status"] = {"phase": "Pending", "qosClass": _quality(spec)}


def pod_causes(pod: Object, before: Object | None, subresource: str = "") -> Iterator[Cause]:
    """What is wrong with a pod, or with a change of one."""
    if before is None:
        yield from spec_causes(pod["spec"], "spec")
    elif subresource == "" and _frozen(pod["spec"], before["spec"]) != _frozen(
        before["spec"], before["spec"]
    ):
        yield not_allowed("spec", ALWAYS_MUTABLE.partition("Forbidden: ")[2])


def template_causes(template: Object, path: str) -> Iterator[Cause]:
    """What is wrong with a pod template."""
    metadata = template.get("metadata") or {}
    yield from label_causes(metadata.get("labels") or {}, f"{path}.labels")
    yield from spec_causes(template["spec"], f"{path}.spec")


def spec_causes(spec: Object, path: str) -> Iterator[Cause]:
    """What is wrong with a pod's spec."""
    names: set[str] = set()
    volumes = {volume.get("name") for volume in spec.get("volumes", [])}
    if not spec.get("containers"):
        yield required(f"{path}.containers")
    for group in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(group, [])):
            at = f"{path}.{group}[{index}]"
            if container.get("name") in names:
                yield duplicate(f"{at}.name", container["name"])
            names.add(container.get("name", ""))
            yield from container_causes(container, volumes, at)
    if spec.get("restartPolicy") not in RESTARTS:
        yield unsupported(f"{path}.restartPolicy", spec.get("restartPolicy"), RESTARTS)
    for name in ("hostname", "subdomain"):
        if spec.get(name) and not LABEL.match(spec[name]):
            yield wrong(f"{path}.{name}", spec[name], LABEL_WORDS)
    if spec.get("activeDeadlineSeconds", 1) < 1:
        yield wrong(
            f"{path}.activeDeadlineSeconds",
            spec["activeDeadlineSeconds"],
            "must be between 1 and 2147483647, inclusive",
        )
    yield from _volume_causes(spec.get("volumes", []), path)
    yield from _toleration_causes(spec.get("tolerations", []), path)
    for index, constraint in enumerate(spec.get("topologySpreadConstraints", [])):
        if constraint["maxSkew"] < 1:
            yield wrong(
                f"{path}.topologySpreadConstraints[{index}].maxSkew",
                constraint["maxSkew"],
                "must be greater than zero",
            )


def _volume_causes(volumes: list[Object], path: str) -> Iterator[Cause]:
    names: set[str] = set()
    for index, volume in enumerate(volumes):
        at = f"{path}.volumes[{index}]"
        name = volume.get("name", "")
        if not LABEL.match(name):
            yield wrong(f"{at}.name", name, LABEL_WORDS) if name else required(f"{at}.name")
        if name in names:
            yield duplicate(f"{at}.name", name)
        names.add(name)
        if len([key for key in volume if key != "name"]) > 1:
            kind = next(key for key in volume if key != "name")
            yield not_allowed(f"{at}.{kind}", "may not specify more than 1 volume type")


def _toleration_causes(tolerations: list[Object], path: str) -> Iterator[Cause]:
    for index, toleration in enumerate(tolerations):
        at = f"{path}.tolerations[{index}]"
        operator = toleration.get("operator", "Equal")
        if not toleration.get("key") and operator != "Exists":
            yield wrong(
                f"{at}.operator",
                operator,
                'operator must be Exists when `key` is empty, which means "match all values and all keys"',
            )
        if operator == "Exists" and toleration.get("value"):
            yield wrong(f"{at}.operator", operator, "value must be empty when `operator` is 'Exists'")
        if operator not in ("Equal", "Exists", "Lt", "Gt"):
            yield unsupported(f"{at}.operator", operator, ["Equal", "Exists"])


def _frozen(spec: Object, before: Object) -> Object:
    """A pod's spec without what may change."""
    free = ("activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds")
    frozen = {key: value for key, value in spec.items() if key not in free}
    for group in ("containers", "initContainers"):
        if group in spec:
            frozen[group] = [{**container, "image": ""} for container in spec[group]]
    had, has = before.get("tolerations", []), spec.get("tolerations", [])
    frozen["tolerations lost"] = [toleration for toleration in had if toleration not in has]
    if before.get("terminationGracePeriodSeconds", 0) >= 0:
        frozen["terminationGracePeriodSeconds"] = spec.get("terminationGracePeriodSeconds")
    if gates := before.get("schedulingGates"):
        frozen["schedulingGates"] = [gate for gate in spec.get("schedulingGates", []) if gate not in gates]
    return frozen


def _fill_volume(volume: Object) -> None:
    for kind in ("configMap", "secret", "projected", "downwardAPI"):
        if kind in volume:
            volume[kind].setdefault("defaultMode", 420)
    if "hostPath" in volume:
        volume["hostPath"].setdefault("type", "")
    if set(volume) == {"name"}:
        volume["emptyDir"] = {}


def _quality(spec: Object) -> str:
    containers = [*spec.get("containers", []), *spec.get("initContainers", [])]
    every = [container.get("resources") or {} for container in containers]
    told = [group for resources in every for group in (resources.get("limits"), resources.get("requests"))]
    if not any(group and {"cpu", "memory"} & set(group) for group in told):
        return "BestEffort"
    for resources in every:
        limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
        for name in ("cpu", "memory"):
            if name not in limits or amount(requests.get(name, limits[name])) != amount(limits[name]):
                return "Burstable"
    return "Guaranteed"
