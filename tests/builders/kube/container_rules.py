"""Containers of pods: what the server fills in, and what it refuses."""

from collections.abc import Iterator
from typing import Any

from builders.kube.metadata import LABEL, LABEL_WORDS
from builders.kube.quantities import amount
from builders.kube.status import Cause, lacking, required, unsupported, wrong

Object = dict[str, Any]
PULLS = ("Always", "IfNotPresent", "Never")
PROBE = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}


def fill_container(container: Object) -> None:
    """Defaults of a container."""
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    container.setdefault("resources", {})
    image = str(container.get("image", ""))
    tag = image.rpartition("/")[2].partition(":")[2]
    latest = "@" not in image and tag in ("", "latest")
    container.setdefault("imagePullPolicy", "Always" if latest else "IfNotPresent")
    for port in container.get("ports", []):
        port.setdefault("protocol", "TCP")
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        for name, value in PROBE.items() if probe in container else ():
            container[probe].setdefault(name, value)
    for variable in container.get("env", []):
        if field := (variable.get("valueFrom") or {}).get("fieldRef"):
            field.setdefault("apiVersion", "v1")
    limits = container["resources"].get("limits")
    if limits:
        container["resources"]["requests"] = {**limits, **container["resources"].get("requests", {})}


def container_causes(container: Object, volumes: set[str | None], at: str) -> Iterator[Cause]:
    """What is wrong with a container of a pod that has these volumes."""
    name = container.get("name", "")
    if not name:
        yield required(f"{at}.name")
    elif not LABEL.match(name):
        yield wrong(f"{at}.name", name, LABEL_WORDS)
    image = container.get("image", "")
    if not image:
        yield required(f"{at}.image")
    elif image != image.strip():
        yield wrong(f"{at}.image", image, "must not have leading or trailing whitespace")
    if container.get("imagePullPolicy") not in PULLS:
        yield unsupported(f"{at}.imagePullPolicy", container.get("imagePullPolicy"), PULLS)
    yield from _variable_causes(container.get("env", []), at)
    yield from _mount_causes(container, volumes, at)
    for index, port in enumerate(container.get("ports", [])):
        if not 0 < port["containerPort"] < 65_536:
            yield wrong(
                f"{at}.ports[{index}].containerPort",
                port["containerPort"],
                "must be between 1 and 65535, inclusive",
            )
    yield from _resource_causes(container.get("resources") or {}, f"{at}.resources")


def _resource_causes(resources: Object, at: str) -> Iterator[Cause]:
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for group, amounts in (("limits", limits), ("requests", requests)):
        for name, value in amounts.items():
            if amount(value) < 0:
                yield wrong(f"{at}.{group}[{name}]", str(value), "must be greater than or equal to 0")
            if "/" in name and amount(value) % 1:
                yield wrong(f"{at}.{group}[{name}]", str(value), "must be an integer")
            if "/" not in name and not _standard(name):
                yield wrong(
                    f"{at}.{group}[{name}]", name, "must be a standard resource type or fully qualified"
                )
    for name, value in requests.items():
        if name in limits and amount(value) > amount(limits[name]):
            yield wrong(
                f"{at}.requests", str(value), f"must be less than or equal to {name} limit of {limits[name]}"
            )
        if "/" in name and amount(value) != amount(limits.get(name, "0")):
            yield (
                wrong(f"{at}.requests", str(value), f"must be equal to {name} limit of {limits[name]}")
                if name in limits
                else required(f"{at}.limits", "Limit must be set for non overcommitable resources")
            )


def _standard(name: str) -> bool:
    return name in ("cpu", "memory", "ephemeral-storage") or name.startswith("hugepages-")


def _variable_causes(variables: list[Object], at: str) -> Iterator[Cause]:
    for index, variable in enumerate(variables):
        if not variable.get("name"):
            yield required(f"{at}.env[{index}].name")
        elif "=" in variable["name"]:
            words = "a valid environment variable name must consist only of printable ASCII characters other "
            yield wrong(f"{at}.env[{index}].name", variable["name"], f"{words}than '='")
        if "value" in variable and variable["value"] and "valueFrom" in variable:
            yield wrong(f"{at}.env[{index}].valueFrom", "", "may not be specified when `value` is not empty")


def _mount_causes(container: Object, volumes: set[str | None], at: str) -> Iterator[Cause]:
    paths: set[str] = set()
    for index, mount in enumerate(container.get("volumeMounts", [])):
        where = f"{at}.volumeMounts[{index}]"
        if mount.get("name") not in volumes:
            yield lacking(f"{where}.name", mount.get("name", ""))
        if mount.get("mountPath") in paths:
            yield wrong(f"{where}.mountPath", mount["mountPath"], "must be unique")
        paths.add(mount.get("mountPath", ""))
