"""Kubernetes' objects as JSON has them, and how one looks into them."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

Object = dict[str, Any]
"""An object, or a part of one. Clients' classes are not used: they drop what they do not know."""

MANAGED_BY, OURS = "app.kubernetes.io/managed-by", "mashbill"
NAME = "mashbill.dev/job"
"""Label of a job's pods: its name."""
INDEX = "batch.kubernetes.io/job-completion-index"
"""Annotation and label of an Indexed Job's pod: which node it is."""
SELECTOR = f"{MANAGED_BY}={OURS}"


def at(value: Any, *path: str) -> Any:
    """What lies at a path; None where there is nothing."""
    for name in path:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def name_of(thing: Object) -> str:
    """An object's name; empty where it has none."""
    return str(at(thing, "metadata", "name") or "")


def annotation(thing: Object, name: str) -> str:
    """An annotation; empty where there is none."""
    return str((at(thing, "metadata", "annotations") or {}).get(name, ""))


def label(thing: Object, name: str) -> str:
    """A label; empty where there is none."""
    return str((at(thing, "metadata", "labels") or {}).get(name, ""))


def condition(thing: Object, *kinds: str) -> Object | None:
    """The first condition of these kinds that holds."""
    conditions: Iterable[Object] = at(thing, "status", "conditions") or ()
    return next((c for c in conditions if c.get("type") in kinds and c.get("status") == "True"), None)


def rank_of(pod: Object) -> int | None:
    """Which node of its job a pod is."""
    index = annotation(pod, INDEX) or label(pod, INDEX)
    return int(index) if index.isdigit() else None


def time_of(text: object) -> datetime | None:
    """A time as Kubernetes writes it."""
    if not isinstance(text, str) or not text:
        return None
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return None


def how_long(seconds: float) -> str:
    """A time for people: 40 s, 5 min, 3 h, 2 days."""
    for size, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= size * (2 if unit == "days" else 1):
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
