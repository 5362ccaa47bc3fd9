"""Stacks of proxies trained in processes of their own: ``python -m mashbill.proxies.stack_process JOB``.

A pool of ``multiprocessing`` would import the main module of whoever calls, which in an Airflow task is
Airflow's, and that refuses to be imported there. So these are plain processes, which end with the one that
started them.
"""

import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mashbill.artifacts import Progress
from mashbill.errors import RunError

LOOK_SECONDS = 0.5
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def train_in_processes(stacks: Sequence[Any], budget: Any, progress: Progress, processes: int) -> None:
    """Share stacks among processes of one thread each, and wait for them.

    Args:
        stacks: of planned proxies, none of them finished.
        budget: of the proxies; its scratch folder takes the processes' logs.
        progress: told of finished stacks.
        processes: how many.
    Raises:
        RunError: a process failed or was killed; what is finished is kept.
    """
    budget.scratch.mkdir(parents=True, exist_ok=True)
    started = [
        _start(stacks[i::processes], budget, budget.scratch / f"process-{i}") for i in range(processes)
    ]
    try:
        while any(process.poll() is None for process, _ in started):
            time.sleep(LOOK_SECONDS)
            done = sum(budget.finished(stack) for stack in stacks)
            progress(done / len(stacks), f"{done} of {len(stacks)} trained, in {processes} processes")
    finally:
        for process, _ in started:
            process.kill()
            process.wait()
    for process, log in started:
        if process.returncode:
            lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            said = lines[-1] if lines else f"it ended with {process.returncode}"
            raise RunError(
                "proxies",
                f"a process that trains them failed ({said})",
                f"see {log}, then rerun: finished proxies are kept",
            )
        log.unlink()
        log.with_suffix(".job").unlink()


def _start(stacks: Sequence[Any], budget: Any, place: Path) -> tuple["subprocess.Popen[bytes]", Path]:
    job, log = place.with_suffix(".job"), place.with_suffix(".log")
    job.write_bytes(pickle.dumps((stacks, budget)))
    command = [sys.executable, "-m", "mashbill.proxies.stack_process", str(job)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env={**os.environ, **dict.fromkeys(THREADS, "1")}
        )
    return process, log


def _end_with_parent(parent: int) -> None:
    """End this process when the one that started it is gone."""
    while os.getppid() == parent:
        time.sleep(LOOK_SECONDS)
    os._exit(1)


def main() -> None:
    """Train the stacks of the job named on the command line, one after the other."""
    from mashbill.proxies.group import train_stack

    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    stacks, budget = pickle.loads(Path(sys.argv[1]).read_bytes())  # noqa: S301  (written by the process that started this one)
    for stack in stacks:
        train_stack(stack, budget)


if __name__ == "__main__":
    main()
