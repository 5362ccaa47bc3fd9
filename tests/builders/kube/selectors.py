"""Label and field selectors of lists and watches."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from builders.kube.kinds import Kind
from builders.kube.status import bad_request

Object = dict[str, Any]
_SET = re.compile(r"^(?P<key>[^\s=!<>(),]+)\s+(?P<how>in|notin)\s*\((?P<values>[^()]*)\)$")
_EQUAL = re.compile(r"^(?P<key>[^\s=!<>(),]+)\s*(?P<how>==|=|!=|<|>)\s*(?P<value>[^\s=!<>(),]*)$")
_HAS = re.compile(r"^(?P<no>!?)\s*(?P<key>[^\s=!<>(),]+)$")
_LABEL = re.compile(r"^(([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?)$")
EVERY = ("metadata.name", "metadata.namespace")
FIELDS = {
    "pods": (
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.nominatedNodeName",
    ),
    "events": (
        *(f"involvedObject.{n}" for n in ("kind", "namespace", "name", "uid", "apiVersion", "fieldPath")),
        "involvedObject.resourceVersion",
        "reason",
        "reportingComponent",
        "source",
        "type",
    ),
    "secrets": ("type",),
    "namespaces": ("status.phase",),
    "nodes": ("spec.unschedulable",),
    "jobs.batch": ("status.successful",),
    "services": ("spec.clusterIP", "spec.type"),
    "replicasets.apps": ("status.replicas",),
}
Test = Callable[[dict[str, str]], bool]


@dataclass(frozen=True)
class Selector:
    """What a list or a watch is of."""

    namespace: str
    labels: tuple[Test, ...]
    fields: tuple[tuple[str, bool, str], ...]

    def matches(self, item: Object) -> bool:
        """Whether an object is among it."""
        metadata = item["metadata"]
        if self.namespace and metadata.get("namespace") != self.namespace:
            return False
        for path, equal, value in self.fields:
            if (_field(item, path) == value) is not equal:
                return False
        if not self.labels:
            return True
        labels = metadata.get("labels") or {}
        return all(test(labels) for test in self.labels)

    @property
    def everything(self) -> bool:
        return not (self.namespace or self.labels or self.fields)


def selector(kind: Kind, namespace: str, labels: str, fields: str) -> Selector:
    """The selector of a request.

    Raises:
        ApiError: 400 where it cannot be read, or where a field is none that this kind is selected by.
    """
    return Selector(namespace, tuple(label_tests(labels)), tuple(_field_tests(kind, labels, fields)))


def label_tests(text: str) -> Iterator[Test]:
    """``a=b,c!=d,e in (f, g),!h`` as tests of an object's labels."""
    parts = re.split(r",(?![^()]*\))", text) if text.strip() else []
    for part in map(str.strip, parts):
        if found := _SET.match(part):
            values = frozenset(value.strip() for value in found["values"].split(","))
            yield _one_of(found["key"], values, found["how"] == "in")
        elif found := _EQUAL.match(part):
            if found["how"] in "<>":
                yield _compared(found["key"], found["how"], found["value"])
                continue
            if not _LABEL.match(found["value"]):
                raise bad_request(
                    f"unable to parse requirement: values[0][{found['key']}]: Invalid value: "
                    f'"{found["value"]}": a valid label must be an empty string or consist of '
                    "alphanumeric characters, '-', '_' or '.'"
                )
            yield _one_of(found["key"], frozenset([found["value"]]), found["how"] != "!=")
        elif found := _HAS.match(part):
            yield _present(found["key"], not found["no"])
        else:
            raise bad_request(f"unable to parse requirement: found '{part}', expected: identifier")


def matches_labels(wanted: Object, labels: dict[str, str]) -> bool:
    """Whether a ``metav1.LabelSelector`` selects these labels."""
    if any(labels.get(key) != value for key, value in (wanted.get("matchLabels") or {}).items()):
        return False
    for need in wanted.get("matchExpressions") or []:
        key, values = need["key"], frozenset(need.get("values") or ())
        test = {
            "In": _one_of(key, values, True),
            "NotIn": _one_of(key, values, False),
            "Exists": _present(key, True),
            "DoesNotExist": _present(key, False),
        }[need["operator"]]
        if not test(labels):
            return False
    return True


def _one_of(key: str, values: frozenset[str], wanted: bool) -> Test:
    return lambda labels: (labels.get(key) in values) is wanted


def _present(key: str, wanted: bool) -> Test:
    return lambda labels: (key in labels) is wanted


def _compared(key: str, how: str, value: str) -> Test:
    number = int(value)

    def test(labels: dict[str, str]) -> bool:
        given = labels.get(key, "")
        return given.lstrip("-").isdigit() and (int(given) < number if how == "<" else int(given) > number)

    return test


def _field_tests(kind: Kind, labels: str, fields: str) -> Iterator[tuple[str, bool, str]]:
    for part in filter(None, fields.split(",")):
        found = re.match(r"^(?P<path>[^=!]+)(?P<how>==|=|!=)(?P<value>.*)$", part)
        if not found:
            raise bad_request(f"invalid selector: '{fields}'; can't understand '{part}'")
        if found["path"] not in (*EVERY, *FIELDS.get(kind.resource, ())):
            raise bad_request(
                f'Unable to find "{kind.group}/{kind.version}, Resource={kind.plural}" that match label '
                f'selector "{labels}", field selector "{fields}": field label not supported: {found["path"]}'
            )
        yield found["path"], found["how"] != "!=", found["value"]


def _field(item: Object, path: str) -> str:
    if path == "source":
        return (item.get("source") or {}).get("component") or item.get("reportingComponent") or ""
    if path == "status.successful":
        return str((item.get("status") or {}).get("succeeded", 0))
    value: Any = item
    for name in path.split("."):
        value = (value or {}).get(name)
    if path in ("spec.unschedulable", "spec.hostNetwork"):
        return str(bool(value)).lower()
    return str(value) if value is not None else ""
