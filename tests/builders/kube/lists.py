"""Lists: what is selected, in pages, each page of the same moment."""

import base64
import json
from collections.abc import Mapping

from builders.kube.kinds import Kind
from builders.kube.selectors import Selector
from builders.kube.status import ApiError, bad_request, expired
from builders.kube.store import Object, Store, key_of

TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new "
    "list without the continue parameter, or use the continue token in this response to retrieve the "
    "remainder of the results. Continuing with the provided token results in an inconsistent list - objects "
    "that were created, modified, or deleted between the time the first chunk was returned and now may show "
    "up in the list."
)


def listed(store: Store, kind: Kind, chosen: Selector, query: Mapping[str, str]) -> Object:
    """A list, or one page of it.

    Raises:
        ApiError: 400 for parameters that cannot be read, 410 for a page whose moment is forgotten, 504 for a
            version that is still to come.
    """
    limit = _number(query, "limit")
    version = _number(query, "resourceVersion")
    if version > store.version:
        raise _from_the_future(version, store.version)
    match = query.get("resourceVersionMatch")
    if match and not query.get("resourceVersion"):
        words = "resourceVersionMatch is forbidden unless resourceVersion is provided"
        raise bad_request(f"resourceVersionMatch: Forbidden: {words}")
    if match == "Exact" and any(True for _ in store.since(kind.resource, version)):
        raise expired(f"The resourceVersion for the provided list is too old: {version}")
    if token := query.get("continue"):
        if query.get("resourceVersion"):
            raise bad_request("specifying resource version is not allowed when using continue")
        moment, items = _page(store, kind, chosen, token)
    else:
        moment = store.version
        items = [item for item in store.all(kind.resource) if chosen.matches(item)]
    metadata: Object = {"resourceVersion": str(moment)}
    if limit and len(items) > limit:
        items, rest = items[:limit], items[limit:]
        metadata["continue"] = _token(moment, items[-1])
        metadata["remainingItemCount"] = len(rest)
        store.pages[metadata["continue"]] = (moment, rest)
    return {
        "kind": kind.list_kind,
        "apiVersion": kind.api_version,
        "metadata": metadata,
        "items": [kind.in_version(item) if kind.custom else _bare(item) for item in items],
    }


def _page(store: Store, kind: Kind, chosen: Selector, token: str) -> tuple[int, list[Object]]:
    """What a token stands for; one that says no moment goes on in the present."""
    try:
        place = json.loads(base64.b64decode(token))
        start, moment = tuple(place["start"]), place["rv"]
    except (ValueError, KeyError) as error:
        raise bad_request(f"continue key is not valid: {error}") from error
    if token in store.pages:
        return store.pages[token]
    if moment >= 0:
        gone = ApiError(410, "Expired", TOO_OLD)
        going_on = json.dumps({"rv": -1, "start": start}).encode()
        gone.metadata = {"continue": base64.b64encode(going_on).decode()}
        raise gone
    there = [item for item in store.all(kind.resource) if chosen.matches(item) and key_of(item) > start]
    return store.version, there


def _token(moment: int, last: Object) -> str:
    return base64.b64encode(json.dumps({"rv": moment, "start": key_of(last)}).encode()).decode()


def _bare(item: Object) -> Object:
    """Built-in objects say their kind in no list."""
    return {key: value for key, value in item.items() if key not in ("kind", "apiVersion")}


def _number(query: Mapping[str, str], name: str) -> int:
    text = query.get(name) or "0"
    if not text.isdigit():
        raise bad_request(
            f'{name}: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
        )
    return int(text)


def _from_the_future(version: int, present: int) -> ApiError:
    words = f"Too large resource version: {version}, current: {present}"
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    return ApiError(504, "Timeout", words, details={"causes": [cause]}, retry_after=1)
