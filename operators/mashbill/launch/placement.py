"""Where the parts of a stage may run, and which of them at once: what a launcher has to know of a stage."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Placement:
    """What a part takes of a machine.

    Attributes:
        gpu: a GPU to itself, where there is one; else a core.
        whole_machine: all of a machine.
        in_order: it reads the parts before it.
    """

    gpu: bool = False
    whole_machine: bool = False
    in_order: bool = False

    @property
    def one_at_a_time(self) -> bool:
        """Whether no two parts may run at once."""
        return self.whole_machine or self.in_order


CORES = Placement()
ONE_GPU = Placement(gpu=True)
WHOLE_MACHINE = Placement(whole_machine=True)
IN_ORDER = Placement(in_order=True)
