"""Keeps freed memory in the process: a training step frees and asks again for the same large buffers,
thousands of times.

glibc gives large blocks back to the system at once, so that each step pays for page faults anew.
"""

import ctypes
import functools
import sys

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
LARGEST_THRESHOLD = 32 * 2**20  # glibc takes no more
KEEP_BYTES = 512 * 2**20


@functools.cache
def keep_freed_memory() -> bool:
    """Tell glibc's allocator to keep what is freed; True where it could be told, False with another allocator
    or system."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    settings = (
        (M_MMAP_THRESHOLD, LARGEST_THRESHOLD),
        (M_TRIM_THRESHOLD, KEEP_BYTES),
        (M_TOP_PAD, 16 * 2**20),
    )
    return sum(int(mallopt(name, value)) for name, value in settings) == len(settings)
