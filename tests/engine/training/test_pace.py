"""The line that says how far a training is, and amounts as a person reads them."""

import pytest

from mashbill.training import amounts
from mashbill.training.pace import Pace

BATCH = 524_288


def pace(peak: float | None = 989.4e12) -> Pace:
    return Pace(steps=48_000, batch_tokens=BATCH, flops_per_token=7.314e9, peak_flops=peak, processors=8)


def test_the_line_says_step_loss_speed_mfu_and_what_is_left() -> None:
    found = pace(peak=914e12)
    for _ in range(10):
        found.took(BATCH / 412_000)
    assert found.words(1_200, 2.7123) == (
        "step 1200 of 48,000, loss 2.71, 412k tokens/s, 41.2% MFU, 16 h 33 min left"
    )


def test_what_is_not_known_is_left_out() -> None:
    assert pace().words(0, 10.5) == "step 0 of 48,000, loss 10.50"
    unknown = pace(peak=None)
    unknown.took(1.0)
    assert unknown.words(47_999, 2.0) == "step 47,999 of 48,000, loss 2.00, 524k tokens/s, 1 s left"
    assert unknown.words(48_000, 2.0).endswith("0 s left")


def test_the_time_left_is_that_of_the_last_steps_whatever_came_before() -> None:
    resumed = pace()
    resumed.took(300.0)  # the first step of a process compiles and waits
    for _ in range(4):
        resumed.took(2.0)
    assert resumed.seconds_left(47_000) == 2_000.0
    for _ in range(60):
        resumed.took(1.0)
    assert resumed.seconds_left(47_000) == 1_000.0


@pytest.mark.parametrize(
    "seconds, words",
    [
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (61, "1 min 1 s"),
        (3_599.7, "1 h"),
        (55_200, "15 h 20 min"),
        (57_600, "16 h"),
        (86_399, "24 h"),
        (86_400, "1 d"),
        (273_600, "3 d 4 h"),
    ],
)
def test_durations_have_their_two_largest_units(seconds: float, words: str) -> None:
    assert amounts.duration(seconds) == words


def test_amounts_are_read_by_people() -> None:
    assert amounts.size(17.6e9) == "17.6 GB"
    assert amounts.size(999_600_000) == "1.00 GB"
    assert amounts.size(12) == "12 bytes"
    assert amounts.flops(1.8285e20) == "1.83e20 FLOP"
    assert amounts.short(412_345) == "412k"
    assert amounts.short(1_100_048_384) == "1.10B"
    assert amounts.short(999_700) == "1.00M"
    assert (amounts.count(1_200), amounts.count(48_000)) == ("1200", "48,000")
    assert (amounts.rate(1.06e-3), amounts.rate(1e-5), amounts.rate(0.0)) == ("1.06e-3", "1e-5", "0")
