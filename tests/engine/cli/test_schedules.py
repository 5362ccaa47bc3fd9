"""The regression over loss curves finds the order where there is one, keeps one mixture where not, and goes
on from what was observed."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.phased_law import DOMAINS, SETS, law, write_tables
from builders.shell import mashbill
from mashbill.mixtures import Schedule, ScheduleTable
from mashbill.regression.limits import Limits
from mashbill.regression.trajectories.limits import ScheduleLimits
from mashbill.regression.trajectories.runs import read_phased_runs

TARGET = ["--target", "scarce"]


def run_command(*arguments: object) -> subprocess.CompletedProcess[str]:
    return mashbill("mixtures", "schedule", *arguments)


def answer(tables: list[Path], *arguments: object) -> Any:
    result = run_command("--schedules", tables[0], "--trajectories", tables[1], *TARGET, *arguments, "--json")
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def ordered(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Tables of runs whose last phase counts most, and of what there is of each domain."""
    folder = tmp_path_factory.mktemp("ordered")
    (folder / "tokens.csv").write_text("domain,tokens\nscarce,75000\nplenty,1e6\nother,1e6\n")
    return write_tables(folder, order=True)


def scarcity(tables: list[Path]) -> list[object]:
    """A limit of 30% on the scarce domain, over the whole run."""
    return ["--tokens", 1_000_000, "--available", tables[0].with_name("tokens.csv"), "--max-epochs", 4]


@pytest.mark.slow
def test_what_is_scarce_comes_last_where_the_last_phase_counts_most(
    ordered: list[Path], tmp_path: Path
) -> None:
    facts = answer(ordered, *scarcity(ordered), "--output", tmp_path / "schedule.csv")
    assert facts["taken"]
    assert facts["gain"] > facts["noise"] > 0
    assert (
        facts["cross_validation"]["trajectories"]["spearman"]
        > facts["cross_validation"]["static"]["spearman"]
    )
    chosen = ScheduleTable.read(tmp_path / "schedule.csv").schedule(0)
    assert chosen.as_json() == [{**p, "mixture": pytest.approx(p["mixture"])} for p in facts["schedule"]]
    assert chosen.mean["scarce"] <= 0.3 + 1e-6
    assert chosen.weights[1, 0] > chosen.weights[0, 0] + 0.1
    constant = np.array([[list(facts["constant"].values())] * 2])
    better, worse = (law(w, order=True)[0, -1, 0] for w in (chosen.weights[None], constant))
    assert better < worse
    assert better == pytest.approx(facts["predicted"]["loss"], abs=0.05)


@pytest.mark.slow
def test_without_an_effect_of_order_the_mixture_stays(tmp_path: Path) -> None:
    (tmp_path / "tokens.csv").write_text("domain,tokens\nscarce,75000\nplenty,1e6\nother,1e6\n")
    tables = write_tables(tmp_path, order=False)
    facts = answer(tables, *scarcity(tables), "--output", tmp_path / "schedule.csv")
    assert not facts["taken"]
    assert len(facts["schedule"]) == 1
    assert facts["schedule"][0]["mixture"]["scarce"] <= 0.3 + 1e-6
    assert facts["reason"].endswith("one mixture")
    assert len(pd.read_csv(tmp_path / "schedule.csv")) == 1


@pytest.mark.slow
def test_a_run_under_way_goes_on_from_its_losses(ordered: list[Path], tmp_path: Path) -> None:
    running = Schedule(DOMAINS, np.array([0.5, 0.5]), np.array([[0.1, 0.6, 0.3], [0.1, 0.6, 0.3]]))
    ScheduleTable(np.arange(1), DOMAINS, running.shares[None], running.weights[None]).write(
        tmp_path / "running.csv"
    )
    seen = law(running.weights[None], order=True)[0, 0]
    pd.DataFrame([{"phase": 1, **dict(zip(SETS, seen.tolist(), strict=True))}]).to_csv(
        tmp_path / "seen.csv", index=False
    )
    given = [
        "--running",
        tmp_path / "running.csv",
        "--observed",
        tmp_path / "seen.csv",
        "--output",
        tmp_path / "schedule.csv",
    ]
    facts = answer(ordered, *scarcity(ordered), *given)
    first, last = facts["schedule"]
    assert first["mixture"] == pytest.approx(dict(zip(DOMAINS, (0.1, 0.6, 0.3), strict=True)))
    assert facts["taken"]
    assert last["mixture"]["scarce"] == pytest.approx(
        0.5, abs=0.05
    )  # all that is left: 30% of the run, less what the first half read
    assert facts["mean"]["scarce"] <= 0.3 + 1e-6


def test_runs_that_failed_are_left_out(ordered: list[Path], tmp_path: Path) -> None:
    points = pd.read_csv(ordered[1])
    (tmp_path / "t.csv").write_text(
        points[(points["index"] != 3) & ((points["index"] != 5) | (points["tokens"] < 600_000))].to_csv(
            index=False
        )
    )
    runs = read_phased_runs(ordered[0], tmp_path / "t.csv")
    assert sorted(set(range(24)) - set(runs.index.tolist())) == [3, 5]


@pytest.mark.slow
def test_runs_on_one_mixture_serve_too(tmp_path: Path) -> None:
    tables = write_tables(tmp_path, order=True)
    schedules = ScheduleTable.read(tables[0])
    means = schedules.means()
    means.write(tmp_path / "mixtures.csv")
    losses = law(np.repeat(means.weights[:, None], 2, axis=1), order=True)
    points = pd.read_csv(tables[1])
    points[list(SETS)] = losses.reshape(-1, len(SETS))
    points.to_csv(tables[1], index=False)
    given = ["--phases", 2, "--output", tmp_path / "s.csv"]
    facts = answer([tmp_path / "mixtures.csv", tables[1]], *given)
    assert len(facts["candidate"]) == 2
    result = run_command(
        "--schedules",
        tmp_path / "mixtures.csv",
        "--trajectories",
        tables[1],
        *TARGET,
        "--phases",
        3,
        *given[2:],
    )
    assert (result.returncode, "index 0: was not measured at the end of phase 1" in result.stderr) == (
        2,
        True,
    )


@pytest.mark.parametrize(
    "change, options, fragments",
    [
        (lambda s, t: (s, t.drop(columns="scarce")), [], ["trajectories.csv: column scarce", "is missing"]),
        (lambda s, t: (s, t.assign(plenty=-1.0)), [], ["index 0, column plenty", "is -1"]),
        (lambda s, t: (s, t.drop(columns="tokens")), [], ["has no column tokens"]),
        (
            lambda s, t: (s[s["index"] < 20], t),
            [],
            ["trajectories.csv: index 20", "give the schedules of all runs"],
        ),
        (lambda s, t: (s[s["index"] < 5], t[t["index"] < 5]), [], ["has 5 finished runs", "at least 8"]),
        (
            lambda s, t: (s, pd.concat([t, t[["plenty"]]], axis=1)),
            [],
            ["trajectories.csv: column plenty", "stands twice"],
        ),
        (
            lambda s, t: (pd.concat([s, s[["other"]]], axis=1), t),
            [],
            ["schedules.csv: column other", "stands twice"],
        ),
        (lambda s, t: (s.assign(share=[0.4, 0.6] + [0.5] * 46), t), [], ["column share", "differs"]),
        (
            lambda s, t: (s, t),
            ["--min", "scarce=0.7", "--min", "other=0.6"],
            ["let the floors sum to at most 1"],
        ),
        (lambda s, t: (s, t), ["--max", "nothing=0.6"], ["--max nothing", "is no domain"]),
        (lambda s, t: (s, t), ["--observed", "x.csv"], ["--observed and --running", "go together"]),
    ],
    ids=[
        "target",
        "loss",
        "tokens",
        "index",
        "few",
        "set twice",
        "domain twice",
        "share",
        "floors",
        "domain",
        "observed",
    ],
)
def test_bad_tables_exit_2_with_one_line(
    change: Callable[..., Any], options: list[str], fragments: list[str], ordered: list[Path], tmp_path: Path
) -> None:
    changed = [tmp_path / "schedules.csv", tmp_path / "trajectories.csv"]
    for path, frame in zip(changed, change(*map(pd.read_csv, ordered)), strict=True):
        frame.to_csv(path, index=False)
    output = tmp_path / "schedule.csv"
    result = run_command(
        "--schedules", changed[0], "--trajectories", changed[1], *TARGET, *options, "--output", output
    )
    assert result.returncode == 2
    errors = [line for line in result.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert all(fragment in errors[0] for fragment in fragments), errors[0]
    assert not output.exists()


def simplex(raw: list[float]) -> np.ndarray:
    return np.array(raw) / np.sum(raw)


POSITIVE = st.floats(0.01, 1)


@given(
    st.lists(st.lists(POSITIVE, min_size=4, max_size=4), min_size=3, max_size=3),
    st.lists(POSITIVE, min_size=3, max_size=3),
    st.lists(st.floats(0, 0.2), min_size=4, max_size=4),
    st.lists(st.floats(0.3, 1), min_size=4, max_size=4),
    st.lists(st.floats(0.3, 1), min_size=4, max_size=4),
)
def test_schedules_are_brought_within_their_limits(
    rows: list[list[float]],
    shares: list[float],
    floor: list[float],
    ceiling: list[float],
    repeats: list[float],
) -> None:
    held = Limits(np.array(floor), np.array(ceiling), np.array(repeats))
    limits = ScheduleLimits(simplex(shares), held)
    weights = np.array([simplex(row) for row in rows])[None]
    fitted = limits.apply(weights)
    assert np.allclose(fitted.sum(axis=2), 1)
    assert (fitted >= np.array(floor) - 1e-9).all()
    assert (fitted <= np.array(ceiling) + 1e-6).all()
    assert (np.einsum("p,spd->sd", limits.shares, fitted) <= np.array(repeats) + 1e-6).all()
    assert np.allclose(limits.apply(fitted), fitted, atol=1e-6)
