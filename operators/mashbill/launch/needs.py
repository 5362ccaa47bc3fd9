"""What a part of a stage needs of machines, and which parts share a job: what a launcher has to know of a
stage."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from mashbill.config.launch import LaunchConfig
from mashbill.launch.amounts import number_of


@dataclass(frozen=True)
class Needs:
    """What a part needs.

    Attributes:
        share: of a machine: a core, a GPU where there is one, or all of it.
        nodes: whether several machines may work on it together.
        in_order: whether it reads the parts before it.
    """

    share: Literal["core", "gpu", "machine"] = "core"
    nodes: bool = False
    in_order: bool = False

    @property
    def one_at_a_time(self) -> bool:
        """Whether no two parts may run at once on one machine."""
        return self.share == "machine" or self.in_order


A_CORE = Needs()
A_GPU = Needs("gpu")
MACHINES = Needs("machine", nodes=True)
IN_ORDER = Needs(in_order=True)


def jobs_of(parts: Sequence[str], takes: LaunchConfig, needs: Needs) -> list[tuple[str, ...]]:
    """Which parts share a job: neighbours, in as many jobs as may be; all, where there is one machine or
    each reads those before it."""
    return shared_among(parts, 1 if needs.in_order or takes.backend == "local" else takes.max_jobs)


def shared_among(names: Sequence[str], most: int) -> list[tuple[str, ...]]:
    """Names in at most so many lots of neighbours, as even as can be."""
    lots = min(len(names), max(1, most))
    ends = [len(names) * i // lots for i in range(lots + 1)] if lots else []
    return [tuple(names[start:end]) for start, end in pairwise(ends)]


def processes_of(takes: LaunchConfig) -> int:
    """Processes of a node that work on parts side by side: as many as it has GPUs, or cores."""
    return takes.processes or takes.gpus or max(1, int(number_of(takes.cpus or "1")))
