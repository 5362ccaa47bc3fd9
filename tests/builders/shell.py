"""Commands of the shell, run as a user runs them: in a process of their own, from the checkout."""

import subprocess
import sys

from builders.checkout import ROOT

MASHBILL = (sys.executable, "-m", "mashbill.cli.main")


def mashbill(*arguments: object) -> subprocess.CompletedProcess[str]:
    """``mashbill`` with these arguments."""
    command = [*MASHBILL, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
