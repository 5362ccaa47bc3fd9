"""How many cores this process may use: fewer than the machine has, where an affinity or a container's limit
says so.

A pod's limit of cores is a share of time that its cgroup gets, and says nothing to ``os.cpu_count()``: one
thread for each core of the machine would be stopped for most of each period.
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

GROUPS, OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def cores_here(groups: Path = GROUPS, own: Path = OWN) -> int:
    """Cores that this process may use, at least one; a part of one counts as one.

    Args:
        groups: where cgroups are mounted, of the first version or the second.
        own: the file that says which of them this process is in.
    """
    known = [os.cpu_count() or 1]
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        known.append(len(os.sched_getaffinity(0)))
    limits = (_limit(folder) for folder in _folders(groups, own))
    known += [math.ceil(limit) for limit in limits if limit is not None]
    return max(1, min(known))


def _folders(groups: Path, own: Path) -> Iterator[Path]:
    """Those of the groups that this process is in, and of all around them, as each limits it; only the mount
    where a container does not see its own name."""
    yield from (groups, groups / "cpu")
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount, inner = groups / controllers, PurePosixPath(name.lstrip("/"))
        if ".." not in inner.parts:
            yield from (mount / part for part in (inner, *inner.parents))


def _limit(group: Path) -> float | None:
    """Cores that a group may use; None where it has no limit, or is not there."""
    try:
        if (group / "cpu.max").exists():
            quota, period = (group / "cpu.max").read_text().split()
        else:
            quota = (group / "cpu.cfs_quota_us").read_text()
            period = (group / "cpu.cfs_period_us").read_text()
        return int(quota) / int(period) if int(quota) > 0 else None
    except (OSError, ValueError, ZeroDivisionError):  # "max" is no number
        return None
