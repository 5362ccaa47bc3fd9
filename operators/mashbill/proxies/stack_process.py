"""A share of the stacks of a group, trained in a process of its own: it runs this module on a job."""

import sys
from pathlib import Path

from mashbill.proxies.stacks import read_job, train_planned


def main() -> None:
    """Train the stacks of the job named on the command line, one after the other."""
    stacks, budget = read_job(Path(sys.argv[1]))
    for stack in stacks:
        train_planned(stack, budget, stack=len(stack), processes=1, progress=lambda share, words: None)


if __name__ == "__main__":
    main()
