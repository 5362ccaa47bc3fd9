"""An object's metadata: what the server fills in, what it keeps, and what it refuses."""

import random
import re
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from builders.kube.kinds import RBAC, Kind
from builders.kube.status import Cause, not_allowed, required, wrong

Object = dict[str, Any]
LETTERS = "bcdfghjklmnpqrstvwxz2456789"
LONGEST_GENERATED = 63 - 5
LABEL = re.compile(r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
SUBDOMAIN = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
QUALIFIED = re.compile(r"^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$")
SERVER_OWNED = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")
ANNOTATIONS_LIMIT = 256 * 1024
SUBDOMAIN_WORDS = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
LABEL_WORDS = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start "
    "and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
LABEL_VALUE_WORDS = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used "
    "for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
SINGLE_LABEL = frozenset({"namespaces", "services", "jobsets.jobset.x-k8s.io"})


def now() -> str:
    """The present second, as the API writes it."""
    return written(datetime.now(UTC))


def written(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def after(seconds: int) -> str:
    return written(datetime.now(UTC) + timedelta(seconds=seconds))


def random_suffix() -> str:
    return "".join(random.choices(LETTERS, k=5))


def born(item: Object, kind: Kind, namespace: str) -> Object:
    """A new object with what the server gives it."""
    metadata = {key: value for key, value in item["metadata"].items() if key not in SERVER_OWNED}
    metadata.pop("resourceVersion", None)
    metadata.pop("selfLink", None)
    if not metadata.get("name") and metadata.get("generateName"):
        metadata["name"] = metadata["generateName"][:LONGEST_GENERATED] + random_suffix()
    if kind.namespaced:
        metadata["namespace"] = namespace
    else:
        metadata.pop("namespace", None)
    metadata["uid"] = str(uuid.uuid4())
    metadata["creationTimestamp"] = now()
    if kind.generations or kind.custom:
        metadata["generation"] = 1
    return {"apiVersion": kind.api_version, "kind": kind.kind, **item, "metadata": metadata}


def kept(item: Object, before: Object) -> Object:
    """A changed object whose metadata that the server owns is as it was."""
    metadata = {key: value for key, value in item["metadata"].items() if key not in SERVER_OWNED}
    was = before["metadata"]
    metadata |= {key: was[key] for key in (*SERVER_OWNED, "namespace", "name", "generateName") if key in was}
    return {**item, "metadata": metadata}


def metadata_causes(item: Object, kind: Kind, before: Object | None = None) -> Iterator[Cause]:
    """What is wrong with an object's metadata."""
    metadata = item["metadata"]
    name = metadata.get("name", "")
    if not name:
        yield required("metadata.name", "name or generateName is required")
    else:
        yield from _name_causes(name, kind)
    yield from label_causes(metadata.get("labels") or {}, "metadata.labels")
    yield from _annotation_causes(metadata.get("annotations") or {})
    yield from _owner_causes(metadata.get("ownerReferences") or [])
    for finalizer in metadata.get("finalizers") or []:
        if "/" not in finalizer and finalizer not in ("foregroundDeletion", "orphan", "kubernetes"):
            words = "name is neither a standard finalizer name nor is it fully qualified"
            yield wrong("metadata.finalizers", finalizer, words)
    if before and "deletionTimestamp" in before["metadata"]:
        had = set(before["metadata"].get("finalizers") or ())
        if added := [name for name in metadata.get("finalizers") or () if name not in had]:
            names = ", ".join(f'"{name}"' for name in added)
            yield not_allowed(
                "metadata.finalizers",
                "no new finalizers can be added if the object is being deleted, found new finalizers "
                f"[]string{{{names}}}",
            )


def label_causes(labels: dict[str, str], field: str) -> Iterator[Cause]:
    """Labels whose key or value is none."""
    for key, value in labels.items():
        if not _qualified(key):
            yield wrong(
                field,
                key,
                "name part must consist of alphanumeric characters, '-', '_' or '.', and "
                "must start and end with an alphanumeric character",
            )
        if len(value) > 63:
            yield wrong(field, value, "must be no more than 63 bytes")
        elif value and not QUALIFIED.match(value):
            yield wrong(field, value, LABEL_VALUE_WORDS)


def _name_causes(name: str, kind: Kind) -> Iterator[Cause]:
    if kind.group == RBAC:
        if name in (".", "..") or "/" in name or "%" in name:
            yield wrong("metadata.name", name, "may not contain '/' or '%'")
    elif kind.resource in SINGLE_LABEL:
        if len(name) > 63:
            yield wrong("metadata.name", name, "must be no more than 63 bytes")
        if not LABEL.match(name) and len(name) <= 63:
            yield wrong("metadata.name", name, LABEL_WORDS)
    elif len(name) > 253:
        yield wrong("metadata.name", name, "must be no more than 253 bytes")
    elif not SUBDOMAIN.match(name):
        yield wrong("metadata.name", name, SUBDOMAIN_WORDS)


def _qualified(key: str) -> bool:
    prefix, slash, name = key.rpartition("/")
    return bool(QUALIFIED.match(name)) and (not slash or bool(SUBDOMAIN.match(prefix)))


def _annotation_causes(annotations: dict[str, str]) -> Iterator[Cause]:
    for key in annotations:
        if not _qualified(key.lower()):
            yield wrong(
                "metadata.annotations",
                key,
                "name part must consist of alphanumeric characters, "
                "'-', '_' or '.', and must start and end with an alphanumeric character",
            )
    if sum(len(key) + len(value) for key, value in annotations.items()) > ANNOTATIONS_LIMIT:
        words = f"Too long: may not be more than {ANNOTATIONS_LIMIT} bytes"
        yield Cause("metadata.annotations", "FieldValueTooLong", words)


def _owner_causes(references: list[Object]) -> Iterator[Cause]:
    controllers = []
    for index, reference in enumerate(references):
        for name in ("apiVersion", "kind", "name", "uid"):
            if not reference.get(name):
                words = {"apiVersion": "version must not be empty"}.get(name, f"{name} must not be empty")
                field = f"metadata.ownerReferences[{index}].{name}"
                yield wrong(field, reference.get(name, ""), words)
        if reference.get("controller"):
            controllers.append(reference)
    if len(controllers) > 1:
        told = " and ".join(reference.get("name", "") for reference in controllers)
        words = f'Only one reference can have Controller set to true. Found "true" in references for {told}'
        yield wrong("metadata.ownerReferences", references, words)
