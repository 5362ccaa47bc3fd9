"""Strategic merge patch: lists of things that have a key are merged by it, as Kubernetes' schemas say."""

from typing import Any

from builders.kube.schemas import Schema, resolved
from builders.kube.status import bad_request

RETAIN = "$retainKeys"
DELETE_FROM, ORDER = "$deleteFromPrimitiveList/", "$setElementOrder/"


def merged_strategically(value: Any, patch: Any, schema: Schema) -> Any:
    """An object with a patch merged in.

    Args:
        value: as it is; not altered.
        patch: a strategic merge patch of it.
        schema: of the object, with its lists' merge keys.
    Raises:
        ApiError: 400, an item of the patch lacks the list's key.
    """
    if not isinstance(patch, dict):
        return patch
    schema = resolved(schema)
    how = patch.get("$patch")
    if how == "replace":
        return {key: item for key, item in patch.items() if key != "$patch"}
    if how == "delete":
        return {}
    result = dict(value) if isinstance(value, dict) else {}
    if RETAIN in patch:
        result = {key: item for key, item in result.items() if key in patch[RETAIN]}
    for name, change in patch.items():
        if name.startswith("$"):
            continue
        inner = _inner(schema, name)
        if change is None:
            result.pop(name, None)
        elif isinstance(change, list):
            result[name] = _merged_list(result.get(name), change, inner)
        elif isinstance(change, dict):
            result[name] = merged_strategically(result.get(name), change, inner)
        else:
            result[name] = change
    _by_directives(result, patch, schema)
    return result


def _by_directives(result: dict[str, Any], patch: dict[str, Any], schema: Schema) -> None:
    """What a patch says of lists beside their items."""
    for name, values in patch.items():
        if name.startswith(DELETE_FROM):
            field = name.removeprefix(DELETE_FROM)
            result[field] = [item for item in result.get(field, []) if item not in values]
    for name, order in patch.items():
        if name.startswith(ORDER) and result.get(field := name.removeprefix(ORDER)):
            result[field] = _ordered(result[field], order, _inner(schema, field))


def _inner(schema: Schema, name: str) -> Schema:
    found = schema.get("properties", {}).get(name)
    if found is None:
        others = schema.get("additionalProperties")
        found = others if isinstance(others, dict) else {}
    if "$ref" in found:
        found = {**resolved(found), **{key: item for key, item in found.items() if key != "$ref"}}
    return found


def _merged_list(value: Any, patch: list[Any], schema: Schema) -> list[Any]:
    if any(isinstance(item, dict) and item.get("$patch") == "replace" for item in patch):
        return [item for item in patch if item.get("$patch") != "replace"]
    if "merge" not in str(schema.get("x-kubernetes-patch-strategy", "")):
        return patch
    key = schema.get("x-kubernetes-patch-merge-key")
    result = list(value or [])
    if not key:
        return result + [item for item in patch if item not in result]
    for item in patch:
        if key not in item:
            raise bad_request(f"map: {item} does not contain declared merge key: {key}")
        place = next((index for index, one in enumerate(result) if one.get(key) == item[key]), None)
        if item.get("$patch") == "delete":
            result = [one for one in result if one.get(key) != item[key]]
        elif place is None:
            result.append(merged_strategically({}, item, schema.get("items", {})))
        else:
            result[place] = merged_strategically(result[place], item, schema.get("items", {}))
    return result


def _ordered(items: list[Any], order: list[Any], schema: Schema) -> list[Any]:
    """Items in a patch's order; those that it does not name stay behind the one they followed."""
    key = schema.get("x-kubernetes-patch-merge-key")
    wanted = [item[key] if key and isinstance(item, dict) else item for item in order]

    def mark(item: Any) -> Any:
        return item.get(key) if key and isinstance(item, dict) else item

    named = sorted(
        (item for item in items if mark(item) in wanted), key=lambda item: wanted.index(mark(item))
    )
    rest = [item for item in items if mark(item) not in wanted]
    return named + rest
