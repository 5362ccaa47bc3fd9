"""Bodies in Kubernetes' protobuf, which kubectl and helm send of some built-in kinds.

Of a kind that is not known here, or with a field that is not, the server says 415, as it would of a custom
resource: nothing is dropped.
"""

import base64
from collections.abc import Callable, Iterator
from typing import Any

from builders.kube.messages import (
    BYTES_MAP,
    IGNORED,
    KINDS,
    MESSAGES,
    NUMBER,
    PORT,
    QUANTITY_MAP,
    STRING_MAP,
    TIME,
    Field,
)
from builders.kube.status import ApiError, bad_request

MAGIC = b"k8s\x00"


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
    try:
        return {**told, **_message(raw, {1: ("metadata", "ObjectMeta"), **KINDS[kind]})}
    except LookupError:
        return None


def _message(data: bytes, fields: dict[int, Field]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number, value in _fields(data):
        if number not in fields and not _is_empty(value):
            raise LookupError(f"field {number} is not known here")
        name, kind = fields.get(number, ("", IGNORED))
        if kind == IGNORED:
            continue
        if kind in ENTRIES:
            entry = dict(_fields(value))
            found.setdefault(name, {})[entry.get(1, b"").decode()] = ENTRIES[kind](entry.get(2, b""))
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
    if kind in ("int", NUMBER):
        number = value - (1 << 64) if value >= 1 << 63 else value
        return None if kind == NUMBER and not number else number
    if kind == TIME:
        return None
    if kind == PORT:
        told = dict(_fields(value))
        return told.get(3, b"").decode() if told.get(1) else told.get(2, 0)
    return _message(value, MESSAGES[kind])


ENTRIES: dict[str, Callable[[bytes], str]] = {
    STRING_MAP: lambda value: value.decode(),
    BYTES_MAP: lambda value: base64.b64encode(value).decode(),
    QUANTITY_MAP: lambda value: dict(_fields(value)).get(1, b"").decode(),
}
"""What a map's values are, by the kind of the map."""


def _is_empty(value: Any) -> bool:
    """Whether a field holds nothing: Go writes also what was left out."""
    if not value:
        return True
    if isinstance(value, int):
        return False
    try:
        return all(_is_empty(inner) for _, inner in _fields(value))
    except (ApiError, IndexError):
        return False


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
