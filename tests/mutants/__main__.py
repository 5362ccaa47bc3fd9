"""The command: draws a sample of faults, tries each that has no verdict yet, prints the share killed.

    python -m mutants                               the whole sample, and docs/mutants.md
    python -m mutants --module regression/optimum   what the sample has in one room or module
    python -m mutants --module dedup --count 40     forty of a room's own

A verdict stands as long as the mutant's module says the same, and the test that killed it is there; of a
survivor, as long as its closest tests say the same.
"""

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Callable, Container, Sequence
from pathlib import Path
from typing import Any, TypeVar

from builders.checkout import ROOT
from mutants import page, trial
from mutants.faults import Fault, faults, sample
from mutants.record import Recorder, TestRecord, read
from mutants.rooms import CLOSEST, OPERATORS, TESTS, WORK, modules, room_of, test_files

RESULTS = WORK / "results.jsonl"
RECORDS = WORK / "tests"
Item = TypeVar("Item")


def main() -> int:
    """Runs the command; 1 when less than the wanted share is killed."""
    options = _options()
    drawn = _drawn(options)
    trial.warm()
    state = checkout_state()
    files = test_files({room_of(fault.module) for fault in drawn})
    records = [(file, _record_path(file)) for file in files]
    _each([(file, path) for file, path in records if not path.exists()], options.jobs, _record)
    tests = read(path for _, path in records)
    broken = sorted(test for test, found in tests.items() if not found.passed)
    for test in broken:
        print(f"left out, as it does not pass without a fault: {test}")
    earlier = Verdicts(tests)
    pending = [fault for fault in drawn if options.again or earlier.on(fault) is None]
    print(f"{len(drawn)} mutants, {len(drawn) - len(pending)} with a verdict, {len(tests)} tests", flush=True)
    _each(
        pending,
        options.jobs,
        lambda fault, copy: _try(fault, copy, tests, budget=options.budget, state=state),
    )
    found = Verdicts(tests)
    verdicts = {fault.key: found.on(fault) or "survived" for fault in drawn}
    return _tell(drawn, verdicts, options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m mutants", description="Plants faults, runs tests.")
    parser.add_argument("--module", default="", help="room or module: what paths begin with, as dedup/index")
    parser.add_argument("--seed", type=int, default=13, help="draws the sample")
    parser.add_argument("--count", type=int, help="size of the sample: 330, or a module's part of that")
    parser.add_argument("--jobs", type=int, default=1, help="mutants tried side by side")
    parser.add_argument("--budget", type=float, default=20.0, help="seconds of tests a mutant is tried by")
    parser.add_argument("--least", type=float, default=0.9, help="share that must be killed")
    parser.add_argument("--again", action="store_true", help="forget earlier verdicts")
    return parser.parse_args()


def _drawn(options: argparse.Namespace) -> list[Fault]:
    if options.count and options.module:
        found = [fault for module in modules(options.module) for fault in faults(module)]
        return sample(found, options.seed, options.count)
    found = [fault for module in modules() for fault in faults(module)]
    drawn = sample(found, options.seed, options.count or 330)
    return [fault for fault in drawn if fault.module.startswith(options.module)]


def _each(items: Sequence[Item], jobs: int, body: Callable[[Item, Path], None]) -> None:
    """Gives items to forked workers by turns; each has a copy of the package."""
    workers = []
    for job in range(min(jobs, len(items))):
        worker = os.fork()
        if worker == 0:
            status = 1
            try:
                copy = trial.overlay(f"copy-{job}")
                for item in items[job::jobs]:
                    body(item, copy)
                status = 0
            finally:
                sys.stdout.flush()
                os._exit(status)
        workers.append(worker)
    for worker in workers:
        if os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]):
            raise SystemExit("a worker failed")


def _record(one: tuple[Path, Path], copy: Path) -> None:
    """Records one file of tests in another."""
    file, target = one
    target.parent.mkdir(parents=True, exist_ok=True)

    def body() -> int:
        recorder = Recorder(copy / "mashbill", tuple(CLOSEST))
        status = trial.run_tests([str(file.relative_to(ROOT))], recorder)
        recorder.write(target)
        return status

    print(f"recording {file.relative_to(TESTS)}", flush=True)
    if trial.in_child(copy, body, 900) is None:
        raise SystemExit(f"{file} hangs")


def _record_path(file: Path) -> Path:
    sources = [OPERATORS / "mashbill" / module for module in modules()]
    around = [*(TESTS / "builders").glob("*.py"), *file.parent.glob("conftest.py"), TESTS / "conftest.py"]
    return RECORDS / f"{file.parent.name}-{file.stem}-{_hash(file, *sources, *sorted(around))}.json"


def checkout_state() -> int:
    """What the package and its tests are: a copy of the one, made before, is no match for others."""
    files = [*OPERATORS.rglob("*.py"), *(TESTS / "engine").rglob("*.py"), *(TESTS / "builders").glob("*.py")]
    return hash(tuple((str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in sorted(files)))


def _try(fault: Fault, copy: Path, tests: dict[str, TestRecord], *, budget: float, state: int) -> None:
    """Tries one fault and writes its verdict down."""
    chosen = trial.closest(fault, tests, budget)
    verdict = trial.attempt(fault, chosen, copy, sum(tests[test].alone for test in chosen))
    if checkout_state() != state:
        raise SystemExit("the package or its tests changed under way: run again")
    words = {None: "hung", 0: "survived", 1: "killed", 2: "killed", 3: "killed"}
    if verdict.status is not None and verdict.status > 3:
        raise SystemExit(f"{fault.key}: pytest ended with {verdict.status}, see {copy}.log")
    word = words.get(verdict.status, "killed")
    row = {
        "key": fault.key,
        "verdict": word,
        "by": verdict.test,
        "tests": len(chosen),
        "module": _hash(OPERATORS / "mashbill" / fault.module),
        "watched": _hash(*_watched(fault)),
    }
    with RESULTS.open("a") as file:
        file.write(json.dumps(row) + "\n")
    print(f"{word:9}{fault.module}:{fault.line} {fault.old[:90]} -> {fault.new[:90]}", flush=True)


class Verdicts:
    """What earlier runs wrote down, as far as it still stands."""

    def __init__(self, tests: Container[str]) -> None:
        self.tests = tests
        rows = map(json.loads, RESULTS.read_text().splitlines()) if RESULTS.exists() else ()
        self.rows: dict[str, dict[str, Any]] = {row["key"]: row for row in rows}

    def on(self, fault: Fault) -> str | None:
        """``killed``, ``hung`` or ``survived``; None where there is none that stands."""
        row = self.rows.get(fault.key)
        if row is None or row["module"] != _hash(OPERATORS / "mashbill" / fault.module):
            return None
        if row["by"]:
            return str(row["verdict"]) if row["by"] in self.tests else None
        return str(row["verdict"]) if row["watched"] == _hash(*_watched(fault)) else None


def _tell(drawn: list[Fault], verdicts: dict[str, str], options: argparse.Namespace) -> int:
    killed = sum(verdict != "survived" for verdict in verdicts.values())
    if not options.module:
        page.write(drawn, verdicts, options.seed)
        print(f"written: {page.PAGE.relative_to(ROOT)}")
    else:
        for fault in drawn:
            if verdicts[fault.key] == "survived":
                print(f"survivor {fault.module}:{fault.line} {fault.key}")
    print(f"killed {killed} of {len(drawn)}: {killed / max(1, len(drawn)):.1%}")
    return int(killed < options.least * len(drawn))


def _watched(fault: Fault) -> list[Path]:
    """Files of tests that may yet kill a survivor."""
    return test_files({room_of(fault.module)})


def _hash(*paths: Path) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


if __name__ == "__main__":
    sys.exit(main())
