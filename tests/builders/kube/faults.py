"""What goes wrong on command: connections that drop, answers that are late, refusals."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from builders.kube.calls import Call
from builders.kube.status import ApiError

Which = Callable[[Call], bool]
REASONS = {
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    409: "Conflict",
    410: "Expired",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


class Dropped(Exception):
    """The connection ends, and the client is told nothing."""


def every(call: Call) -> bool:
    return True


@dataclass
class Fault:
    """One thing that goes wrong.

    Attributes:
        what: an answer's status, or dropped before the request is done, or after it, or only late.
        which: calls that it happens to.
        left: how often still; None for ever.
        seconds: that an answer is late, or that a refusal asks to wait.
        happened: calls that it happened to.
    """

    what: int | Literal["dropped", "done and dropped", "late"]
    which: Which = every
    left: int | None = None
    seconds: float = 0
    happened: list[Call] = field(default_factory=list)

    def end(self) -> None:
        """It goes wrong no more."""
        self.left = 0


class Faults:
    """What a test makes go wrong; its methods may be called from any thread."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def refuse(self, code: int, times: int | None = 1, which: Which = every, retry_after: int = 1) -> Fault:
        """Answer calls with a status: 429, 500, 503."""
        return self._add(Fault(code, which, times, retry_after))

    def drop(self, times: int | None = 1, which: Which = every, *, done: bool = False) -> Fault:
        """Cut calls off before they are answered: before anything is done, or after it is ``done``."""
        return self._add(Fault("done and dropped" if done else "dropped", which, times))

    def delay(self, seconds: float, times: int | None = 1, which: Which = every) -> Fault:
        """Answer calls late."""
        return self._add(Fault("late", which, times, seconds))

    def clear(self) -> None:
        """Nothing goes wrong any more."""
        for fault in self._faults:
            fault.end()
        self._faults.clear()

    def _add(self, fault: Fault) -> Fault:
        self._faults.append(fault)
        return fault

    def _due(self, call: Call, late: bool) -> Fault | None:
        for fault in list(self._faults):
            if fault.left == 0 or (fault.what == "late") is not late or not fault.which(call):
                continue
            if fault.left is not None:
                fault.left -= 1
            fault.happened.append(call)
            return fault
        return None

    async def before(self, call: Call) -> bool:
        """What happens to a call; whether it is to be cut off when it is done.

        Raises:
            Dropped: before anything is done.
            ApiError: the answer that was commanded.
        """
        if fault := self._due(call, late=True):
            await asyncio.sleep(fault.seconds)
        fault = self._due(call, late=False)
        if fault is None:
            return False
        if isinstance(fault.what, int):
            again = int(fault.seconds) if fault.what in (429, 503, 504) else None
            reason = REASONS.get(fault.what, "InternalError")
            raise ApiError(fault.what, reason, f"commanded by the test: {reason}", retry_after=again)
        if fault.what == "dropped":
            raise Dropped
        return True
