"""How the API says no: a ``metav1.Status`` with the real server's code, reason and words."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Cause:
    """What is wrong with one field; ``message`` begins with its kind, as in ``Required value: ...``."""

    field: str
    reason: str
    message: str


class ApiError(Exception):
    """A request that is refused."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        details: dict[str, Any] | None = None,
        retry_after: int | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.code, self.reason, self.message = code, reason, message
        self.details = dict(details or {})
        self.metadata = metadata or {}
        self.retry_after = retry_after
        if retry_after is not None:
            self.details["retryAfterSeconds"] = retry_after

    def body(self) -> dict[str, Any]:
        """The Status object."""
        status = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": self.metadata,
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }
        if self.details:
            status["details"] = self.details
        return status


def success(name: str, group: str, resource: str, uid: str) -> dict[str, Any]:
    """The Status of a deletion that is done."""
    details = {"name": name, "group": group, "kind": resource, "uid": uid}
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {key: value for key, value in details.items() if value},
    }


def qualified(name: str, group: str) -> str:
    """``jobs.batch``, ``pods``."""
    return f"{name}.{group}" if group else name


def about(name: str, group: str, kind: str) -> dict[str, Any]:
    """Details of a Status."""
    return {key: value for key, value in {"name": name, "group": group, "kind": kind}.items() if value}


def bad_request(message: str) -> ApiError:
    return ApiError(400, "BadRequest", message)


def not_found(name: str, group: str, resource: str) -> ApiError:
    message = f'{qualified(resource, group)} "{name}" not found'
    return ApiError(404, "NotFound", message, details=about(name, group, resource))


def no_such_path() -> ApiError:
    """Of a resource that is served by nobody; clients tell it from an object that is missing by its words."""
    details = {"causes": [{"reason": "UnexpectedServerResponse", "message": "404 page not found"}]}
    return ApiError(404, "NotFound", "the server could not find the requested resource", details=details)


def already_exists(name: str, group: str, resource: str) -> ApiError:
    message = f'{qualified(resource, group)} "{name}" already exists'
    return ApiError(409, "AlreadyExists", message, details=about(name, group, resource))


def conflict(name: str, group: str, resource: str, why: str = "") -> ApiError:
    why = why or (
        "the object has been modified; please apply your changes to the latest version and try again"
    )
    message = f'Operation cannot be fulfilled on {qualified(resource, group)} "{name}": {why}'
    return ApiError(409, "Conflict", message, details=about(name, group, resource))


def forbidden(name: str, group: str, resource: str, why: str) -> ApiError:
    subject = qualified(resource, group) + (f' "{name}"' if name else "")
    details = about(name, group, resource.partition("/")[0])
    return ApiError(403, "Forbidden", f"{subject} is forbidden: {why}", details=details)


def invalid(name: str, group: str, kind: str, causes: Sequence[Cause]) -> ApiError:
    lines = [f"{cause.field}: {cause.message}" for cause in causes]
    told = lines[0] if len(lines) == 1 else f"[{', '.join(lines)}]"
    message = f'{qualified(kind, group)} "{name}" is invalid: {told}'
    details = {**about(name, group, kind), "causes": [asdict(cause) for cause in causes]}
    return ApiError(422, "Invalid", message, details=details)


def expired(message: str) -> ApiError:
    return ApiError(410, "Expired", message)


def method_not_allowed(resource: str, group: str) -> ApiError:
    return ApiError(
        405,
        "MethodNotAllowed",
        "the server does not allow this method on the requested resource",
        details=about("", group, resource),
    )


def required(field: str, detail: str = "") -> Cause:
    return Cause(field, "FieldValueRequired", f"Required value{': ' + detail if detail else ''}")


def wrong(field: str, value: Any, detail: str) -> Cause:
    return Cause(field, "FieldValueInvalid", f"Invalid value: {json.dumps(value)}: {detail}")


def unsupported(field: str, value: Any, supported: Sequence[str]) -> Cause:
    names = ", ".join(json.dumps(name) for name in supported)
    message = f"Unsupported value: {json.dumps(value)}: supported values: {names}"
    return Cause(field, "FieldValueNotSupported", message)


def not_allowed(field: str, detail: str) -> Cause:
    return Cause(field, "FieldValueForbidden", f"Forbidden: {detail}")


def duplicate(field: str, value: Any) -> Cause:
    return Cause(field, "FieldValueDuplicate", f"Duplicate value: {json.dumps(value)}")


def lacking(field: str, value: Any) -> Cause:
    return Cause(field, "FieldValueNotFound", f"Not found: {json.dumps(value)}")


def of_wrong_type(field: str, value: Any, wanted: str) -> Cause:
    """A custom resource's field, in the words of its schema's validator."""
    name = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}
    given = name.get(type(value), "null")
    message = f'Invalid value: "{given}": {field} in body must be of type {wanted}: "{given}"'
    return Cause(field, "FieldValueTypeInvalid", message)
