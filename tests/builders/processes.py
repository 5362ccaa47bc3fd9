"""Processes found by what they hold of a folder, whoever started them and whatever they call themselves."""

import contextlib
from pathlib import Path

import psutil


def processes_about(folder: Path) -> dict[int, str]:
    """Command line of each process that works in a folder, has a file of it open, or names it.

    Airflow's servers write titles over their command lines and environments, and a task outlives the
    scheduler that started it: files that are open give them away.
    """
    found = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            command = " ".join(process.cmdline())
            signs = [command, process.cwd(), *process.environ().values()]
            signs += [file.path for file in process.open_files()]
            if any(str(folder) in sign for sign in signs):
                found[process.pid] = command
    return found
