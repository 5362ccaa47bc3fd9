"""One turn of a worker: some hundreds of damaged files, read one after another."""

import faulthandler
import tempfile
import time
import traceback
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from fuzz.check import check
from fuzz.damage import Damaged, damaged_files

HANGS_AFTER = 10  # seconds


def turn(given_turn: tuple[int, int]) -> tuple[list[str], float, int]:
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
