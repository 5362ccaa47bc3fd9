"""The band of a forecast, as the guard of a training reads it."""

import json
from pathlib import Path

import pytest

from mashbill.errors import DataError
from mashbill.mixtures.forecast import Band, Forecast

BAND = Band(steps=(10, 100, 1_000), expected=(4.0, 3.0, 2.0), low=(3.5, 2.8, 1.9), high=(4.5, 3.2, 2.1))


def test_at_its_steps_the_band_is_what_was_written() -> None:
    assert [BAND.band_at(step) for step in BAND.steps] == [
        pytest.approx((3.5, 4.5)),
        pytest.approx((2.8, 3.2)),
        pytest.approx((1.9, 2.1)),
    ]


def test_between_its_steps_it_goes_straight_in_logarithms() -> None:
    found = BAND.band_at(316)
    assert found == pytest.approx(((2.8 * 1.9) ** 0.5, (3.2 * 2.1) ** 0.5), rel=1e-3)
    lows = [found[0] for step in range(10, 1_001) if (found := BAND.band_at(step))]
    assert lows == sorted(lows, reverse=True)
    assert len(lows) == 991


@pytest.mark.parametrize("step", [0, 1, 9, 1_001, 10**9, -5])
def test_of_other_steps_it_says_nothing(step: int) -> None:
    assert BAND.band_at(step) is None


def test_a_band_of_one_step_or_none() -> None:
    one = Band(steps=(7,), expected=(2.0,), low=(1.9,), high=(2.1,))
    assert one.band_at(7) == (1.9, 2.1)
    assert one.band_at(6) is None
    assert Band(steps=(), expected=(), low=(), high=()).band_at(7) is None


def test_it_comes_back_from_plain_json() -> None:
    assert Band.model_validate(json.loads(json.dumps(BAND.model_dump(mode="json")))) == BAND


def test_a_record_that_is_none_is_refused_in_a_line(tmp_path: Path) -> None:
    (tmp_path / Forecast.FILE).write_text('{"mixture": "chosen"}')
    with pytest.raises(DataError, match=r"forecast.json: cannot be read .*; rerun"):
        Forecast.read(tmp_path)
