"""The band that a training is told: the forecast's of the same choice and the same run, or none."""

from dataclasses import replace
from pathlib import Path

import pytest

from builders.choices import write_choice
from builders.forecasts import FINAL, write_forecast
from builders.small_training import small_training
from mashbill.artifacts import StageRun
from mashbill.mixtures import Budget
from mashbill.mixtures.forecast import Band
from mashbill.training.budget import forecast as recipe_of
from mashbill.training.expected import expected_band


@pytest.fixture
def run(tmp_path: Path) -> StageRun:
    config = small_training(tmp_path)
    for name in ("mix", "output", "scratch"):
        (tmp_path / name).mkdir()
    mix = write_choice(tmp_path / "mix", {"a": 0.6, "b": 0.4}, {"r": 1.0})
    places = {"output": tmp_path / "output", "scratch": tmp_path / "scratch"}
    return StageRun.here(config, {"mix": mix}, progress=lambda *_: None, **places)


@pytest.fixture
def figures(run: StageRun) -> Budget:
    return recipe_of(run.config)


def written(run: StageRun, figures: Budget, **changes: object) -> None:
    ours = {"parameters": figures.parameters, "steps": figures.steps, "batch_tokens": figures.batch_tokens}
    given = {"mix": run.inputs["mix"].address, **ours, **changes}
    write_forecast(Path(run.config.resolve(run.config.artifacts)), **given)


def test_a_run_is_told_the_band_of_its_forecast_as_plain_json(run: StageRun, figures: Budget) -> None:
    assert expected_band(run, "chosen", figures) is None  # there is none yet
    written(run, figures)
    found = expected_band(run, "chosen", figures)
    assert Band.model_validate(found) == FINAL.band
    assert expected_band(run, "natural", figures) is None  # the forecast is of the choice


def test_a_run_that_goes_on_from_other_weights_is_told_none(run: StageRun, figures: Budget) -> None:
    written(run, figures)
    training = run.config.training.model_copy(update={"initial": "s3://models/first"})
    continued = replace(run, config=run.config.model_copy(update={"training": training}))
    assert expected_band(continued, "chosen", figures) is None


@pytest.mark.parametrize(
    "change",
    [
        {"mix": "another/mix"},
        {"parameters": 1},
        {"steps": 7},
        {"batch_tokens": 8},
        {"final": None, "refused": "forecast: too far; raise forecast.largest"},
        {"final": FINAL.model_copy(update={"band": None, "curve": None})},
    ],
    ids=["another choice", "another size", "longer", "another batch", "refused", "no curve"],
)
def test_a_forecast_of_anything_else_tells_nothing(
    run: StageRun, figures: Budget, change: dict[str, object]
) -> None:
    written(run, figures, **change)
    assert expected_band(run, "chosen", figures) is None


def test_of_several_the_one_that_was_begun_last_is_told(run: StageRun, figures: Budget) -> None:
    later = Band(steps=(1,), expected=(3.0,), low=(2.0,), high=(4.0,))
    newest = FINAL.model_copy(update={"band": later})
    written(run, figures, started="2026-01-02", final=newest)
    written(run, figures, started="2026-01-01")
    written(run, figures, started="2026-01-03", mix="another/mix")
    assert Band.model_validate(expected_band(run, "chosen", figures)) == later


def test_a_forecast_that_cannot_be_read_stops_no_training(
    run: StageRun, figures: Budget, caplog: pytest.LogCaptureFixture
) -> None:
    written(run, figures)
    (path,) = Path(run.config.resolve(run.config.artifacts)).rglob("forecast.json")
    path.write_text("{}")
    assert expected_band(run, "chosen", figures) is None
    assert "no forecast to hold the run against" in caplog.text
