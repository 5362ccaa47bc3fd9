"""The command: reads thousands of damaged files of every format in worker processes, and lists what went
wrong.

python -m fuzz                        20,000 files
python -m fuzz --examples 500 --seed 7
"""

import argparse
import multiprocessing
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed

from fuzz.turn import turn

A_TURN = 500


def main() -> int:
    """Runs the command; 1 where anything went wrong."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description="Reads damaged files.")
    parser.add_argument("--examples", type=int, default=20_000, help="how many")
    parser.add_argument("--seed", type=int, default=0, help="draws them")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    options = parser.parse_args()
    began = time.monotonic()
    turns = [(options.seed * 1_000_003 + i, A_TURN) for i in range(-(-options.examples // A_TURN))]
    found: Counter[str] = Counter()
    slowest, read = 0.0, 0
    with ProcessPoolExecutor(options.jobs, multiprocessing.get_context("spawn")) as pool:
        for done in as_completed([pool.submit(turn, one) for one in turns]):
            problems, seconds, count = done.result()  # a worker that crashed breaks the pool, and the run
            found.update(problems)
            slowest, read = max(slowest, seconds), read + count
    for problem, count in found.most_common():
        print(f"{count:5}  {problem}")
    seconds = time.monotonic() - began
    print(f"{read:,} damaged files in {seconds:.0f} s, the slowest {slowest:.2f} s, {len(found)} problems")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
