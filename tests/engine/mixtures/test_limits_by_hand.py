"""Limits, bundles and schedules on numbers that a hand can check."""

from pathlib import Path

import numpy as np
import pytest

from mashbill.config import PlanConfig
from mashbill.errors import ConfigError, DataError
from mashbill.mixtures import Schedule, ScheduleChoice, ScheduleTable, epoch_ceiling, within_ceiling
from mashbill.mixtures.bundle import bundle_domains
from mashbill.mixtures.design import spread_over_phases
from mashbill.mixtures.mixture import MixtureTable
from mashbill.mixtures.plan import MixturePlan
from mashbill.mixtures.reuse import Reuse, read_bundle, write_bundle


def test_what_is_over_a_ceiling_goes_to_the_others_in_proportion() -> None:
    given = np.array([[0.6, 0.3, 0.1], [0.2, 0.4, 0.4]])
    found = within_ceiling(given, np.array([0.2, 1.0, 1.0]))
    assert found == pytest.approx(np.array([[0.2, 0.6, 0.2], [0.2, 0.4, 0.4]]))


def test_what_overflows_from_one_ceiling_to_the_next_is_passed_on() -> None:
    """0.4 over goes 3 to 1; the second may take 0.1 of its 0.3, and the third gets the rest."""
    found = within_ceiling(np.array([[0.6, 0.3, 0.1]]), np.array([0.2, 0.4, 1.0]))
    assert found[0] == pytest.approx([0.2, 0.4, 0.4])


def test_domains_without_weight_take_over_by_the_room_they_have() -> None:
    found = within_ceiling(np.array([[1.0, 0.0, 0.0]]), np.array([0.4, 0.6, 0.3]))
    assert found[0] == pytest.approx([0.4, 0.4, 0.2])


def test_mixtures_are_brought_under_a_ceiling_each_for_itself() -> None:
    given = np.random.default_rng(0).dirichlet(np.ones(5), 30)
    ceiling = np.array([0.1, 0.3, 0.25, 0.2, 0.4])
    together = within_ceiling(given, ceiling)
    alone = np.concatenate([within_ceiling(row[None], ceiling) for row in given])
    assert together == pytest.approx(alone)
    assert (together <= ceiling + 1e-9).all()
    assert together.sum(axis=1) == pytest.approx(np.ones(30))
    order = [3, 0, 4, 1, 2]
    assert within_ceiling(given[:, order], ceiling[order]) == pytest.approx(together[:, order])


def test_epochs_limit_what_is_scarce_and_leave_what_there_is_enough_of() -> None:
    assert epoch_ceiling(np.array([50, 25, 400]), 200, 2).tolist() == [0.5, 0.25, 1.0]
    assert epoch_ceiling(np.array([60, 40]), 100, 1).tolist() == [0.6, 0.4]  # just enough
    with pytest.raises(ConfigError, match=r"training\.epochs: allows 99 tokens where the run needs 100"):
        epoch_ceiling(np.array([59, 40]), 100, 1, where="training.epochs")


DOMAINS = ("a", "b", "c", "d")


def test_a_bundle_keeps_its_ratios_and_frees_the_rest() -> None:
    bundle = bundle_domains(DOMAINS, {"a": 0.2, "b": 0.6, "d": 0.2}, revised=["d"])
    assert bundle.ratios == pytest.approx([0.25, 0.75, 0, 0])
    assert bundle.names == ("(kept)", "c", "d")
    full = bundle.expand(np.array([[0.4, 0.5, 0.1]]))
    assert full[0] == pytest.approx([0.1, 0.3, 0.5, 0.1])
    assert bundle.reduce(np.array([0.1, 0.3, 0.5, 0.1])) == pytest.approx([0.4, 0.5, 0.1])


def test_a_bundle_is_within_the_limits_of_every_domain_in_it() -> None:
    bundle = bundle_domains(DOMAINS, {"a": 0.25, "b": 0.75})
    least, most = bundle.limits(np.array([0.1, 0.15, 0.05, 0.0]), np.array([0.2, 0.45, 0.5, 1.0]))
    assert least == pytest.approx(
        [0.4, 0.05, 0.0]
    )  # a's floor of 0.1 asks for 0.4 of the bundle, b's for 0.2
    assert most == pytest.approx([0.6, 0.5, 1.0])  # b's ceiling of 0.45 allows 0.6, a's 0.8
    most_of_all = bundle.limits(np.zeros(4), np.ones(4))[1]
    assert most_of_all == pytest.approx([1, 1, 1])
    with pytest.raises(ConfigError, match="leave no mixture within the limits"):
        bundle.limits(np.array([0.2, 0, 0, 0]), np.array([1, 0.5, 1, 1]))  # 0.8 at least, 0.67 at most
    with pytest.raises(ConfigError, match="leave no mixture within the limits"):
        bundle.limits(np.zeros(4), np.array([0.1, 1, 0.3, 0.2]))  # 0.4 + 0.3 + 0.2 in all


def test_a_floor_of_a_domain_that_a_bundle_leaves_out_is_named() -> None:
    bundle = bundle_domains(DOMAINS, {"a": 0.5, "b": 0.5, "c": 0.0})
    with pytest.raises(ConfigError, match="leave c out, which has a floor"):
        bundle.limits(np.array([0, 0, 0.1, 0]), np.ones(4))


def test_a_bundle_of_one_domain_is_none() -> None:
    with pytest.raises(ConfigError, match="fewer than two unchanged domains"):
        bundle_domains(DOMAINS, {"a": 0.5, "b": 0.5}, revised=["b"])
    with pytest.raises(ConfigError, match=r"--revised lost: is no domain of today; choose among a, b, c, d"):
        bundle_domains(DOMAINS, {"a": 0.5, "b": 0.5}, revised=["lost"])
    assert bundle_domains(DOMAINS, {"a": 0.5, "b": 0.5}).free.tolist() == [2, 3]


def test_a_bundle_survives_a_round_trip(tmp_path: Path) -> None:
    bundle = bundle_domains(DOMAINS, {"a": 0.2, "b": 0.6, "c": 0.2})
    write_bundle(bundle, tmp_path / "ratios.csv")
    Reuse(reason="d is new", searched=("d",)).write(tmp_path)
    found = read_bundle(tmp_path)
    assert found is not None
    assert (found.domains, found.free.tolist()) == (DOMAINS, [3])
    assert found.ratios == pytest.approx(bundle.ratios)
    (tmp_path / "none").mkdir()
    assert read_bundle(tmp_path / "none") is None


def test_a_schedule_ends_its_phases_by_their_shares_and_its_mean_weighs_them() -> None:
    schedule = Schedule(("a", "b"), np.array([0.25, 0.75]), np.array([[1.0, 0.0], [0.2, 0.8]]))
    assert schedule.ends(40) == [10, 40]
    assert schedule.ends(9) == [2, 9]
    assert schedule.mean == pytest.approx({"a": 0.4, "b": 0.6})
    assert Schedule.from_json(schedule.as_json()).weights.tolist() == schedule.weights.tolist()
    assert Schedule.from_json(schedule.as_json()).shares.tolist() == [0.25, 0.75]
    assert schedule.as_json()[1] == {"share": 0.75, "mixture": {"a": 0.2, "b": 0.8}}


def test_tables_of_schedules_survive_a_round_trip_in_any_order_of_rows(tmp_path: Path) -> None:
    shares = np.array([[0.25, 0.75], [0.5, 0.5]])
    weights = np.array([[[1, 0], [0.5, 0.5]], [[0.1, 0.9], [0.3, 0.7]]])
    table = ScheduleTable(np.array([4, 7]), ("a", "b"), shares, weights)
    table.write(tmp_path / "s.csv")
    head, *rows = (tmp_path / "s.csv").read_text().splitlines()
    assert head == "index,phase,share,a,b"
    assert [row.split(",")[:3] for row in rows] == [
        ["4", "1", "0.25"], ["4", "2", "0.75"], ["7", "1", "0.5"], ["7", "2", "0.5"],
    ]  # fmt: skip
    (tmp_path / "shuffled.csv").write_text("\n".join([head, rows[3], rows[0], rows[2], rows[1]]))
    found = ScheduleTable.read(tmp_path / "shuffled.csv")
    assert found.index.tolist() == [4, 7]
    assert (found.shares == shares).all()
    assert found.weights == pytest.approx(weights)
    assert found.means().weights == pytest.approx(np.array([[0.625, 0.375], [0.2, 0.8]]))
    assert found.schedule(1).mean == pytest.approx({"a": 0.2, "b": 0.8})


def test_rows_that_are_rounded_are_made_to_sum_to_one_and_what_is_further_off_is_refused(
    tmp_path: Path,
) -> None:
    (tmp_path / "s.csv").write_text("index,phase,share,a,b\n1,1,0.495,0.3,0.69\n1,2,0.495,0.5,0.51\n")
    found = ScheduleTable.read(tmp_path / "s.csv")
    assert found.shares[0] == pytest.approx([0.5, 0.5])
    assert found.weights[0] == pytest.approx(np.array([[0.3 / 0.99, 0.69 / 0.99], [0.5 / 1.01, 0.51 / 1.01]]))
    (tmp_path / "s.csv").write_text("index,phase,share,a,b\n1,1,0.45,0.3,0.7\n1,2,0.5,0.5,0.5\n")
    with pytest.raises(DataError, match=r"index 1, column share: sums to 0\.95"):
        ScheduleTable.read(tmp_path / "s.csv")


def test_phases_are_full_and_hold_each_domains_amount() -> None:
    mixtures = np.random.default_rng(1).dirichlet(np.ones(4), 6)
    config = PlanConfig(phases=3)
    spread = spread_over_phases(mixtures, config, 7)
    assert spread.shape == (6, 3, 4)
    assert spread.sum(axis=2) == pytest.approx(np.ones((6, 3)))
    assert spread.mean(axis=1) == pytest.approx(mixtures, abs=1e-3)
    assert spread_over_phases(mixtures[:2], config, 7) == pytest.approx(spread[:2])
    assert not np.allclose(spread_over_phases(mixtures, config, 8), spread)
    even = PlanConfig(phases=3, min_spread=5_000, max_spread=10_000)
    assert spread_over_phases(mixtures, even, 7) == pytest.approx(np.repeat(mixtures[:, None], 3, 1), rel=0.1)
    apart = PlanConfig(phases=3, min_spread=0.01, max_spread=0.02)
    assert spread_over_phases(mixtures, apart, 7).max(axis=2).mean() > 0.75


def test_a_schedule_that_stays_is_one_mixture(tmp_path: Path) -> None:
    stays = ScheduleChoice.stays({"a": 0.3, "b": 0.7}, "as it was")
    assert (stays.phases, stays.taken, stays.mean) == (1, False, {"a": 0.3, "b": 0.7})
    assert [(phase.share, phase.mixture) for phase in stays.schedule] == [(1.0, {"a": 0.3, "b": 0.7})]
    stays.write(tmp_path)
    assert ScheduleChoice.read(tmp_path) == stays
    assert ScheduleTable.read(tmp_path / "schedule.csv").schedule(0).as_json() == stays.followed.as_json()


def test_a_plan_survives_a_round_trip(tmp_path: Path) -> None:
    table = MixtureTable.numbered(("a", "b"), np.array([[0.5, 0.5], [0.2, 0.8]]))
    MixturePlan(table, np.array([0.3, 0.7])).write(tmp_path)
    found = MixturePlan.read(tmp_path)
    assert found.natural == pytest.approx([0.3, 0.7])
    assert found.mixtures.weights == pytest.approx(table.weights)
    assert found.schedules is None
    assert found.trained.weights == pytest.approx(table.weights[:, None])
    assert found.trained.shares.tolist() == [[1.0], [1.0]]
    phased = ScheduleTable(
        np.arange(2), ("a", "b"), np.full((2, 2), 0.5), np.array([[[1, 0], [0, 1]], [[0.4, 0.6], [0, 1]]])
    )
    MixturePlan(table, np.array([0.3, 0.7]), phased).write(tmp_path)
    assert MixturePlan.read(tmp_path).trained.weights == pytest.approx(phased.weights)
