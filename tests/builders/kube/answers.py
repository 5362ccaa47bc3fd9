"""Answers as HTTP has them, and what a request's parameters say of a write."""

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from builders.kube.calls import Call, User
from builders.kube.objects import Writer
from builders.kube.status import bad_request
from builders.kube.store import Object


def answer(
    body: Object,
    status: int = 200,
    *,
    retry_after: int | None = None,
    warnings: list[str] | None = None,
) -> web.Response:
    """A JSON answer."""
    response = web.Response(
        body=json.dumps(body, separators=(",", ":")).encode(), status=status, content_type="application/json"
    )
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    for warning in warnings or []:
        response.headers.add("Warning", f"299 - {json.dumps(warning)}")
    return response


def writer_of(call: Call, user: User, headers: Mapping[str, str], body: Any = None) -> Writer:
    """Who writes, from a request's parameters; a deletion may say in its body that it is but tried."""
    agent = headers.get("User-Agent", "unknown").partition("/")[0]
    deletes = call.verb.startswith("delete") and isinstance(body, dict)
    dry = call.query.get("dryRun", "") or "".join(body.get("dryRun") or () if deletes else ())
    if dry not in ("", "All"):
        raise bad_request(f'dryRun: Unsupported value: "{dry}": supported values: "All"')
    manager = call.query.get("fieldManager") or agent
    return Writer(user, manager, bool(dry), call.query.get("fieldValidation") or "Strict")
