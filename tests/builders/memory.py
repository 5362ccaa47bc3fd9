"""How much memory a process has taken at the most: its own, and not that of the process it was forked from,
which the system's count of resources includes."""

import re
from pathlib import Path


def peak_bytes() -> int:
    """Most bytes that this process has had in memory since it began to run its program."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="utf-8"))
    assert found, "/proc/self/status has no VmHWM"
    return int(found[1]) * 1_024
