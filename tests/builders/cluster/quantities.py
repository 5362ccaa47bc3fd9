"""Amounts as Kubernetes writes them, and what a pod asks for."""

import re
from collections import Counter
from decimal import Decimal

from builders.cluster.kinds import Object

SUFFIXES = {
    "m": Decimal("0.001"),
    "": Decimal(1),
    **{letter: Decimal(1000) ** place for place, letter in enumerate("kMGTPE", start=1)},
    **{f"{letter}i": Decimal(1024) ** place for place, letter in enumerate("KMGTPE", start=1)},
}
AMOUNT = re.compile(r"^([+-]?[0-9.]+(?:e[0-9]+)?)(m|k|[KMGTPE]i?)?$")

Amounts = Counter[str]
"""Thousandths of each resource."""


def thousandths(amount: str | float) -> int:
    """An amount in thousandths of its unit, rounded up."""
    found = AMOUNT.match(str(amount))
    assert found, amount
    value = Decimal(found[1]) * SUFFIXES[found[2] or ""] * 1000
    return int(value.to_integral_value(rounding="ROUND_CEILING"))


def amounts(resources: Object | None) -> Amounts:
    """Amounts of resources by name."""
    return Counter({name: thousandths(amount) for name, amount in (resources or {}).items()})


def requests_of(pod: Object) -> Amounts:
    """What a pod asks for: its containers' sum, or more where an init container takes more."""
    spec = pod["spec"]
    asked: Amounts = Counter()
    for container in spec["containers"]:
        asked += _requests(container)
    for container in spec.get("initContainers", []):
        asked |= _requests(container)
    asked += amounts(spec.get("overhead"))
    asked["pods"] = 1000
    return asked


def _requests(container: Object) -> Amounts:
    resources = container.get("resources") or {}
    return Counter({**amounts(resources.get("limits")), **amounts(resources.get("requests"))})


def memory_limit(container: Object) -> int | None:
    """Bytes that a container may have; None where there is no limit."""
    limit = ((container.get("resources") or {}).get("limits") or {}).get("memory")
    return None if limit is None else thousandths(limit) // 1000
