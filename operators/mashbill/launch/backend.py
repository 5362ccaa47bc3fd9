"""What every way to run a command elsewhere is: submitted once, looked at, followed, cancelled.

A backend is given a command and what it takes, and knows no stage. What was submitted is told from what
another submitted by a token, which goes with the job wherever it is: whoever finds a job of its own name
compares the token, and takes the job up or refuses it.
"""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal, Protocol, Self

from mashbill.config.launch import LaunchConfig
from mashbill.errors import MashbillError

NODE, NODES, RENDEZVOUS = "MASHBILL_NODE", "MASHBILL_NODES", "MASHBILL_RENDEZVOUS"
ADDRESS = "MASHBILL_ADDRESS"
"""Variables of each node's command: which it is, from 0, of how many, and where they meet; and, where its
backend knows it, the address by which the others reach it."""
TOKEN = "mashbill.dev/token"  # noqa: S105 - the annotation that says whose a job is; no secret
PAUSED_EXIT = 75
"""Exit code of work that was asked to end and has saved: it is no failure, and is to go on later."""
FINAL_EXIT = 2
"""Exit code of work that failed by its settings or its data: to start it again cannot help."""

Phase = Literal["queued", "starting", "running", "paused", "succeeded", "failed", "gone"]
ENDED: frozenset[Phase] = frozenset({"succeeded", "failed", "gone"})


@dataclass(frozen=True)
class Order:
    """A command to be run on some nodes.

    Attributes:
        name: of the job; lowercase letters, digits and dashes, at most 48 of them.
        token: tells this order from every other.
        command: what every node runs; it learns from ``NODE`` which one it is.
        environment: variables of the command; those of ``takes`` are among them.
        takes: nodes, GPUs, memory, image and whatever else its backend needs.
        labels: what the job is found by: stage, part, run.
    """

    name: str
    token: str
    command: tuple[str, ...]
    takes: LaunchConfig
    environment: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)

    def text(self) -> str:
        """As JSON, in one line."""
        return json.dumps(
            {
                "name": self.name,
                "token": self.token,
                "command": self.command,
                "takes": self.takes.model_dump(mode="json"),
                "environment": dict(self.environment),
                "labels": dict(self.labels),
            },
            sort_keys=True,
        )

    @classmethod
    def of(cls, text: str) -> Self:
        """From what ``text`` gave."""
        values = json.loads(text)
        takes, command = LaunchConfig.model_validate(values.pop("takes")), tuple(values.pop("command"))
        return cls(takes=takes, command=command, **values)


@dataclass(frozen=True)
class Handle:
    """A job that was submitted; plain values, so that it can be kept and handed on.

    Attributes:
        backend: its backend's name.
        name: of the job.
        token: of its order.
        uid: what its cluster calls it, which no later job of that name has.
        place: where it is: a namespace with its context, an address, hosts.
        version: of the last state that was seen, from which a watch goes on; empty where there is none.
    """

    backend: str
    name: str
    token: str
    uid: str
    place: Mapping[str, str]
    version: str = ""

    def text(self) -> str:
        """As JSON, in one line."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def of(cls, text: str) -> Self:
        """From what ``text`` gave."""
        return cls(**json.loads(text))


@dataclass(frozen=True)
class Failure:
    """Why a job failed.

    Attributes:
        where: pod or host.
        machine: the machine it was on; empty where it was on none.
        rank: which node of the job, from 0; None where it cannot be known.
        why: a few words: OOMKilled, evicted, image not found, exit code 1.
        exit_code: of the process; None where it had none.
        last_words: the end of its log.
        setting: of the placement, which has to be corrected before another try; empty where none is known.
    """

    where: str
    machine: str
    rank: int | None
    why: str
    exit_code: int | None = None
    last_words: str = ""
    setting: str = ""


@dataclass(frozen=True)
class JobState:
    """How a job is.

    Attributes:
        phase: queued, starting, running, paused, succeeded, failed, or gone where someone removed it.
        message: a few words for people: what it waits for and for how long, which restart it is at.
        failure: why it failed.
        version: where a watch goes on from.
    """

    phase: Phase
    message: str = ""
    failure: Failure | None = None
    version: str = ""

    @property
    def ended(self) -> bool:
        """Whether it will not change any more."""
        return self.phase in ENDED

    def text(self) -> str:
        """As JSON, in one line."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def of(cls, text: str) -> Self:
        """From what ``text`` gave."""
        values = json.loads(text)
        failure = values.pop("failure")
        return cls(failure=None if failure is None else Failure(**failure), **values)


class Backend(Protocol):
    """A way to run commands elsewhere. Its module is imported when it is used: what it needs is an extra."""

    name: str

    def check(self, takes: LaunchConfig) -> list[MashbillError]:
        """What will not do: a right that is missing, a queue, a service account or a GPU that is not there;
        and, as a RunError, a cluster that is away and may be back for the next try. Nothing is submitted."""

    def submit(self, order: Order) -> Handle:
        """Submit an order, or take up the job that this very order was submitted as before.

        Raises:
            ConfigError: the cluster refuses it for good, or has a job of that name and another token.
            RunError: the cluster does not answer.
        """

    def state(self, handle: Handle) -> JobState:
        """How a job is; gone where there is none, or one of that name and another uid.

        Raises:
            RunError: the cluster does not answer.
        """

    def watch(self, handle: Handle) -> AsyncIterator[JobState]:
        """States as they change, from the present one to the last, without a thread of its own a job; an
        interrupted connection is taken up again, with growing waits.

        Raises:
            RunError: the cluster has not answered for longer than its patience.
        """

    def cancel(self, handle: Handle) -> None:
        """End a job and what it made; nothing where it is gone."""

    def logs(self, handle: Handle, rank: int = 0, lines: int = 100) -> str:
        """The last lines that a node said, of a job that is there; empty where it said nothing."""
