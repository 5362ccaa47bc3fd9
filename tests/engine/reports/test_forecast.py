"""The report's forecast: drawn where its numbers lie, and held against what was measured."""

import re
from typing import Any

import numpy as np
import pytest
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from builders.forecasts import FINAL, forecast_of
from mashbill.reports import figures
from mashbill.reports.report import TEMPLATES


def page(measured: dict[str, float], continued: str | None = None, **changes: Any) -> str:
    """What the report says of a forecast, in one line."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["thousands"] = lambda value: f"{value:,.0f}"
    drawn = {"forecast": "<svg/>"}
    text = environment.get_template("forecast.html").render(
        forecast=forecast_of(**changes),
        evaluation={"measured": measured},
        figures=drawn,
        continued=continued,
    )
    return " ".join(re.sub("<[^>]*>", " ", text).split())


def test_fact_stands_beside_forecast() -> None:
    assert "It came to 1.5300, 2.0% above, within the interval." in page({"chosen": 1.53})
    assert "It came to 1.4400, 4.0% below, outside the interval." in page({"chosen": 1.44, "natural": 1.5})
    assert "It came to" not in page({"natural": 1.5})
    assert "a final loss of 1.5000 bits per byte of the target, with 90% between 1.4500 and 1.5500" in page(
        {}
    )


def test_what_weakens_it_is_said_and_escaped() -> None:
    said = page({}, cautions=("far <b>out",), unknown=("other weights", "other text"))
    assert "Far &lt;b&gt;out." in said
    assert "A forecast cannot know: other weights; other text." in said


def test_a_training_that_went_on_from_other_weights_is_told_beside_it() -> None:
    said = page({}, continued="s3://models/<first>")
    assert "went on from the weights of s3://models/&lt;first&gt;, which no run of the forecast knew" in said
    assert "went on from" not in page({}, continued=None)
    assert "went on from" in page({}, continued="first", final=None, refused="2 sizes finished")
    held = page({"chosen": 1.53}, continued="first")
    assert "It came to 1.5300, 2.0% above." in held
    assert "within the interval" not in held


def test_a_refusal_is_said_and_what_was_switched_off_is_not() -> None:
    refused = {"final": None, "refused": "forecast: 2 sizes finished"}
    assert page({}, **refused) == "No forecast of the final loss: forecast: 2 sizes finished."
    assert page({}, **refused, runs=()) == ""


def test_the_band_is_drawn_between_its_losses_and_the_measured_ones_where_they_are() -> None:
    assert FINAL.band is not None
    svg = figures.forecast_band(FINAL.band, 512, [(25 * 512, 2.0), (125 * 512, 1.5)])
    marks = re.findall(rf'<use [^>]*x="(\S+)" y="(\S+)" style="fill: {figures.COLORS["chosen"]}', svg)
    (left, high), (right, low) = [tuple(map(float, mark)) for mark in marks[:2]]
    assert left < right
    assert high < low  # a lower loss lies lower
    (band,) = re.findall(r'id="FillBetween[^"]*">\s*<defs>\s*<path [^>]*d="([^"]*)"', svg)
    corners = np.array(re.findall(r"[-\d.]+", band), float).reshape(-1, 2)
    scale = (low - high) / 0.5  # pixels a bit
    assert np.ptp(corners[:, 1]) / scale == pytest.approx(2.1 - 1.45, abs=0.01)
