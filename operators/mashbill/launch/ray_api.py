"""The job API of a running Ray cluster: a client that is asked in time, and what its refusals mean.

A head that has just started, or starts again, refuses for a while: its answers of 500 are waited out within a
bound. The number of the innermost answer counts, as a head hands on what the agent of its node has refused.
"""

import logging
import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit

from mashbill.errors import ConfigError, MashbillError, RunError, line_of, one_line
from mashbill.launch.unreached import unreached

SETTING = "ray.address"
CONNECT_SECONDS, ANSWER_SECONDS = 10.0, 60.0
SUBMIT_PATIENCE_SECONDS = 120.0
"""How long a cluster that refuses for the moment is asked to take a job."""
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 1.0, 15.0
PASSING = frozenset({408, 425, 429})
NEVER = frozenset({501, 505})
"""Of the statuses from 500 on, what no later request changes."""
_STATUS = re.compile(r"status code (\d{3})")
_HTTP = ("http://", "https://")
_LOG = logging.getLogger(__name__)
Answer = TypeVar("Answer")


def client_of(address: str) -> Any:
    """A client of a cluster's job API.

    Raises:
        ConfigError: there is none at the address, or it does not let us in.
        RunError: it does not answer.
    """
    from ray.job_submission import JobSubmissionClient

    class InTime(JobSubmissionClient):  # type: ignore[misc]
        """Waits for no answer for ever."""

        def _do_request(self, method: str, endpoint: str, **options: Any) -> Any:
            options.setdefault("timeout", (CONNECT_SECONDS, ANSWER_SECONDS))
            return super()._do_request(method, endpoint, **options)

    whole = address if "://" in address else f"http://{address}"
    if address == "auto" or not whole.lower().startswith(_HTTP) or not urlsplit(whole).hostname:
        mend = "write http://HOST:8265, the address of its dashboard"
        raise ConfigError(SETTING, f"{address} is no address of a job API", mend)
    with answering(f"the Ray cluster at {address}", address):
        return InTime(address)


@contextmanager
def answering(what: str, address: str) -> Iterator[None]:
    """Within the block a cluster is asked.

    Args:
        what: is asked about, as ``job x``.
        address: of the cluster.
    Raises:
        ConfigError: it refuses for good.
        RunError: it does not answer, or refuses for the moment.
    """
    try:
        yield
    except MashbillError:
        raise
    except Exception as error:
        found = refusal(error, what, address)
        if found is None:
            raise
        raise found from error


def refusal(error: Exception, what: str, address: str) -> MashbillError | None:
    """What an error of the client means; None where it is a fault of ours."""
    import requests
    from ray.exceptions import AuthenticationError

    if isinstance(error, AuthenticationError):
        said = str(error).strip().splitlines()[0]
        mend = "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN to a token of the cluster, which may have run out"
        return ConfigError(SETTING, f"{address} does not let us in ({said})", mend)
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return _of_status(int(error.response.status_code), error, what, address=address)
    if isinstance(error, requests.JSONDecodeError | KeyError):
        mend = "name the cluster's dashboard, or log in to the proxy before it"
        return ConfigError(SETTING, f"{address} answers, and is no Ray job API", mend)
    if isinstance(error, requests.RequestException | OSError):
        found = unreached(error)
        kind = ConfigError if found.final else RunError
        said = one_line(_innermost(error), 160)
        why = f"no Ray job API answers at {address}: it {found.why} ({said})"
        return kind(SETTING, why, f"start the cluster, or correct it: {found.mend}")
    if isinstance(error, RuntimeError):
        return _of_words(error, what, address)
    if isinstance(error, ValueError | TypeError):
        return ConfigError(what, f"is refused by the Ray client ({one_line(error)})", "mend what it names")
    return None


def patiently(what: str, address: str, ask: Callable[[], Answer]) -> Answer:
    """What a function gives, asked again while a cluster refuses for the moment.

    Args:
        what: is asked for, to tell.
        address: of the cluster.
        ask: the function.
    Raises:
        ConfigError: the cluster refuses for good.
        RunError: it has refused for longer than the patience.
    """
    until, longest = time.monotonic() + SUBMIT_PATIENCE_SECONDS, FIRST_WAIT_SECONDS
    while True:
        try:
            return ask()
        except RunError as error:
            left = until - time.monotonic()
            if left <= 0:
                waited = f"{error.what}; waited {SUBMIT_PATIENCE_SECONDS:.0f} s for it"
                raise RunError(error.where, waited, error.mend) from error
            pause = min(random.uniform(longest / 2, longest), left)
            words = "%s: waits for the Ray cluster at %s, which is not ready (%s: %s); trying again in %.1f s"
            _LOG.warning(
                f"{words}, for at most %.0f s more", what, address, error.where, error.what, pause, left
            )
        time.sleep(pause)
        longest = min(2 * longest, LONGEST_WAIT_SECONDS)


def _of_words(error: RuntimeError, what: str, address: str) -> MashbillError:
    """What the client raises of an answer that is no success."""
    words = str(error)
    statuses = [int(number) for number in _STATUS.findall(words)]
    if statuses:
        return _of_status(statuses[-1], error, what, address=address)
    if "404" in words:
        return ConfigError(
            SETTING, f"{address} has no job API ({one_line(error)})", "name the cluster's dashboard"
        )
    mend = "have the cluster's Ray and this machine's be the same version"
    return ConfigError(SETTING, f"{address} is not asked ({one_line(error)})", mend)


def _of_status(status: int, error: Exception, what: str, *, address: str) -> MashbillError:
    said = line_of(_last_line(error))
    if status in PASSING or (status >= 500 and status not in NEVER):
        refused = f"was not answered for the moment by {address} (HTTP {status}: {said})"
        return RunError(what, refused, "look at the cluster's head, and run again")
    if status in (401, 403):
        mend = "log in to what stands before it, or set RAY_AUTH_TOKEN"
        return ConfigError(SETTING, f"{address} does not let us in (HTTP {status})", mend)
    if status == 404:
        return ConfigError(
            SETTING, f"{address} has no such thing (HTTP 404: {said})", "name the cluster's dashboard"
        )
    return ConfigError(what, f"is refused by {address} (HTTP {status}: {said})", "mend what it names")


def _last_line(error: Exception) -> str:
    """Of an answer that is a traceback, what was raised."""
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return lines[0] if len(lines) == 1 else lines[-1]


def _innermost(error: BaseException) -> BaseException:
    while (beneath := error.__cause__ or error.__context__) is not None:
        error = beneath
    return error
