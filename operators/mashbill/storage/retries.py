"""Waiting for a storage that is slow, cut off or over its rate: how often, how long, and what is waited for.

The waits double up to a cap, and each is drawn between half of that and all of it, so that many who were
refused at once do not come back at once. Each is told before it begins.
"""

import logging
import random
import time
from collections.abc import Callable
from typing import Any, TypeVar

log = logging.getLogger(__name__)
TRIES = 8
FIRST_SECONDS, LONGEST_SECONDS = 0.5, 20.0
STATUSES = frozenset({408, 425, 429})
NEVER = frozenset({501, 505})  # of the statuses from 500 on, what no later request changes
READS = "GetObject"
CODES = frozenset(
    {
        "BandwidthLimitExceeded",
        "BadDigest",
        "ConditionalRequestConflict",
        "IncompleteBody",
        "InternalError",
        "OperationAborted",
        "PriorRequestNotComplete",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "RequestTimeout",
        "RequestTimeoutException",
        "SlowDown",
        "ServiceUnavailable",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
"""Errors after which the same request may succeed."""
Result = TypeVar("Result")


def seconds_before(attempt: int) -> float:
    """How long to wait after an attempt that failed, the first being 1."""
    whole = min(LONGEST_SECONDS, FIRST_SECONDS * 2 ** (attempt - 1))
    return whole * random.uniform(0.5, 1.0)


def told(what: str, why: str, attempt: int) -> float:
    """Say what is waited for, and give the seconds.

    Args:
        what: that is asked for.
        why: it was not given.
        attempt: how many have failed.
    """
    seconds = seconds_before(attempt)
    log.warning("%s: %s; trying again in %.1f s (try %d of %d)", what, why, seconds, attempt + 1, TRIES)
    return seconds


def needs_retry(
    *, response: Any, operation: Any, attempts: int, caught_exception: Any, request_dict: Any, **_: Any
) -> float | None:
    """Seconds until a request is sent again, or None where it is not; botocore asks after each answer."""
    why = _why(response, caught_exception)
    if operation.name == READS and type(caught_exception).__name__ == "ReadTimeoutError":
        return None  # who reads the answer asks again, as where it breaks off in its middle
    if why is None or attempts >= TRIES:
        return None
    return told(f"S3 {operation.name} {request_dict.get('url_path', '')}", why, attempts)


def cut_short(*, response_dict: dict[str, Any], operation_model: Any, **_: Any) -> None:
    """Have an answer that ends before the length that it names count as a failure of the server.

    Nothing else looks at it, and a list of no keys would be taken from an answer without a body. What is read
    as it comes is looked at where it is read. botocore calls this with each answer.
    """
    streamed = operation_model.has_streaming_output and response_dict["status_code"] < 300
    if streamed or operation_model.http["method"] == "HEAD":
        return
    length = response_dict["headers"].get("content-length")
    body = response_dict["body"]
    if isinstance(body, bytes) and str(length).isdigit() and len(body) != int(length):
        response_dict["status_code"], response_dict["body"] = 500, b""


def patiently(what: str, ask: Callable[[], Result], again: Callable[[Exception], bool]) -> Result:
    """What a function gives, asked again where what it raises says that an answer was lost on its way.

    Args:
        what: that is asked for, to tell.
        ask: the function.
        again: whether an error says so; the last one is raised.
    """
    for attempt in range(1, TRIES):
        try:
            return ask()
        except Exception as error:
            if not again(error):
                raise
            time.sleep(told(what, f"the answer broke off ({type(error).__name__})", attempt))
    return ask()


def passing(status: int, code: str) -> bool:
    """Whether a request that was answered so may succeed later."""
    return code in CODES or status in STATUSES or (status >= 500 and status not in NEVER)


def _why(response: Any, error: Any) -> str | None:
    """Why a request failed, where the same one may succeed."""
    from botocore.exceptions import ConnectionError, HTTPClientError, SSLError

    if error is not None:
        of_network = isinstance(error, ConnectionError | HTTPClientError) and not isinstance(error, SSLError)
        return type(error).__name__ if of_network else None
    http, parsed = response
    code = parsed.get("Error", {}).get("Code", "") if isinstance(parsed, dict) else ""
    if passing(http.status_code, code):
        return f"{http.status_code} {code}".strip()
    return None
