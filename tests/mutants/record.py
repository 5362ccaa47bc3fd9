"""Which lines of the mutated rooms each test executes, and how long it takes.

What a fixture executes counts for every test that asks for it, whoever asked first. Kernels that are
compiled, and what other processes run, leave no trace; for such lines see ``trial.closest``.
"""

import json
import os
import sys
import threading
from collections import defaultdict
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

Lines = dict[str, set[int]]


@dataclass
class TestRecord:
    """What a test executes.

    Attributes:
        seconds: of processor time, its own; shared: of fixtures that its file or session shares.
        passed: whether it did.
        lines: by module.
    """

    __test__ = False

    seconds: float = 0.0
    shared: float = 0.0
    passed: bool = True
    lines: Lines = field(default_factory=lambda: defaultdict(set))

    @property
    def alone(self) -> float:
        """Seconds that it takes where no other has set up what it shares."""
        return self.seconds + self.shared


class Recorder:
    """Plugin of pytest that records tests of one file.

    Args:
        package: folder of the package that is imported.
        rooms: prefixes of the modules to record.
    """

    def __init__(self, package: Path, rooms: tuple[str, ...]) -> None:
        self.prefix = f"{package}/"
        self.rooms = rooms
        self.tests: dict[str, TestRecord] = defaultdict(TestRecord)
        self.fixtures: dict[tuple[str, str], TestRecord] = defaultdict(TestRecord)
        self.current = TestRecord()
        threading.settrace(self._call)
        sys.settrace(self._call)

    def _call(self, frame: FrameType, event: str, argument: Any) -> Any:
        name = frame.f_code.co_filename
        if not name.startswith(self.prefix) or not name.startswith(self.rooms, len(self.prefix)):
            return None
        lines = self.current.lines[name[len(self.prefix) :]]

        def line(frame: FrameType, event: str, argument: Any) -> Any:
            lines.add(frame.f_lineno)
            return line

        lines.add(frame.f_lineno)
        return line

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Generator[None, Any, Any]:
        outer, self.current = self.current, self.fixtures[fixturedef.argname, fixturedef.baseid]
        start = _processor_seconds()
        try:
            return (yield)
        finally:
            self.current.seconds += _processor_seconds() - start
            self.current = outer

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        self.current = self.tests[item.nodeid]
        sys.settrace(self._call)
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        start = _processor_seconds()
        try:
            return (yield)
        finally:
            self.tests[item.nodeid].seconds = _processor_seconds() - start

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.outcome != "passed":
            self.tests[report.nodeid].passed = False

    def pytest_runtest_teardown(self, item: Any) -> None:
        """Adds what the test's fixtures did."""
        record = self.tests[item.nodeid]
        for name, definitions in item._fixtureinfo.name2fixturedefs.items():
            for definition in definitions:
                fixture = self.fixtures[name, definition.baseid]
                if definition.scope == "function":
                    record.seconds += fixture.seconds
                else:
                    record.shared += fixture.seconds
                for module, lines in fixture.lines.items():
                    record.lines[module] |= lines

    def write(self, path: Path) -> None:
        """Writes the record of every test of the file."""
        sys.settrace(None)
        threading.settrace(None)
        found = {
            test: {
                "seconds": round(record.seconds, 3),
                "shared": round(record.shared, 3),
                "passed": record.passed,
                "lines": {module: sorted(lines) for module, lines in record.lines.items() if lines},
            }
            for test, record in self.tests.items()
        }
        path.write_text(json.dumps(found))


def read(paths: Iterator[Path]) -> dict[str, TestRecord]:
    """The records of tests by node id, of those files that were written."""
    found = {}
    for path in paths:
        for test, record in json.loads(path.read_text()).items():
            lines = {module: set(lines) for module, lines in record["lines"].items()}
            found[test] = TestRecord(record["seconds"], record["shared"], record["passed"], lines)
    return found


def _processor_seconds() -> float:
    return sum(os.times()[:4])
