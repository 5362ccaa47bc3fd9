"""``mashbill forecast``, and what ``train --dry-run`` shows of it: tables, JSON, or one line."""

import json
from pathlib import Path

import pytest

from builders.forecasts import FINAL, write_forecast
from builders.small_training import small_training
from mashbill.cli import recipe
from mashbill.cli.forecast import finished_forecast, forecast_words, read_pairs
from mashbill.config import PipelineConfig
from mashbill.errors import DataError
from mashbill.mixtures import Forecast
from mashbill.models.sizes import parameter_count
from mashbill.training.budget import forecast as figures


@pytest.fixture
def config(tmp_path: Path) -> PipelineConfig:
    return small_training(tmp_path)


def foretold(config: PipelineConfig, **changes: object) -> Forecast:
    """A forecast of the config's final model among its artifacts, but for what is changed."""
    training, found = config.training, figures(config)
    values = {
        "parameters": found.parameters,
        "steps": found.steps,
        "batch_tokens": found.batch_tokens,
        "tokens": found.steps * found.batch_tokens,
        "learning_rate": training.learning_rate,
    }
    return write_forecast(Path(config.resolve(config.artifacts)), **{**values, **changes})


def shown(
    config: PipelineConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str], *, as_json: bool
) -> str:
    recipe.print_dry_run(tmp_path / "config.toml", [], None, as_json=as_json)
    return capsys.readouterr().out


def test_a_dry_run_shows_the_forecast_that_is_there(
    config: PipelineConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "forecast" not in json.loads(shown(config, tmp_path, capsys, as_json=True))
    written = foretold(config)
    assert json.loads(shown(config, tmp_path, capsys, as_json=True))["forecast"] == json.loads(
        json.dumps(written.as_json())
    )
    page = shown(config, tmp_path, capsys, as_json=False)
    assert "1.5000" in page
    assert "1.4500 to 1.5500" in page


@pytest.mark.parametrize(
    "change", [{"parameters": 5}, {"batch_tokens": 7}, {"learning_rate": 0.5}, {"tokens": 640_000}]
)
def test_a_forecast_of_another_model_is_not_shown_and_said(
    change: dict[str, object], config: PipelineConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    foretold(config, **change)
    parameters = parameter_count(config.training.model, 300)
    assert finished_forecast(config, parameters) is None
    assert "is a forecast of another model" in capsys.readouterr().err


def test_artifacts_elsewhere_are_not_looked_at_for_a_dry_run(config: PipelineConfig) -> None:
    assert finished_forecast(config.model_copy(update={"artifacts": "s3://nowhere/at-all"}), 1) is None


def test_the_tables_hold_the_law_the_band_and_what_is_unknown(config: PipelineConfig) -> None:
    words = list(forecast_words(foretold(config, cautions=("far out",), unknown=("other weights",))))
    assert words[-2:] == ["caution: far out", "unknown: other weights"]
    law, steps = words[:2]
    assert law.row_count == 6
    cells = [list(column.cells) for column in steps.columns]
    assert cells[0][-1] == "125"
    assert [cells[i][-1] for i in (1, 2, 3)] == ["1.5000", "1.4500", "1.5500"]


def test_a_refusal_is_a_sentence(config: PipelineConfig) -> None:
    refused = foretold(config, final=None, refused="forecast: 2 sizes finished; raise forecast.sizes")
    assert list(forecast_words(refused)) == ["no forecast: forecast: 2 sizes finished; raise forecast.sizes"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no row"),
        ("loss,error\n", "has no row"),
        ("loss\n3.0\n", "has no column error"),
        ("error\n3.0\n", "has no column loss"),
        ("loss,error\n3.0,0.5\n3.1,\n", "line 3: holds no two numbers"),
        ("loss,error\n3.0\n", "line 2: holds no two numbers"),
        ("loss,error\nthree,0.5\n", "line 2: holds no two numbers"),
    ],
)
def test_pairs_that_are_none_are_refused_with_their_line(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=words):
        read_pairs(path)


def test_pairs_are_read_whatever_stands_beside_them(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("model,error,loss\nx,0.5,3.0\ny,0.4,2.5\n")
    assert read_pairs(path) == [(3.0, 0.5), (2.5, 0.4)]
    assert FINAL.loss == 1.5
