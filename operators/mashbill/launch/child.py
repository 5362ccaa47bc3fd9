"""A module run in a process that ends with its parent: ``-m mashbill.launch.child PARENT MODULE ARGUMENT``.

A task that was killed then leaves no training behind that would write into the folder of the next attempt.
"""

import os
import runpy
import signal
import sys
import threading
import time

LOOK_SECONDS = 0.5
PATIENCE_SECONDS = 10.0  # between being asked to end and being killed: torchrun ends its workers meanwhile


def end_with(parent: int) -> None:
    """Have this process end when the one that started it is gone.

    Args:
        parent: its process id, given by itself, as it may be gone before this process first looks.
    """
    threading.Thread(target=_end_after, args=(parent,), daemon=True).start()


def _end_after(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(PATIENCE_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Run the module that the command line names."""
    parent, module, *arguments = sys.argv[1:]
    end_with(int(parent))
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
