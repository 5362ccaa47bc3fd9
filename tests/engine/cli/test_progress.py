"""How far work is: lines now and then in a file, bars on a terminal."""

import io
import re

import pytest
from rich.console import Console

from mashbill.cli.progress import Shown


class Clock:
    """Seconds that pass when it is told so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def lines(clock: Clock, *steps: tuple[float, float], head: str | None = None) -> list[str]:
    """Lines that are said of work that is so far at such times."""
    file = io.StringIO()
    with Shown(Console(file=file), clock=clock) as shown:
        work = shown.work("train", head=head)
        for at, done in steps:
            clock.now = at
            work(done, f"step [{at:.0f}]")
    return file.getvalue().splitlines()


def test_a_line_is_said_when_work_is_a_tenth_further(clock: Clock) -> None:
    assert lines(clock, (5, 0.05), (10, 0.1), (15, 0.15), (20, 0.25)) == [
        "train         10% step [10]",
        "train         25% step [20]",
    ]


def test_a_line_is_said_each_half_minute_of_slow_work(clock: Clock) -> None:
    said = lines(clock, *((seconds, seconds / 100_000) for seconds in range(100)))
    assert said == [f"train          0% step [{at}]" for at in (30, 60, 90)]


def test_work_that_is_done_at_once_says_no_line(clock: Clock) -> None:
    assert lines(clock, *((i / 10, i / 10) for i in range(11))) == []


def test_work_that_begins_again_says_no_line_of_what_was_said(clock: Clock) -> None:
    assert lines(clock, (10, 0.9), (15, 0.0), (20, 0.5), (25, 1.0)) == ["train         90% step [10]"]


def test_the_lines_of_work_begin_as_they_are_told_to(clock: Clock) -> None:
    assert lines(clock, (10, 0.5), head="job x:") == ["job x:  50% step [10]"]
    assert lines(clock, (50, 0.9), head="") == []


def test_a_line_is_whole_however_narrow_the_window_is_taken_to_be(clock: Clock) -> None:
    file = io.StringIO()
    with Shown(Console(file=file, width=20), clock=clock) as shown:
        work = shown.work("train")
        clock.now = 10
        work(0.5, "x" * 100)
    assert file.getvalue() == f"train         50% {'x' * 100}\n"


def test_a_terminal_has_bars_and_no_lines(clock: Clock) -> None:
    file = io.StringIO()
    with Shown(Console(file=file, force_terminal=True, width=120), clock=clock) as shown:
        work = shown.work("train")
        clock.now = 10
        work(0.5, "step [1]")
    assert re.search(r"train +.*━.* 50%.* step \[1\]", file.getvalue())
    assert "\ntrain" not in file.getvalue()


def test_a_terminal_that_can_draw_no_bars_has_lines(clock: Clock) -> None:
    file, plain = io.StringIO(), {"TERM": "dumb"}
    with Shown(Console(file=file, force_terminal=True, _environ=plain), clock=clock) as shown:
        work = shown.work("train")
        clock.now = 10
        work(0.5, "step 1")
    assert file.getvalue() == "train         50% step 1\n"
