"""Resource quotas and limit ranges of a namespace: what a new object may take of what is left."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from builders.kube.kinds import Kind
from builders.kube.quantities import amount
from builders.kube.status import forbidden
from builders.kube.store import Object, Store

ENDED = ("Succeeded", "Failed")
PLAIN = ("pods", "configmaps", "secrets", "services", "persistentvolumeclaims")


def fill_limits(store: Store, pod: Object) -> None:
    """Give containers what a limit range says, and refuse what it does not allow.

    Raises:
        ApiError: 403.
    """
    for limits in _of(store, "limitranges", pod):
        for rule in limits["spec"]["limits"]:
            if rule["type"] == "Container":
                for container in _containers(pod):
                    _fill(container, rule)
                    _check(pod, container, rule)


def check_quota(store: Store, kind: Kind, item: Object) -> None:
    """Refuse what would take more than a quota has left.

    Raises:
        ApiError: 403.
    """
    for quota in _of(store, "resourcequotas", item):
        hard = quota["spec"].get("hard") or {}
        asked = {name: value for name, value in takes(kind.resource, item).items() if name in hard}
        lacking = [name for name in _needed(hard) if kind.resource == "pods" and not _has(item, name)]
        if lacking:
            words = f"failed quota: {quota['metadata']['name']}: must specify {','.join(sorted(lacking))}"
            raise forbidden(item["metadata"].get("name", ""), kind.group, kind.plural, words)
        used = _used(store, kind, item["metadata"]["namespace"])
        over = [name for name, value in asked.items() if used.get(name, 0) + value > amount(hard[name])]
        if over:
            told = [_told(over, group) for group in (asked, used, {n: amount(hard[n]) for n in over})]
            words = (
                f"exceeded quota: {quota['metadata']['name']}, requested: {told[0]}, used: {told[1]}, "
                f"limited: {told[2]}"
            )
            raise forbidden(item["metadata"].get("name", ""), kind.group, kind.plural, words)


def takes(resource: str, item: Object) -> dict[str, Decimal]:
    """What an object takes of a quota."""
    taken = {f"count/{resource}": Decimal(1)}
    if resource in PLAIN:
        taken[resource] = Decimal(1)
    if resource == "pods":
        for group in ("requests", "limits"):
            for container in item["spec"]["containers"]:
                for name, value in ((container.get("resources") or {}).get(group) or {}).items():
                    key = f"{group}.{name}"
                    taken[key] = taken.get(key, Decimal(0)) + amount(value)
        taken |= {
            name: taken[f"requests.{name}"] for name in ("cpu", "memory") if f"requests.{name}" in taken
        }
    return taken


def _used(store: Store, kind: Kind, namespace: str) -> dict[str, Decimal]:
    used: dict[str, Decimal] = {}
    for other in store.all(kind.resource):
        ended = kind.resource == "pods" and (other.get("status") or {}).get("phase") in ENDED
        if other["metadata"]["namespace"] == namespace and not ended:
            for name, value in takes(kind.resource, other).items():
                used[name] = used.get(name, Decimal(0)) + value
    return used


def _needed(hard: dict[str, Any]) -> Iterator[str]:
    """What every pod must say where a quota counts it."""
    for name in hard:
        amounts = name in ("cpu", "memory") or name.startswith(("requests.", "limits."))
        if amounts and "storage" not in name and "/" not in name:
            yield name


def _has(pod: Object, name: str) -> bool:
    group, _, resource = name.rpartition(".")
    group = group or "requests"
    return all(resource in ((c.get("resources") or {}).get(group) or {}) for c in pod["spec"]["containers"])


def _of(store: Store, resource: str, item: Object) -> list[Object]:
    namespace = item["metadata"]["namespace"]
    return [one for one in store.all(resource) if one["metadata"]["namespace"] == namespace]


def _containers(pod: Object) -> list[Object]:
    return [*pod["spec"].get("containers", []), *pod["spec"].get("initContainers", [])]


def _fill(container: Object, rule: Object) -> None:
    resources = container.setdefault("resources", {})
    for group, name in (("limits", "default"), ("requests", "defaultRequest")):
        if given := rule.get(name):
            resources[group] = {**given, **(resources.get(group) or {})}


def _check(pod: Object, container: Object, rule: Object) -> None:
    resources = container.get("resources") or {}
    for name, most in (rule.get("max") or {}).items():
        limit = (resources.get("limits") or {}).get(name)
        if limit is not None and amount(limit) > amount(most):
            words = f"maximum {name} usage per Container is {most}, but limit is {limit}"
            raise forbidden(pod["metadata"].get("name", ""), "", "pods", words)
    for name, least in (rule.get("min") or {}).items():
        request = (resources.get("requests") or {}).get(name)
        if request is not None and amount(request) < amount(least):
            words = f"minimum {name} usage per Container is {least}, but request is {request}"
            raise forbidden(pod["metadata"].get("name", ""), "", "pods", words)


def _told(names: list[str], amounts: dict[str, Decimal]) -> str:
    return ",".join(f"{name}={_plain(amounts.get(name, Decimal(0)))}" for name in sorted(names))


def _plain(value: Decimal) -> str:
    if value == value.to_integral():
        for suffix, power in (("Gi", 3), ("Mi", 2), ("Ki", 1)):
            if value and value % (Decimal(1024) ** power) == 0:
                return f"{int(value / Decimal(1024) ** power)}{suffix}"
        return str(int(value))
    return f"{int(value * 1000)}m"
