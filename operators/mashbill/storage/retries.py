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
STATUSES = frozenset({429, 500, 502, 503, 504})
READS = "GetObject"
CODES = frozenset(
    {
        "ConditionalRequestConflict",
        "InternalError",
        "OperationAborted",
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


def patiently(what: str, ask: Callable[[], Result], broken: tuple[type[Exception], ...]) -> Result:
    """What a function gives, asked again where an answer broke off in its middle.

    Args:
        what: that is asked for, to tell.
        ask: the function.
        broken: errors of an answer that broke off; the last one is raised.
    """
    for attempt in range(1, TRIES):
        try:
            return ask()
        except broken as error:
            time.sleep(told(what, f"the answer broke off ({type(error).__name__})", attempt))
    return ask()


def _why(response: Any, error: Any) -> str | None:
    """Why a request failed, where the same one may succeed."""
    from botocore.exceptions import ConnectionError, HTTPClientError, SSLError

    if error is not None:
        passing = isinstance(error, ConnectionError | HTTPClientError) and not isinstance(error, SSLError)
        return type(error).__name__ if passing else None
    http, parsed = response
    code = parsed.get("Error", {}).get("Code", "") if isinstance(parsed, dict) else ""
    if http.status_code in STATUSES or code in CODES:
        return f"{http.status_code} {code}".strip()
    return None
