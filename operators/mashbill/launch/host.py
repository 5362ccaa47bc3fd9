"""What a host does for whoever launches by SSH: ``python -m mashbill.launch.host METHOD``, one line of JSON
in, lines of JSON out.

A node of a job is a job of the host's own machine, so that it outlives the connection.
"""

import asyncio
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import mashbill
from mashbill.errors import ConfigError, MashbillError, RunError, one_line
from mashbill.launch.backend import Handle, Order
from mashbill.launch.local import LocalBackend

ERROR = "error"
"""First word of a line that says what went wrong."""


def submit(backend: LocalBackend, given: str) -> None:
    """Start an order's node."""
    print(backend.submit(Order.of(given)).text(), flush=True)  # noqa: T201


def state(backend: LocalBackend, given: str) -> None:
    """How a node is."""
    print(backend.state(Handle.of(given)).text(), flush=True)  # noqa: T201


def watch(backend: LocalBackend, given: str) -> None:
    """How a node is, a line each time that this changes, to its end."""

    async def follow() -> None:
        async for now in backend.watch(Handle.of(given)):
            print(now.text(), flush=True)  # noqa: T201

    asyncio.run(follow())


def cancel(backend: LocalBackend, given: str) -> None:
    """End a node."""
    backend.cancel(Handle.of(given))
    print("{}", flush=True)  # noqa: T201


def logs(backend: LocalBackend, given: str) -> None:
    """The last lines of a node."""
    handle, lines = json.loads(given)
    print(json.dumps(backend.logs(Handle.of(handle), lines=lines)), flush=True)  # noqa: T201


def sees(backend: LocalBackend, given: str) -> None:
    """What this host lacks of a path, in words: whether it is here, and may be written."""
    del backend
    asked = json.loads(given)
    path, lacks = Path(asked["path"]), ""
    if not path.exists():
        lacks = "does not have it"
    elif asked["writes"] and not os.access(path.parent, os.W_OK | os.X_OK):
        lacks = "may not write it"
    print(json.dumps(lacks), flush=True)  # noqa: T201


def about(backend: LocalBackend, given: str) -> None:
    """Which mashbill is installed here."""
    del backend, given
    print(json.dumps(mashbill.__version__), flush=True)  # noqa: T201


METHODS: Mapping[str, Callable[[LocalBackend, str], None]] = MappingProxyType(
    {method.__name__: method for method in (submit, state, watch, cancel, logs, sees, about)}
)


def told_error(line: str, host: str) -> MashbillError | None:
    """The error that a line of a host says; None where it says none."""
    first, _, rest = line.partition(" ")
    if first != ERROR:
        return None
    final, where, what, mend = json.loads(rest)
    return (ConfigError if final else RunError)(f"{host}: {where}", what, mend)


def _of_the_disk(error: OSError) -> RunError:
    where, mend = str(error.filename or "this machine"), "free the disk, or its permissions"
    return RunError(where, f"cannot be used ({error.strerror or one_line(error)})", mend)


def main() -> None:
    """Do what is asked."""
    try:
        METHODS[sys.argv[1]](LocalBackend(), sys.stdin.readline())
    except (MashbillError, OSError) as given:
        error = given if isinstance(given, MashbillError) else _of_the_disk(given)
        said = [not isinstance(error, RunError), error.where, error.what, error.mend]
        print(f"{ERROR} {json.dumps(said)}", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
