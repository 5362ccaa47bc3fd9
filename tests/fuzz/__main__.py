"""The command: reads thousands of damaged files of every format in worker processes, and lists what went
wrong.

python -m fuzz                        20,000 files
python -m fuzz --examples 500 --seed 7
"""

import argparse
import faulthandler
import multiprocessing
import os
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from fuzz.check import check
from fuzz.damage import Damaged, damaged_files

A_TURN = 500
HANGS_AFTER = 10  # seconds


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
    with multiprocessing.get_context("spawn").Pool(options.jobs, maxtasksperchild=4) as pool:
        for problems, seconds, count in pool.imap_unordered(_turn, turns):
            found.update(problems)
            slowest, read = max(slowest, seconds), read + count
    for problem, count in found.most_common():
        print(f"{count:5}  {problem}")
    seconds = time.monotonic() - began
    print(f"{read:,} damaged files in {seconds:.0f} s, the slowest {slowest:.2f} s, {len(found)} problems")
    return int(bool(found))


def _turn(given_turn: tuple[int, int]) -> tuple[list[str], float, int]:
    """Problems of some files, seconds of the slowest, and how many were read."""
    number, examples = given_turn
    problems: list[str] = []
    slowest, read = 0.0, 0
    with tempfile.TemporaryDirectory() as folder:

        @seed(number)
        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
        )
        @given(damaged_files())
        def run(damaged: Damaged) -> None:
            nonlocal slowest, read
            began = time.monotonic()
            faulthandler.dump_traceback_later(HANGS_AFTER * 3, exit=True)
            try:
                check(damaged, Path(folder))
            except AssertionError as error:
                problems.append(f"{error}")
            except Exception as error:
                place = traceback.extract_tb(error.__traceback__)[-1]
                where = f"{Path(place.filename).name}:{place.lineno}"
                problems.append(f"{damaged.whole.name} {damaged.how}: {where} {error!r:.200}")
            faulthandler.cancel_dump_traceback_later()
            seconds = time.monotonic() - began
            if seconds > HANGS_AFTER:
                problems.append(f"{damaged.whole.name} {damaged.how}: took {seconds:.0f} s")
            slowest, read = max(slowest, seconds), read + 1

        run()
    return problems, slowest, read


if __name__ == "__main__":
    sys.exit(main())
