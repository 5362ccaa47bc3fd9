"""Tables of runs joined, cut and read, against what is written in them."""

from pathlib import Path

import numpy as np
import pytest

from mashbill.errors import DataError
from mashbill.mixtures import LossTable, MixtureTable, SweepRuns
from mashbill.mixtures.sweep_runs import read_kept_runs, runs_that_count, write_kept_runs
from mashbill.mixtures.trajectory_table import TrajectoryTable


def runs(index: list[int], losses: list[list[float]], sets: tuple[str, ...] = ("x", "y")) -> SweepRuns:
    """Runs of two domains; the i-th has i tenths of a."""
    weights = np.array([[i / 10, 1 - i / 10] for i in index])
    return SweepRuns(
        MixtureTable(np.array(index), ("a", "b"), weights), LossTable(np.array(index), sets, np.array(losses))
    )


def test_losses_are_joined_by_index_whatever_the_order(tmp_path: Path) -> None:
    (tmp_path / "mixtures.csv").write_text("index,a,b\n3,0.3,0.7\n1,0.1,0.9\n2,0.2,0.8\n")
    (tmp_path / "losses.csv").write_text("index,x\n1,10\n2,20\n3,30\n")
    found = SweepRuns.read(tmp_path)
    assert found.losses.losses[:, 0].tolist() == [30, 10, 20]
    assert found.losses.index.tolist() == found.mixtures.index.tolist() == [3, 1, 2]
    assert found.mixtures.weights[:, 0] == pytest.approx([0.3, 0.1, 0.2])


def test_an_index_in_one_table_alone_is_named_with_how_many_more(tmp_path: Path) -> None:
    (tmp_path / "mixtures.csv").write_text("index,a,b\n1,0.5,0.5\n")
    (tmp_path / "losses.csv").write_text("index,x\n1,1\n5,1\n8,1\n9,1\n")
    with pytest.raises(
        DataError, match=r"mixtures.csv: index 5: is missing, and .*losses.csv has it \(as 2 more\)"
    ):
        SweepRuns.read(tmp_path)


def test_a_run_without_one_of_its_losses_did_not_finish() -> None:
    given = runs([1, 2, 3], [[1, 2], [np.nan, 2], [5, 6]])
    assert given.finished.mixtures.index.tolist() == [1, 3]
    assert given.finished.losses.losses.tolist() == [[1, 2], [5, 6]]
    assert (len(given), len(given.finished)) == (3, 2)


def test_the_target_weighs_the_sets_it_names() -> None:
    given = runs([1, 2], [[1, 2], [3, 5]])
    assert given.target_losses({"y": 0.75, "x": 0.25}).tolist() == [1.75, 4.5]
    assert given.target_losses({"x": 2.0}).tolist() == [2, 6]


def test_two_sweeps_share_the_sets_that_both_measured_and_the_first_ones_domains() -> None:
    others = SweepRuns(
        MixtureTable(np.array([8]), ("b", "a"), np.array([[0.6, 0.4]])),
        LossTable(np.array([8]), ("z", "y"), np.array([[7.0, 9.0]])),
    )
    both = runs([1, 2], [[1, 2], [3, 5]]).and_also(others)
    assert both.losses.columns == ("y",)
    assert both.losses.losses.tolist() == [[2], [5], [9]]
    assert both.mixtures.columns == ("a", "b")
    assert both.mixtures.weights[-1] == pytest.approx([0.4, 0.6])
    assert both.mixtures.index.tolist() == [1, 2, 8]


def test_several_sweeps_count_and_those_that_trained_nothing_are_passed_over(tmp_path: Path) -> None:
    for name, index, loss in (("one", 1, 3.0), ("two", 2, 4.0), ("three", 3, 5.0)):
        (tmp_path / name).mkdir()
        if name != "two":
            runs([index], [[loss, loss]]).write(tmp_path / name)
    found = SweepRuns.read(*(tmp_path / name for name in ("one", "two", "three")))
    assert found.losses.losses[:, 0].tolist() == [3, 5]
    with pytest.raises(DataError, match="run the sweep first"):
        SweepRuns.read(tmp_path / "two")


def test_kept_runs_count_beside_todays_finished_ones(tmp_path: Path) -> None:
    plan, sweep = tmp_path / "plan", tmp_path / "sweep"
    plan.mkdir()
    sweep.mkdir()
    runs([1, 2], [[1, 2], [np.nan, 4]]).write(sweep)
    assert read_kept_runs(plan) is None
    assert runs_that_count(plan, sweep).mixtures.index.tolist() == [1]
    write_kept_runs(runs([9], [[8, 7]]), plan)
    counting = runs_that_count(plan, sweep)
    assert counting.mixtures.index.tolist() == [1, 9]
    assert counting.losses.losses.tolist() == [[1, 2], [8, 7]]


def test_a_table_is_cut_by_rows_and_columns() -> None:
    table = MixtureTable(np.array([3, 5, 7]), ("a", "b", "c"), np.arange(9.0).reshape(3, 3), "m.csv")
    assert table.having(("c", "a")).values.tolist() == [[2, 0], [5, 3], [8, 6]]
    assert table.only(np.array([2, 0])).index.tolist() == [7, 3]
    assert table.row(1) == {"a": 3.0, "b": 4.0, "c": 5.0}
    assert table.place(1, 2) == "m.csv: index 5, column c"
    assert MixtureTable.numbered(("a", "b"), np.full((3, 2), 0.5)).index.tolist() == [0, 1, 2]


def test_three_decimals_are_made_to_sum_to_one(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("index,a,b\n1,0.495,0.495\n2,0.505,0.505\n")
    assert MixtureTable.read(tmp_path / "m.csv").weights == pytest.approx(np.full((2, 2), 0.5))


@pytest.mark.parametrize(
    "text, message",
    [
        ("index,a,b\n1,0.5,0.5\n2,0.48,0.48\n", "index 2: sums to 0.96"),
        ("index,a,a\n1,0.5,0.5\n", "column a: stands twice"),
        ("index\n1\n", "has no column but the index"),
        ("index,a,b\n", "has no rows"),
        ("", "is empty"),
        ("index,a,b\n1,0.5,0.5,0.5\n", "has rows with more cells than the header"),
        ("index,a,b\n,0.5,0.5\n", "row 1: has no index"),
        ("index,a,b\n1,0.5,0.5\nx,0.5,0.5\n", "row 2, column index: is 'x'"),
        ("index,a,b\n1,0.5,0.5\n2,inf,0.5\n", "index 2, column a: is inf"),
    ],
)
def test_a_table_that_cannot_be_is_refused_by_its_place(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        MixtureTable.read(tmp_path / "m.csv")


def test_an_infinite_loss_is_named(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("index,x,y\n1,1,2\n2,1,inf\n")
    with pytest.raises(DataError, match="index 2, column y: is infinite"):
        LossTable.read(tmp_path / "l.csv")


def test_trajectories_are_read_run_by_run(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("index,step,tokens,x,y\n1,5,50,4,3\n2,5,50,6,5\n1,10,100,2,1\n2,10,100,,\n")
    table = TrajectoryTable.read(path)
    assert table.sets == ("x", "y")
    assert {index: rows["x"].tolist()[:1] for index, rows in table.runs().items()} == {1: [4], 2: [6]}
    assert len(table.runs()[1]) == 2
    assert table.target_losses({"x": 0.5, "y": 2.0})[:3].tolist() == [8, 13, 3]
    table.write(tmp_path / "again.csv")
    again = TrajectoryTable.read(tmp_path / "again.csv")
    assert again.frame.equals(table.frame)
    assert TrajectoryTable.of([{"index": 1, "tokens": 5, "x": 2.0}]).sets == ("x",)


@pytest.mark.parametrize(
    "text, message",
    [
        ("step,tokens,x\n1,10,2\n", "has no column index"),
        ("index,step,x\n1,10,2\n", "has no column tokens"),
        ("index,tokens,x\n1,10,2\n2,10,0\n", "index 2, column x: is 0"),
        ("index,tokens,x\n1,10,2\n2,10,-1\n", "index 2, column x: is -1"),
        ("index,tokens,x\n1,10,2\n2,10,inf\n", "index 2, column x: is inf"),
        ("index,tokens,x\n1,10,2\n2,10,z\n", "column x: holds something that is no number"),
    ],
)
def test_a_trajectory_that_cannot_be_is_refused_by_its_place(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        TrajectoryTable.read(tmp_path / "t.csv")


def test_a_run_may_begin_at_no_tokens(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("index,step,tokens,x\n0,0,0,2\n")
    assert TrajectoryTable.read(tmp_path / "t.csv").frame["tokens"].tolist() == [0]
