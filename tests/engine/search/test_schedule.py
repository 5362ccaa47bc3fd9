"""Schedules sum to one, survive a file and name what is wrong with it; plans spread mixtures over phases and
proxies follow them."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.choices import write_choice
from builders.corpus import SMALL_SWEEP, easy_and_hard, run_stage
from mashbill.artifacts import Artifact
from mashbill.config import PipelineConfig, PlanConfig
from mashbill.errors import DataError
from mashbill.mixtures import MixtureTable, Schedule, ScheduleTable
from mashbill.mixtures.design import spread_over_phases


@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=8), st.integers(2, 5), st.integers(0, 10**6))
def test_a_spread_mixture_keeps_its_amounts(proportions: list[float], phases: int, seed: int) -> None:
    mixture = np.array(proportions) / sum(proportions)
    config = PlanConfig(phases=phases)
    spread = spread_over_phases(np.stack([mixture, mixture]), config, seed)
    assert spread.shape == (2, phases, len(mixture))
    assert np.allclose(spread.sum(axis=2), 1)
    assert np.allclose(spread.mean(axis=1), mixture, atol=1e-3)
    assert (spread >= 0).all()
    assert not np.allclose(spread[0], spread[1])


@given(st.lists(st.floats(0.05, 1), min_size=1, max_size=5), st.integers(1, 10_000))
def test_phases_end_in_order_and_at_the_end(shares: list[float], length: int) -> None:
    schedule = Schedule(("a",), np.array(shares) / sum(shares), np.ones((len(shares), 1)))
    ends = schedule.ends(length)
    assert ends == sorted(ends)
    assert ends[-1] == length
    assert np.abs(np.array(ends) - np.cumsum(schedule.shares) * length).max() <= 0.5 + 1e-6


def test_a_table_survives_a_file(tmp_path: Path) -> None:
    weights = spread_over_phases(np.array([[0.2, 0.8], [0.7, 0.3]]), PlanConfig(phases=3), 0)
    table = ScheduleTable(
        np.array([4, 9]), ("a", "b"), np.array([[0.2, 0.3, 0.5], [0.5, 0.25, 0.25]]), weights
    )
    table.write(tmp_path / "s.csv")
    assert pd.read_csv(tmp_path / "s.csv").columns.tolist() == ["index", "phase", "share", "a", "b"]
    again = ScheduleTable.read(tmp_path / "s.csv")
    assert again.index.tolist() == [4, 9]
    assert np.allclose(again.weights, weights)
    assert np.allclose(again.means().weights, np.einsum("sp,spd->sd", table.shares, weights))
    one = again.schedule(1)
    assert Schedule.from_json(json.loads(json.dumps(one.as_json()))).mean == pytest.approx(one.mean)


def test_a_table_of_mixtures_reads_as_schedules_of_one_phase(tmp_path: Path) -> None:
    MixtureTable(np.arange(2), ("a", "b"), np.array([[0.2, 0.8], [0.7, 0.3]])).write(tmp_path / "m.csv")
    table = ScheduleTable.read(tmp_path / "m.csv")
    assert table.weights.tolist() == [[[0.2, 0.8]], [[0.7, 0.3]]]
    assert table.shares.tolist() == [[1.0], [1.0]]


HEAD = "index,phase,share,a,b\n"


@pytest.mark.parametrize(
    "text, message",
    [
        (HEAD + "1,1,0.5,0.5,0.5\n1,2,0.7,1,0\n", "index 1, column share: sums to 1.2; make it sum to 1"),
        (HEAD + "1,1,0.5,0.5,0.6\n1,2,0.5,1,0\n", "index 1, phase 1: sums to 1.1"),
        (
            HEAD + "1,1,0.5,0.5,0.5\n1,3,0.5,1,0\n",
            "index 1: has phases 1, 3; give every index each of the phases 1 to 3",
        ),
        (HEAD + "1,1,0.5,1,0\n1,2,0.5,1,0\n2,1,1,1,0\n", "index 2: has phases 1;"),
        (HEAD + "1,1,1,-1,2\n", "index 1, phase 1, column a: is -1"),
        (HEAD + "1,1,0,1,0\n", "column share: is 0"),
        (HEAD + "1,1,1,x,0\n", "column a: holds something that is no number"),
        (HEAD, "has no rows"),
        ("index,phase,a,b\n1,1,1,0\n", "has no column share"),
    ],
)
def test_a_wrong_table_is_named(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        ScheduleTable.read(tmp_path / "s.csv")


CONFIG = (
    SMALL_SWEEP
    + """phases = 2
[sweep]
tokens = 10000
evaluations = 3
[mix]
target = { easy = 1.0 }
"""
)


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[PipelineConfig, dict[str, Artifact]]:
    return easy_and_hard(tmp_path_factory.mktemp("phased"), CONFIG, then=("plan", "sweep"))


Swept = tuple[PipelineConfig, dict[str, Artifact]]


def test_proxies_follow_their_schedules_and_are_measured_at_every_phase_end(swept: Swept) -> None:
    _, done = swept
    schedules = ScheduleTable.read(done["plan"].path / "schedules.csv")
    means = MixtureTable.read(done["plan"].path / "mixtures.csv")
    assert np.allclose(schedules.means().weights, means.weights, atol=1e-3)
    points = pd.read_csv(done["sweep"].path / "trajectories.csv")
    steps = points[points["index"] == 0]["step"].tolist()
    assert len(steps) == 4  # three evaluations, one of them at the end, and the end of the first phase
    assert set(schedules.schedule(0).ends(steps[-1])) <= set(steps)
    fuller = int(np.argmax(schedules.weights[:, 0, 0]))  # most of the easy text at first
    emptier = int(np.argmin(schedules.weights[:, 0, 0]))
    middle = points[points["step"] == schedules.schedule(0).ends(steps[-1])[0]].set_index("index")["easy"]
    assert middle[fuller] < middle[emptier]


def test_with_one_phase_the_chosen_mixture_stays(swept: Swept, tmp_path: Path) -> None:
    config, done = swept
    mixture = {"easy": 0.25, "hard": 0.75}
    off = run_stage(config, "schedule", {**done, "mix": write_choice(tmp_path, mixture, {"easy": 1.0})})
    assert off.manifest.counts == {"phases": 1, "taken": False}
    assert ScheduleTable.read(off.path / "schedule.csv").schedule(0).as_json() == [
        {"share": 1.0, "mixture": mixture}
    ]
