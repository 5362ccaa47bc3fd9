"""Stacks of proxies trained in processes of their own: each runs this module on a job of some stacks."""

import pickle
import sys
from collections.abc import Sequence
from pathlib import Path

from mashbill.artifacts import Progress
from mashbill.errors import RunError
from mashbill.launch.processes import Child, start_module, wait_for
from mashbill.proxies.stacks import Budget, PlannedProxy, train_stack

MODULE = "mashbill.proxies.stack_process"


def train_in_processes(
    stacks: Sequence[Sequence[PlannedProxy]], budget: Budget, *, progress: Progress, processes: int
) -> None:
    """Share stacks among processes of one thread each, and wait for them.

    Args:
        stacks: none of them finished.
        budget: of the proxies; its scratch folder takes the processes' logs.
        progress: called with the share of stacks that are finished.
        processes: how many.
    Raises:
        RunError: a process failed or was killed; what is finished is kept.
    """
    budget.scratch.mkdir(parents=True, exist_ok=True)
    children = [
        _start(stacks[i::processes], budget, budget.scratch / f"process-{i}") for i in range(processes)
    ]

    def look() -> None:
        done = sum(budget.finished(stack) for stack in stacks)
        progress(done / len(stacks), f"{done} of {len(stacks)} trained, in {processes} processes")

    wait_for(children, look)
    for child in children:
        if child.exit_code:
            raise RunError(
                "proxies",
                f"a process that trains them failed ({child.last_words()})",
                f"see {child.log}, then rerun: finished proxies are kept",
            )
        child.log.unlink()
        child.log.with_suffix(".job").unlink()


def _start(stacks: Sequence[Sequence[PlannedProxy]], budget: Budget, place: Path) -> Child:
    job = place.with_suffix(".job")
    job.write_bytes(pickle.dumps((stacks, budget)))
    return start_module(MODULE, [str(job)], place.with_suffix(".log"))


def main() -> None:
    """Train the stacks of the job named on the command line, one after the other."""
    stacks, budget = pickle.loads(Path(sys.argv[1]).read_bytes())  # noqa: S301  (written by the process that started this one)
    for stack in stacks:
        train_stack(stack, budget)


if __name__ == "__main__":
    main()
