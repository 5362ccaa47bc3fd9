"""What it costs to know that a file is what was committed: its SHA-256, beside reading it.

python benchmarks/checksums.py [--megabytes 500] [--repeats 5]
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from page import Page

from mashbill.storage import sha256_of

BLOCK = 1 << 20


def seconds_of(work: Callable[[], object]) -> float:
    """Seconds of a core."""
    started = time.process_time()
    work()
    return time.process_time() - started


def read(path: Path) -> int:
    """Bytes of a file, read block by block."""
    with path.open("rb") as file:
        return sum(map(len, iter(lambda: file.read(BLOCK), b"")))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    page = Page("checksums", f"A file's SHA-256, {arguments.megabytes} MB, in the file system's cache")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "shard.bin")
        with path.open("wb") as file:
            for _ in range(arguments.megabytes):
                file.write(os.urandom(1_000_000))
        reading = [seconds_of(lambda: read(path)) for _ in range(arguments.repeats)]
        later = time.time() + 3_600  # what may be written again is read each time
        os.utime(path, (later, later))
        summing = [seconds_of(lambda: sha256_of(path)) for _ in range(arguments.repeats)]
        os.utime(path, (1e9, 1e9))
        sha256_of(path)
        again = statistics.median(seconds_of(lambda: sha256_of(path)) for _ in range(arguments.repeats))
    cost, plain = statistics.median(summing), statistics.median(reading)
    page.say(
        f"{arguments.megabytes} MB take {cost:.1f} s of a core ({plain:.2f} s to read them alone), the "
        f"second time in a process {1e6 * again:.0f} microseconds.",
        megabytes=arguments.megabytes,
        seconds=cost,
        reading_seconds=plain,
        again_microseconds=1e6 * again,
    )
    page.save()


if __name__ == "__main__":
    main()
