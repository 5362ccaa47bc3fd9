"""Server-side apply: what is wanted of an object, by whom, made so."""

from collections.abc import Mapping
from typing import Any

from builders.kube.kinds import Kind
from builders.kube.managed import Who
from builders.kube.objects import Objects, Writer
from builders.kube.status import ApiError, bad_request, conflict, not_found, required
from builders.kube.store import Object


def applied(
    objects: Objects,
    kind: Kind,
    key: tuple[str, str],
    patch: Any,
    writer: Writer,
    query: Mapping[str, str],
    *,
    subresource: str = "",
) -> tuple[Object, int]:
    """Make an object as it is wanted, or change it so.

    Returns:
        The object, and the status of the answer.
    Raises:
        ApiError: 400, 404, 409 or 422.
    """
    if not query.get("fieldManager"):
        raise _no_manager()
    namespace, name = key
    patch = objects.read_part(kind, patch, writer)
    metadata = patch["metadata"]
    if metadata.setdefault("name", name) != name:
        raise bad_request(
            f"the name of the object ({metadata['name']}) does not match the name on the URL ({name})"
        )
    there = objects.store.get(kind.resource, (namespace if kind.namespaced else "", name))
    before = kind.in_version(there) if there else None
    force = query.get("force") == "true"
    who = Who(query["fieldManager"], "Apply", kind.api_version, subresource)
    item, managers = objects.managers.applied(kind, before, patch, who, force=force)
    if before is not None:
        item = objects.read(kind, item, writer)
        return objects.replace(kind, item, before, writer, subresource=subresource, managers=managers), 200
    if subresource:
        raise not_found(name, kind.group, kind.plural)
    if uid := metadata.get("uid"):
        words = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
        raise conflict(name, kind.group, kind.plural, words)
    return objects.create(kind, namespace, item, writer, managers=managers), 201


def _no_manager() -> ApiError:
    cause = required("fieldManager", "is required for apply patch")
    words = f'PatchOptions.meta.k8s.io "" is invalid: fieldManager: {cause.message}'
    return ApiError(422, "Invalid", words, details={"causes": [vars(cause)]})
