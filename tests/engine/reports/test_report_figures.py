"""What the report draws lies where its numbers say, and what it sums up is what was measured."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders.choices import write_choice
from builders.corpus import folder_as_artifact
from mashbill.evaluation.record import Evaluation
from mashbill.mixtures import Choice, LossTable, MixtureTable, Prediction, ScheduleChoice, SweepRuns
from mashbill.mixtures.sweep_runs import write_kept_runs
from mashbill.reports import figures
from mashbill.reports.gather import Facts, summary
from mashbill.reports.report import sampled

CHOSEN, NATURAL = figures.COLORS["chosen"], figures.COLORS["natural"]


def bars(svg: str, color: str) -> list[float]:
    """Widths of the filled boxes of a colour, in the order they were drawn."""
    boxes = re.findall(rf'<path d="M (\S+) [^"]*?L (\S+) [^"]*"[^>]*style="fill: {color}"', svg)
    return [float(right) - float(left) for left, right in boxes]


def dots(svg: str, color: str) -> list[tuple[float, float]]:
    """Places of the filled marks of a colour."""
    found = re.findall(rf'<use [^>]*x="(\S+)" y="(\S+)" style="fill: {color};[^"]*stroke: {color}', svg)
    return [(float(x), float(y)) for x, y in found]


def texts(svg: str) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


def test_bars_are_as_long_as_the_weights_and_the_largest_choice_is_on_top() -> None:
    rows = [
        {"name": "web", "chosen": 0.2, "natural": 0.6},
        {"name": "books", "chosen": 0.7, "natural": 0.3},
        {"name": "code", "chosen": 0.1, "natural": 0.1},
    ]
    svg = figures.mixture_bars(rows)
    chosen, natural = (np.array(bars(svg, color)[:3]) for color in (CHOSEN, NATURAL))
    assert chosen / chosen.sum() == pytest.approx([0.1, 0.2, 0.7], abs=1e-3)  # from the bottom
    assert natural / natural.sum() == pytest.approx([0.1, 0.6, 0.3], abs=1e-3)
    assert [text for text in texts(svg) if text in ("web", "books", "code")] == ["code", "web", "books"]


def test_a_loss_is_drawn_where_it_is_and_its_interval_around_it() -> None:
    rows = [
        {"name": "chosen", "loss": 2.0, "interval": (1.8, 2.2), "measured": 2.5},
        {"name": "natural", "loss": 3.0, "interval": (2.9, 3.1), "measured": None},
    ]
    svg = figures.predicted_and_measured(rows)
    (chosen, y), (natural, below) = dots(svg, CHOSEN)[0], dots(svg, NATURAL)[0]
    assert chosen < natural
    assert y < below  # the first row is on top
    spans = re.findall(r'<path d="M (\S+) \S+\s+L (\S+) [^"]*"[^>]*stroke-width: 5', svg)
    (low, high), (first, last) = [tuple(map(float, span)) for span in spans]  # natural, then chosen
    scale = natural - chosen
    assert (high - low) / scale == pytest.approx(0.2, abs=1e-3)
    assert ((first + last) / 2 - chosen) / scale == pytest.approx(0, abs=1e-3)
    assert (last - first) / scale == pytest.approx(0.4, abs=1e-3)
    hollow = re.findall(rf'<use [^>]*x="(\S+)" y="(\S+)" style="fill-opacity: 0; stroke: {CHOSEN}', svg)
    assert (float(hollow[0][0]) - chosen) / scale == pytest.approx(0.5, abs=1e-3)


def test_predictions_are_drawn_against_what_was_measured() -> None:
    svg = figures.prediction_scatter([1.0, 2.0, 3.0], [1.0, 2.5, 2.0])
    places = np.array(dots(svg, CHOSEN))
    across = np.diff(places[:, 0])
    assert across[0] == pytest.approx(across[1])
    up = -np.diff(places[:, 1])
    assert up[0] > 0 > up[1]
    assert up[0] / -up[1] == pytest.approx(3, abs=1e-3)
    assert "measured, bits per byte" in texts(svg)


def facts(folder: Path, **given: Any) -> Facts:
    """Facts of a choice, with what a test is about."""
    write_choice(
        folder,
        {"a": 0.8, "b": 0.2},
        {"r": 1.0},
        beside={"natural": {"a": 0.5, "b": 0.5}, "own": {"a": 1, "b": 0}},
    )
    evaluation = Evaluation(
        models={},
        predicted={"chosen": 3.0, "natural": 3.1},
        measured={"chosen": 2.7, "natural": 2.9},
        gain_predicted=0.1,
        gain_measured=0.2,
        schedule_gain_measured=None,
    )
    found = dict.fromkeys(Facts.__dataclass_fields__)
    found |= {"choice": Choice.read(folder), "evaluation": evaluation, "stages": []}
    found |= {"schedule": ScheduleChoice.stays({"a": 0.8, "b": 0.2}, "one phase"), **given}
    return Facts(**found)  # type: ignore[arg-type]


def test_predictions_stand_beside_what_was_measured_of_the_same_mixture(tmp_path: Path) -> None:
    found = facts(tmp_path)
    rows = {row["name"]: row for row in found.predicted_against_measured}
    assert {name: row["measured"] for name, row in rows.items()} == {
        "chosen": 2.7,
        "natural": 2.9,
        "own": None,
    }
    assert rows["chosen"]["loss"] == 3.0
    assert rows["chosen"]["interval"] == (2.9, 3.1)
    assert found.weights == [
        {"name": "a", "chosen": 0.8, "natural": 0.5},
        {"name": "b", "chosen": 0.2, "natural": 0.5},
    ]


def test_a_schedule_that_is_taken_stands_beside_the_choice(tmp_path: Path) -> None:
    stays = ScheduleChoice.stays({"a": 0.8, "b": 0.2}, "one phase")
    taken = stays.model_copy(update={"taken": True, "predicted": Prediction(loss=2.5, interval=(2.4, 2.6))})
    rows = facts(tmp_path, schedule=taken).predicted_against_measured
    assert [row["name"] for row in rows] == ["chosen", "scheduled", "natural", "own"]
    assert rows[1]["loss"] == 2.5


def test_the_summary_is_what_the_models_measured(tmp_path: Path) -> None:
    stages = [{"name": "sweep", "counts": {"proxies": 4}}]
    short = summary(facts(tmp_path, stages=stages))
    assert short.measured == {"chosen": 2.7, "natural": 2.9}
    assert short.predicted == {"chosen": 3.0, "natural": 3.1}
    assert (short.gain_predicted, short.gain_measured, short.schedule_gain_measured) == (0.1, 0.2, None)
    assert short.mixture == {"a": 0.8, "b": 0.2}
    assert short.counts == {"sweep": {"proxies": 4}}


def test_runs_are_drawn_by_where_they_come_from(tmp_path: Path) -> None:
    def runs(index: int, loss: float, domains: tuple[str, ...] = ("a", "b")) -> SweepRuns:
        return SweepRuns(
            MixtureTable(np.array([index]), domains, np.array([[0.3, 0.7]])),
            LossTable(np.array([index]), ("x", "y"), np.array([[loss, 1.0]])),
        )

    for stage in ("plan", "sweep", "refine"):
        (tmp_path / stage).mkdir()
    write_kept_runs(runs(9, 4.0, ("b", "a")), tmp_path / "plan")
    runs(0, 2.0).write(tmp_path / "sweep")
    inputs = {stage: folder_as_artifact(stage, tmp_path / stage) for stage in ("plan", "sweep", "refine")}
    domains, found = sampled(inputs, {"x": 0.5, "y": 1.0})
    assert domains == ("a", "b")
    assert {name: loss.tolist() for name, (_, loss) in found.items()} == {"earlier": [3.0], "sweep": [2.0]}
    assert found["earlier"][0].tolist() == [[0.7, 0.3]]
    assert found["sweep"][0].tolist() == [[0.3, 0.7]]
    runs(100_000, 6.0).write(tmp_path / "refine")
    inputs["refine"] = folder_as_artifact("refine", tmp_path / "refine")
    assert sampled(inputs, {"x": 1.0})[1]["rounds"][1].tolist() == [6.0]
