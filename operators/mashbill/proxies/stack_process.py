"""A share of the stacks of a group, trained in a process of its own: it runs this module on a job."""

import pickle
import sys
from pathlib import Path

from mashbill.proxies.stacks import train_planned


def main() -> None:
    """Train the stacks of the job named on the command line, one after the other."""
    job = Path(sys.argv[1]).read_bytes()
    stacks, budget = pickle.loads(job)  # noqa: S301  (written by the process that started this one)
    for stack in stacks:
        train_planned(stack, budget, stack=len(stack), processes=1, progress=lambda share, words: None)


if __name__ == "__main__":
    main()
