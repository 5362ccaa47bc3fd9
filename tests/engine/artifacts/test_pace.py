"""What is told of work while it goes on is what a watch says."""

import pytest

from mashbill.artifacts import Pace
from mashbill.artifacts.pace import duration


def test_pace_tells_what_is_done_how_fast_and_how_long_the_rest_takes() -> None:
    now = iter([100.0, 110.0, 120.0, 140.0])
    pace = Pace(4, clock=lambda: next(now))
    assert pace.after(20_000_000) == "1 of 4 partitions, 2 MB/s, 30 s left"
    assert pace.after(60_000_000) == "2 of 4 partitions, 4 MB/s, 20 s left"
    assert pace.after(0) == "3 of 4 partitions, 2 MB/s, 13 s left"


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (89, "89 s"), (90, "2 min"), (5_399, "90 min"), (12_600, "3.5 h")]
)
def test_a_time_is_told_as_a_person_does(seconds: float, words: str) -> None:
    assert duration(seconds) == words
