"""Hosts that are reached by SSH, and what runs on one: asked by a line of JSON, followed over connections
that may break off.

Hosts are known by the user's ``~/.ssh``: its configuration, keys and known hosts; one whose key is not known
is refused.
"""

import asyncio
import shlex
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

from mashbill.errors import ConfigError, RunError, one_line
from mashbill.launch.backend import Handle, JobState
from mashbill.launch.host import ERROR, told_error
from mashbill.launch.ssh_refusals import refusal

MODULE = "mashbill.launch.host"
ANSWER_SECONDS, PATIENCE_SECONDS = 120.0, 1_800.0
"""How long a host may take to answer, and how long it may be out of reach while a job is watched."""
KILLED = frozenset({128 + 9, 128 + 15})
"""Exit codes of a shell whose program was killed."""
SPOKEN = ("{", f"{ERROR} ")
"""How lines begin that a host answers with."""
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 1.0, 60.0


@dataclass(frozen=True)
class Host:
    """A machine that is reached by SSH.

    Attributes:
        name: as it was given: host, user@host or user@host:port.
        python: of it; identity: private key, empty where the user's own serve.
    """

    name: str
    python: str
    identity: str

    @property
    def machine(self) -> str:
        """Its name in the network."""
        return self._place[0]

    async def connect(self) -> Any:
        """A connection.

        Raises:
            ConfigError: it does not let this user in, or is none that is known.
            RunError: it does not answer.
        """
        import asyncssh

        given: dict[str, Any] = {"port": self._port} if self._port else {}
        user = self.name.rpartition("@")[0]
        given |= {"username": user} if user else {}
        given |= {"client_keys": [self.identity]} if self.identity else {}
        try:
            return await asyncssh.connect(
                self.machine, **given, keepalive_interval=15, login_timeout=ANSWER_SECONDS, connect_timeout=20
            )
        except (OSError, ValueError, asyncssh.Error) as error:
            raise refusal(
                error, self.name, machine=self.machine, port=self._port, identity=self.identity
            ) from error

    @property
    def _port(self) -> int | None:
        text = self._place[1]
        if text and not text.isdigit():
            what = f"{self.name} has the port {text}, which is no number"
            raise ConfigError("ssh.hosts", what, "write user@host:port, an IPv6 address in [ ]")
        return int(text) if text else None

    @property
    def _place(self) -> tuple[str, str]:
        """Host and port, of which an IPv6 address with a port stands in brackets."""
        place = self.name.rpartition("@")[2]
        if place.startswith("["):
            name, _, port = place[1:].partition("]")
            return name, port.removeprefix(":")
        if place.count(":") > 1:
            return place, ""
        name, _, port = place.partition(":")
        return name, port

    def command(self, method: str) -> str:
        """What runs there, as a shell line."""
        home = "~/" if self.python.startswith("~/") else ""  # which a quoted path would not mean
        return f"{home}{shlex.quote(self.python.removeprefix(home))} -m {MODULE} {method}"

    async def asked(self, method: str, given: str = "") -> str:
        """The line that the host answers with.

        Raises:
            MashbillError: it says what went wrong, or says nothing.
        """
        import asyncssh

        where, mend = f"host {self.name}", "look what it is doing, and run again"
        try:
            async with await self.connect() as connection:
                running = connection.run(self.command(method), input=f"{given}\n")
                answer = await asyncio.wait_for(running, ANSWER_SECONDS)
        except TimeoutError as error:
            raise RunError(where, f"did not answer within {ANSWER_SECONDS:.0f} s", mend) from error
        except (OSError, asyncssh.Error) as error:
            raise RunError(where, f"broke off ({one_line(error)})", mend) from error
        if answer.exit_status is None and not answer.stdout:
            raise RunError(where, "broke off before it answered", mend)
        if answer.exit_signal or answer.exit_status in KILLED:
            what = f"killed what was asked ({answer.exit_signal or answer.exit_status})"
            raise RunError(where, what, "look at its memory, and run again")
        return self.line(str(answer.stdout), str(answer.stderr))

    def line(self, said: str, complaints: str) -> str:
        """The line of an answer.

        Raises:
            MashbillError: it tells of an error, or is none.
        """
        lines = said.splitlines()
        if not lines:
            last = complaints.strip().splitlines()[-1:] or ["nothing"]
            what = f"cannot run {self.python} -m {MODULE} ({one_line(Exception(last[0]))})"
            raise ConfigError(f"host {self.name}", what, "install mashbill there, or set ssh.python")
        error = told_error(lines[-1], self.name)
        if error is not None:
            raise error
        return lines[-1]


@dataclass(frozen=True)
class Node:
    """A node of a job: a job of its host's own.

    Attributes:
        number: which node; host: where; handle: of the job there.
    """

    number: int
    host: Host
    handle: Handle

    async def state(self) -> JobState:
        """How it is, its failure told of as this node's."""
        return self.read(await self.host.asked("state", self.handle.text()))

    def read(self, line: str) -> JobState:
        """A state that its host says."""
        state = JobState.of(line)
        if state.failure is None:
            return state
        failure = replace(state.failure, where=f"host {self.host.machine}", rank=self.number)
        return replace(state, failure=failure)

    async def states(self) -> AsyncIterator[JobState]:
        """Its states to the last; a lost connection is taken up again.

        Raises:
            RunError: its host has been out of reach, or has said nothing, for longer than the patience.
        """
        import asyncssh

        pause, since = FIRST_WAIT_SECONDS, time.monotonic()
        while True:
            lost = RunError(
                f"host {self.host.name}", "says nothing of its job", "look what it is doing there"
            )
            try:
                async with await self.host.connect() as connection:
                    process = await connection.create_process(self.host.command("watch"))
                    process.stdin.write(f"{self.handle.text()}\n")
                    async for line in process.stdout:
                        if not line.startswith(SPOKEN):  # what a shell says as it starts
                            continue
                        state = self.read(self.host.line(line, ""))
                        yield state
                        if state.ended:
                            return
                        pause, since = FIRST_WAIT_SECONDS, time.monotonic()
            except RunError as error:
                lost = error
            except (OSError, asyncssh.Error):  # the connection broke off
                pass
            if time.monotonic() - since > PATIENCE_SECONDS:
                raise lost
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_WAIT_SECONDS)
