"""Which node of a job this process is: whoever started it says so, in the words of mashbill, of an Indexed
Job or of Kubeflow's trainer."""

import os
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Self

from mashbill.errors import ConfigError
from mashbill.launch.backend import ADDRESS, NODE, NODES, RENDEZVOUS

NUMBERS = (NODE, "PET_NODE_RANK", "JOB_COMPLETION_INDEX")
COUNTS = (NODES, "PET_NNODES")
TRAINER = "PET_"
"""How variables begin that torchrun reads as if they were its arguments."""


@dataclass(frozen=True)
class Node:
    """One of the nodes of a job.

    Attributes:
        number: which, from 0; the first leads.
        of: how many there are.
        rendezvous: host:port of the first, where they meet; None where there is none.
        address: by which the others reach it; None is that of the interface towards the first.
    """

    number: int = 0
    of: int = 1
    rendezvous: str | None = None
    address: str | None = None

    @classmethod
    def told(cls, environment: Mapping[str, str]) -> Self:
        """The node that variables say.

        Raises:
            ConfigError: they say no number, or one that is none of the nodes.
        """
        number, of = _number(environment, NUMBERS, 0), _number(environment, COUNTS, 1)
        if not 0 <= number < of:
            what = f"{number} is none of {of} nodes"
            raise ConfigError(NODE, what, f"number them from 0, and say in {NODES} how many there are")
        host, port = (environment.get(f"{TRAINER}MASTER_{name}") for name in ("ADDR", "PORT"))
        met = environment.get(RENDEZVOUS) or (f"{host}:{port}" if host and port and of > 1 else None)
        return cls(number, of, met, environment.get(ADDRESS) or None)

    @classmethod
    def here(cls, environment: MutableMapping[str, str] = os.environ) -> Self:
        """The node that this process is; what torchrun would misread is taken out of its environment."""
        node = cls.told(environment)
        for name in [name for name in environment if name.startswith(TRAINER)]:
            del environment[name]
        return node


def _number(environment: Mapping[str, str], names: tuple[str, ...], default: int) -> int:
    for name in names:
        if given := environment.get(name):
            if not given.isdigit():
                raise ConfigError(name, f"{given!r} is no number", "set it to one, or leave it out")
            return int(given)
    return default
