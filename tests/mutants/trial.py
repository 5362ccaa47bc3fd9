"""A mutant's trial: a copy of the package with the fault in it, and the closest tests in a fork that is warm.

The parent has imported what takes seconds to import (torch, pandas, LightGBM), never the package itself; a
child is its fork, with the copy first on its path, and on its children's.
"""

import json
import os
import re
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from builders.checkout import ROOT
from mutants.faults import Fault
from mutants.record import TestRecord
from mutants.rooms import CLOSEST, OPERATORS, SLOW_TOO, WORK, room_of

WARM = [
    "numpy",
    "scipy.stats",
    "scipy.optimize",
    "scipy.linalg",
    "pandas",
    "pyarrow.parquet",
    "torch",
    "lightgbm",
]
WARM += [
    "sklearn.linear_model",
    "sklearn.gaussian_process",
    "sklearn.model_selection",
    "joblib",
    "tokenizers",
]
WARM += [
    "numba",
    "pydantic",
    "typer.testing",
    "safetensors.torch",
    "daft",
    "hypothesis",
    "hypothesis.extra.numpy",
]
WARM += ["matplotlib.figure", "matplotlib.pyplot", "torch.utils.checkpoint", "torch.nn.attention", "fasttext"]
SLACK, PATIENCE = 30.0, 8.0
"""A trial may take some seconds, and some times what its tests took, before it counts as hanging."""


def warm() -> None:
    """Imports what is slow to import, and what of it is there."""
    import importlib

    for name in WARM:
        try:
            importlib.import_module(name)
        except ImportError:
            continue
    from hypothesis import HealthCheck, Phase, settings

    settings.register_profile(
        "mutants",
        deadline=None,
        phases=(Phase.explicit, Phase.generate),
        database=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow],  # a machine that is busy has found no fault
    )
    assert "mashbill" not in sys.modules


@dataclass(frozen=True)
class Verdict:
    """What became of a child: its exit status, None where it hung; and the test that failed, if one did."""

    status: int | None
    test: str


def overlay(slot: str) -> Path:
    """A fresh copy of the package on a path of its own, with the kernels that were compiled for it."""
    where = WORK / slot
    shutil.rmtree(where, ignore_errors=True)
    shutil.copytree(OPERATORS / "mashbill", where / "mashbill", ignore=shutil.ignore_patterns("*.pyc"))
    return where


class Watch:
    """Plugin of pytest that runs some tests alone, in their order, and notes the first that fails."""

    def __init__(self, ranks: dict[str, int] | None, path: Path) -> None:
        self.ranks = ranks
        self.path = path

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if self.ranks is not None:
            ranks = self.ranks
            items[:] = sorted(
                (item for item in items if item.nodeid in ranks), key=lambda item: ranks[item.nodeid]
            )

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.path.exists():
            self.path.write_text(report.nodeid)


def in_child(copy: Path, body: Callable[[], int], seconds: float) -> int | None:
    """Runs a body in a fork that imports the package's copy; None when it took too long and was ended."""
    child = os.fork()
    if child == 0:
        status = 99
        try:
            os.setsid()
            log = os.open(copy.parent / f"{copy.name}.log", os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
            for stream in (1, 2):
                os.dup2(log, stream)
            os.environ["PYTHONPATH"] = str(copy)
            os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
            os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(copy / "hypothesis")
            sys.dont_write_bytecode = True
            sys.path.insert(0, str(copy))
            os.chdir(ROOT)
            status = body()
        except Exception:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    return _wait(child, seconds)


def _wait(child: int, seconds: float) -> int | None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            _end(child)
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    _end(child)
    os.waitpid(child, 0)
    return None


def _end(group: int) -> None:
    """Ends what a child left running."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def run_tests(files: list[str], *plugins: Any) -> int:
    """Runs files of tests in this process, up to the first failure where something watches."""
    chosen = any(isinstance(plugin, Watch) for plugin in plugins)
    slow_too = chosen or all(file.split("/")[2] in SLOW_TOO for file in files)
    left_out = "airflow" if slow_too else "airflow or slow"
    options = ["-q", "-p", "no:cacheprovider", "--hypothesis-profile=mutants", *(["-x"] if chosen else [])]
    options += ["-m", f"not ({left_out})", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
    return int(pytest.main([*options, *files], plugins=list(plugins)))


def closest(fault: Fault, tests: dict[str, TestRecord], budget: float) -> list[str]:
    """Node ids of the tests that try a fault, in their order.

    Those of the closest folders that execute its line; where none is known to, as with what other processes
    run, those that execute any line of its module; and where that is not known either, or the module has
    compiled kernels, which leave no trace, all of the room's own. The quickest are taken up to ``budget``
    seconds, beside what those of the first file share; a file's tests stay together.
    """
    folders = CLOSEST[room_of(fault.module)]
    near = {test: found for test, found in tests.items() if test.split("/")[2] in folders and found.passed}
    by_line = [test for test, found in near.items() if fault.line in found.lines.get(fault.module, ())]
    compiled = "njit" in (OPERATORS / "mashbill" / fault.module).read_text(encoding="utf-8")
    by_module = [] if compiled else [test for test, found in near.items() if fault.module in found.lines]
    own = [test for test in near if test.split("/")[2] == folders[0]]
    if not fault.function:
        by_line = by_module
    chosen: list[str] = []
    totals: dict[str, float] = {}
    spent = 0.0
    for test in sorted(by_line or by_module or own, key=lambda test: near[test].seconds):
        file = _file(test)
        more = near[test].seconds + (near[test].shared if totals and file not in totals else 0.0)
        if chosen and spent + more > budget:
            continue
        chosen.append(test)
        spent += more
        totals[file] = totals.get(file, near[test].shared) + near[test].seconds
    return sorted(chosen, key=lambda test: (totals[_file(test)], _file(test), near[test].seconds))


def attempt(fault: Fault, chosen: list[str], copy: Path, seconds: float) -> Verdict:
    """Plants a fault in the copy, runs the tests chosen, and takes it out again."""
    place, whole = copy / "mashbill" / fault.module, OPERATORS / "mashbill" / fault.module
    failed = copy / "failed"
    failed.unlink(missing_ok=True)
    source = whole.read_bytes()
    place.write_bytes(fault.applied(source))
    ranks = {test: rank for rank, test in enumerate(chosen)}
    files = list(dict.fromkeys(_file(test) for test in chosen))

    def body() -> int:
        if b"njit" in source:
            import numba

            os.environ["NUMBA_CACHE_DIR"] = str(copy / "kernels")
            numba.config.reload_config()  # which it read when it was imported
        return run_tests(files, Watch(ranks, failed))

    try:
        status = in_child(copy, body, SLACK + PATIENCE * seconds)
    finally:
        shutil.copy2(whole, place)
        shutil.rmtree(copy / "kernels", ignore_errors=True)
    return Verdict(status, failed.read_text() if failed.exists() else "")


def _file(test: str) -> str:
    return re.split("::", test, maxsplit=1)[0]


def write_json(path: Path, value: Any) -> None:
    """Writes a file of the runner's own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
