"""Bodies in Kubernetes' protobuf, which kubectl and helm send of some built-in kinds.

Only messages that they are seen to send are known here; of another kind the server says 415, as it would of a
custom resource.
"""

import base64
from collections.abc import Iterator
from typing import Any

from builders.kube.status import bad_request

MAGIC = b"k8s\x00"
TIME = "Time"
STRING_MAP, BYTES_MAP = "map of strings", "map of bytes"
Field = tuple[str, str]
"""Name in JSON, and type; ``[]`` before the type of what there may be several of."""
MESSAGES: dict[str, dict[int, Field]] = {
    "TypeMeta": {1: ("apiVersion", "string"), 2: ("kind", "string")},
    "ObjectMeta": {
        1: ("name", "string"),
        2: ("generateName", "string"),
        3: ("namespace", "string"),
        5: ("uid", "string"),
        6: ("resourceVersion", "string"),
        7: ("generation", "int"),
        8: ("creationTimestamp", TIME),
        9: ("deletionTimestamp", TIME),
        10: ("deletionGracePeriodSeconds", "int"),
        11: ("labels", STRING_MAP),
        12: ("annotations", STRING_MAP),
        13: ("ownerReferences", "[]OwnerReference"),
        14: ("finalizers", "[]string"),
    },
    "OwnerReference": {
        1: ("kind", "string"),
        3: ("name", "string"),
        4: ("uid", "string"),
        5: ("apiVersion", "string"),
        6: ("controller", "bool"),
        7: ("blockOwnerDeletion", "bool"),
    },
    "ResourceAttributes": {
        number: (name, "string")
        for number, name in enumerate(
            ("namespace", "verb", "group", "version", "resource", "subresource", "name"), 1
        )
    },
    "NonResourceAttributes": {1: ("path", "string"), 2: ("verb", "string")},
    "AccessSpec": {
        1: ("resourceAttributes", "ResourceAttributes"),
        2: ("nonResourceAttributes", "NonResourceAttributes"),
        3: ("user", "string"),
        4: ("groups", "[]string"),
    },
    "RulesSpec": {1: ("namespace", "string")},
    "TokenRequestSpec": {1: ("audiences", "[]string"), 4: ("expirationSeconds", "int")},
    "TokenReviewSpec": {1: ("token", "string"), 2: ("audiences", "[]string")},
    "DeleteOptions": {
        1: ("gracePeriodSeconds", "int"),
        2: ("preconditions", "Preconditions"),
        3: ("orphanDependents", "bool"),
        4: ("propagationPolicy", "string"),
        5: ("dryRun", "[]string"),
    },
    "Preconditions": {1: ("uid", "string"), 2: ("resourceVersion", "string")},
    "NamespaceSpec": {1: ("finalizers", "[]string")},
    "PolicyRule": {
        number: (name, "[]string")
        for number, name in enumerate(
            ("verbs", "apiGroups", "resources", "resourceNames", "nonResourceURLs"), 1
        )
    },
    "Subject": {
        number: (name, "string") for number, name in enumerate(("kind", "apiGroup", "name", "namespace"), 1)
    },
    "RoleRef": {number: (name, "string") for number, name in enumerate(("apiGroup", "kind", "name"), 1)},
    "ScaleSpec": {1: ("replicas", "int")},
    "LocalObjectReference": {1: ("name", "string")},
}
_REVIEW = {2: ("spec", "AccessSpec")}
_ROLE = {2: ("rules", "[]PolicyRule")}
_BINDING = {2: ("subjects", "[]Subject"), 3: ("roleRef", "RoleRef")}
KINDS: dict[str, dict[int, Field]] = {
    "SelfSubjectAccessReview": _REVIEW,
    "SubjectAccessReview": _REVIEW,
    "LocalSubjectAccessReview": _REVIEW,
    "SelfSubjectRulesReview": {2: ("spec", "RulesSpec")},
    "SelfSubjectReview": {},
    "TokenRequest": {2: ("spec", "TokenRequestSpec")},
    "TokenReview": {2: ("spec", "TokenReviewSpec")},
    "Eviction": {2: ("deleteOptions", "DeleteOptions")},
    "Scale": {2: ("spec", "ScaleSpec")},
    "Namespace": {2: ("spec", "NamespaceSpec")},
    "ConfigMap": {2: ("data", STRING_MAP), 3: ("binaryData", BYTES_MAP), 4: ("immutable", "bool")},
    "Secret": {
        2: ("data", BYTES_MAP),
        3: ("type", "string"),
        4: ("stringData", STRING_MAP),
        5: ("immutable", "bool"),
    },
    "ServiceAccount": {
        3: ("imagePullSecrets", "[]LocalObjectReference"),
        4: ("automountServiceAccountToken", "bool"),
    },
    "Role": _ROLE,
    "ClusterRole": _ROLE,
    "RoleBinding": _BINDING,
    "ClusterRoleBinding": _BINDING,
}
"""Fields of kinds beside ``metadata``, which is always the first."""


def object_of(body: bytes) -> dict[str, Any] | None:
    """The object of a body, or None where its kind is not known here.

    Raises:
        ApiError: 400, it is no such body.
    """
    if not body.startswith(MAGIC):
        raise bad_request(
            "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
        )
    envelope = dict(_fields(body[len(MAGIC) :]))
    told = _message(envelope.get(1, b""), MESSAGES["TypeMeta"])
    kind = told.get("kind", "")
    raw = envelope.get(2, b"")
    if kind == "DeleteOptions":
        return {**told, **_message(raw, MESSAGES["DeleteOptions"])}
    if kind not in KINDS:
        return None
    return {**told, **_message(raw, {1: ("metadata", "ObjectMeta"), **KINDS[kind]})}


def _message(data: bytes, fields: dict[int, Field]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number, value in _fields(data):
        if number not in fields:
            continue
        name, kind = fields[number]
        if kind in (STRING_MAP, BYTES_MAP):
            entry = dict(_fields(value))
            found.setdefault(name, {})[entry.get(1, b"").decode()] = _entry(entry.get(2, b""), kind)
        elif kind.startswith("[]"):
            found.setdefault(name, []).append(_value(value, kind[2:]))
        else:
            found[name] = _value(value, kind)
    return {name: value for name, value in found.items() if value not in ("", None)}


def _value(value: Any, kind: str) -> Any:
    if kind == "string":
        return value.decode()
    if kind == "bool":
        return bool(value)
    if kind == "int":
        return value - (1 << 64) if value >= 1 << 63 else value
    if kind == TIME:
        return None
    return _message(value, MESSAGES[kind])


def _entry(value: bytes, kind: str) -> str:
    return base64.b64encode(value).decode() if kind == BYTES_MAP else value.decode()


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Numbers and raw values: whole numbers, and bytes of whatever else."""
    at = 0
    while at < len(data):
        tag, at = _number(data, at)
        if tag & 7 == 0:
            value, at = _number(data, at)
            yield tag >> 3, value
        elif tag & 7 == 2:
            length, at = _number(data, at)
            yield tag >> 3, data[at : at + length]
            at += length
        else:
            raise bad_request(f"proto: illegal wireType {tag & 7}")


def _number(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
