"""Groups of proxies: every row in one group, seeds that are nobody else's, and tables that say what each
proxy's own record says."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from builders.proxy_groups import FASTER, PROXY, part_of, result, stage_run, two_domains
from mashbill.artifacts import StageRun
from mashbill.errors import DataError
from mashbill.mixtures import MixtureTable, ScheduleTable
from mashbill.models.capacity import capacity
from mashbill.proxies.group import (
    collect_groups,
    group_names,
    group_rows,
    plan_members,
    proxy_result,
    train_group,
    write_tables,
)
from mashbill.proxies.result import ProxyResult
from mashbill.proxies.stacks import Budget, train_planned
from mashbill.tokens import TokenStore


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> TokenStore:
    return two_domains(tmp_path_factory.mktemp("store"))


@pytest.mark.parametrize("proxies, size", [(6, 3), (7, 3), (1, 4), (9, 1)])
def test_every_row_is_trained_in_one_group_and_no_group_is_too_large(proxies: int, size: int) -> None:
    groups = [list(group_rows(name)) for name in group_names(proxies, size)]
    assert [row for rows in groups for row in rows] == list(range(proxies))
    assert all(1 <= len(rows) <= size for rows in groups)
    assert group_names(7, 3) == ["group-0000-0002", "group-0003-0005", "group-0006-0006"]


def test_a_proxys_seed_is_its_own_and_the_same_under_every_setting() -> None:
    table = MixtureTable(np.array([3, 5, 9]), ("a", "b"), np.array([[0.5, 0.5], [0.5, 0.5], [0.2, 0.8]]))
    members = plan_members(table, range(1, 3), [PROXY, FASTER], seed=(0, 301))
    assert [member.name for member in members] == ["0005", "0005.1", "0009", "0009.1"]
    assert [member.config for member in members] == [PROXY, FASTER, PROXY, FASTER]
    assert [member.mixture for member in members[::2]] == [{"a": 0.5, "b": 0.5}, {"a": 0.2, "b": 0.8}]
    assert members[0].seed == members[1].seed
    seeds = {members[0].seed, members[2].seed}
    for other in ((0, 302), (1, 301)):
        seeds |= {member.seed for member in plan_members(table, range(1, 3), [PROXY], seed=other)}
    assert len(seeds) == 6
    alone = plan_members(table, range(2, 3), [PROXY], seed=(0, 301))
    assert alone[0] == members[2]
    phased = ScheduleTable(
        table.index, table.columns, np.tile([0.4, 0.6], (3, 1)), np.arange(12.0).reshape(3, 2, 2)
    )
    followed = plan_members(table, range(1, 2), [PROXY], seed=(0, 301), schedules=phased)[0].mixture
    assert not isinstance(followed, Mapping)
    assert followed.weights.tolist() == [[4.0, 5.0], [6.0, 7.0]]


def test_groups_of_other_runs_and_families_start_from_other_weights(
    store: TokenStore, tmp_path: Path
) -> None:
    twins = MixtureTable(np.array([4, 7]), ("a", "b"), np.full((2, 2), 0.5))
    ends = {}
    for name, seed, tag in (("one", 0, 301), ("other run", 1, 301), ("other family", 0, 302)):
        (tmp_path / name).mkdir()
        run = stage_run(tmp_path / name, {}, seed=seed)
        trained = train_group(
            run, store, twins, rows=range(2), configs=[PROXY, FASTER], tokens=320, evaluations=2, tag=tag
        )
        assert trained.counts["proxies"] == 4
        assert trained.counts["tokens"] == 4 * 320
        records = (run.output / "proxies").glob("*/result.json")
        seconds = sum(json.loads(path.read_text())["seconds"] for path in records)
        assert trained.counts["seconds"] == pytest.approx(seconds, abs=0.01)
        assert trained.runs.losses.index.tolist() == [4, 7]
        for row, proxy in enumerate(("0004", "0007")):
            record = json.loads((run.output / "proxies" / proxy / "result.json").read_text())
            end = record["trajectory"][-1]
            assert trained.runs.losses.row(row) == {"a": end["a"], "b": end["b"]}
            ends[name, proxy] = end["a"]
            faster = json.loads((run.output / "proxies" / f"{proxy}.1" / "result.json").read_text())
            assert faster["trajectory"][-1]["a"] != end["a"]
    assert len(set(ends.values())) == 6


def test_proxies_that_groups_of_another_size_finished_are_taken_from_where_they_are(
    store: TokenStore, tmp_path: Path
) -> None:
    """One lies in a group that was killed, the next in a finished one, the third here too, and of the last a
    folder alone."""
    table = MixtureTable(np.arange(4), ("a", "b"), np.full((4, 2), 0.5))

    def known(loss: float) -> ProxyResult:
        return result({"step": 10, "tokens": 320, "a": loss, "b": loss}, tokens=320)

    scratches, config = tmp_path / "scratch", stage_run(tmp_path, {}).config
    known(1.0).write(scratches / "group-0000-0001" / "0000", 0)
    known(9.0).write(scratches / "group-0000-0001" / "0002", 2)
    known(2.0).write(scratches / "group-0000-0003" / "0002", 2)
    (scratches / "group-0000-0001" / "0003").mkdir()
    finished = part_of(tmp_path / "finished", {"0001": known(3.0)})
    here = StageRun.here(
        config,
        {},
        output=tmp_path / "output",
        scratch=scratches / "group-0000-0003",
        progress=lambda *_: None,
        part="group-0000-0003",
    )
    run = replace(here, elsewhere=lambda: [finished])
    trained = train_group(
        run, store, table, rows=range(4), configs=[PROXY], tokens=320, evaluations=1, tag=301
    )
    losses = trained.runs.losses.losses[:, 0]
    assert losses[:3].tolist() == [1.0, 3.0, 2.0]
    assert losses[3] not in (1.0, 2.0, 3.0, 9.0)
    assert {path.name for path in (run.output / "proxies").iterdir()} == {f"000{i}" for i in range(4)}


def test_stacks_train_every_proxy_once_and_as_alone(store: TokenStore, tmp_path: Path) -> None:
    weights = np.linspace(0.1, 0.9, 5)
    table = MixtureTable(np.arange(5), ("a", "b"), np.stack([weights, 1 - weights], axis=1))
    planned = plan_members(table, range(5), [PROXY], seed=(0, 301))
    ends, said = {}, []
    for stack in (1, 2):
        budget = Budget(store.folder, tmp_path / str(stack), 320, 1)
        if stack == 2:  # of a killed attempt: the first stack is finished, of the second one proxy
            for name in ("0000", "0001", "0002"):
                result({"step": 1, "tokens": 9, "a": 1.0, "b": 1.0}).write(budget.scratch / name, int(name))
        train_planned(
            planned, budget, stack=stack, processes=1, progress=lambda share, _: said.append(round(share, 6))
        )
        ends[stack] = [ProxyResult.read(budget.scratch / proxy.name).trajectory[-1] for proxy in planned]
    assert [end["step"] for end in ends[2]] == [1, 1, 10, 10, 10]
    for one, other in zip(ends[1][2:], ends[2][2:], strict=True):
        assert other == pytest.approx(one, rel=1e-2)
    assert len({end["a"] for end in ends[1]}) == 5
    assert said == [0.2, 0.4, 0.6, 0.8, 1.0, 0.5, 1.0]


def test_a_core_trains_one_at_a_time_and_a_gpu_is_for_one_process() -> None:
    assert capacity(PROXY, 90, 4) == (1, 4)
    assert capacity(PROXY.model_copy(update={"stack": 3}), 90, 4) == (3, 4)
    assert capacity(PROXY.model_copy(update={"stack": 3, "device": "cuda"}), 90, 4) == (3, 1)


def test_tables_hold_the_last_losses_and_nothing_of_a_proxy_that_failed(tmp_path: Path) -> None:
    table = MixtureTable(np.array([2, 5, 8]), ("a", "b"), np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]))
    early, late = (
        {"step": 1, "tokens": 50, "a": 3.0, "b": 4.0},
        {"step": 2, "tokens": 100, "a": 1.0, "b": 2.0},
    )
    results = [
        result(early, late),
        result(early, tokens=60, seconds=3.0, failed="loss is no number at step 1"),
        result(early, {**late, "a": 1.5}, tokens=100, seconds=5.0),
    ]
    counts = write_tables(table, results, ("b", "a"), output=tmp_path)
    losses = pd.read_csv(tmp_path / "losses.csv")
    assert losses["index"].tolist() == [2, 5, 8]
    assert losses["a"].tolist()[::2] == [1.0, 1.5]
    assert losses["b"].tolist()[::2] == [2.0, 2.0]
    assert losses.drop(columns="index").isna().all(axis=1).tolist() == [False, True, False]
    assert counts == {"proxies": 3, "failed": 1, "tokens": 260, "tokens_per_second_and_process": 26}
    points = pd.read_csv(tmp_path / "trajectories.csv")
    assert points[["index", "step"]].to_numpy().tolist() == [[2, 1], [2, 2], [5, 1], [8, 1], [8, 2]]
    assert results[0].target_loss({"a": 0.25, "b": 0.75}) == 1.75
    assert np.isnan(results[1].target_loss({"a": 1.0}))
    failed = [results[1], results[1], results[0]]
    with pytest.raises(DataError, match=r"2 of 3 diverged; lower proxy\.learning_rate"):
        write_tables(table, failed, ("a",), output=tmp_path)


def test_a_proxy_without_a_number_for_one_of_its_sets_counts_as_failed(tmp_path: Path) -> None:
    table = MixtureTable(np.arange(3), ("a", "b"), np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]))
    whole = {"step": 1, "tokens": 50, "a": 3.0, "b": 4.0}
    results = [result(whole), result({**whole, "a": np.nan}), result(whole)]
    assert write_tables(table, results, ("a", "b"), output=tmp_path)["failed"] == 1


def test_no_more_processes_are_started_than_there_are_stacks(store: TokenStore, tmp_path: Path) -> None:
    """And none for a single stack, which is trained here, where its steps can be told."""
    table = MixtureTable(np.arange(3), ("a", "b"), np.full((3, 2), 0.5))
    planned = plan_members(table, range(3), [PROXY], seed=(0, 301))
    said: list[str] = []
    budget = Budget(store.folder, tmp_path, 320, 1)
    for some in (planned[:1], planned[1:]):
        train_planned(some, budget, stack=1, processes=4, progress=lambda _, words: said.append(words))
    assert sum(words.startswith("proxy 0000: step 10 of 10") for words in said) == 1
    assert said[-1] == "2 of 2 trained, in 2 processes"
    assert [ProxyResult.read(tmp_path / proxy.name).tokens for proxy in planned] == [320] * 3


def test_groups_are_gathered_by_their_mixtures_and_settings_and_what_failed_has_no_model(
    tmp_path: Path,
) -> None:
    weights = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    table = MixtureTable(np.array([7, 3, 5]), ("a", "b"), weights)

    def at(loss: float) -> ProxyResult:
        return result({"step": 1, "tokens": 9, "a": loss, "b": loss})

    failed = result(failed="loss is no number at step 0")
    parts = {
        "group-0000": part_of(tmp_path / "0", {"0007": at(1.0), "0007.1": at(2.0)}),
        "group-0001": part_of(
            tmp_path / "1", {"0003": at(3.0), "0003.1": at(4.0), "0005": failed, "0005.1": at(5.0)}
        ),
    }
    assert proxy_result(parts["group-0001"], 3).trajectory[-1]["a"] == 3.0
    for place, expected, kept in ((0, [1.0, 3.0], 2), (1, [2.0, 4.0, 5.0], 3)):
        output = tmp_path / f"output-{place}"
        counts = collect_groups(parts, table, ("a", "b"), output=output, place=place)
        assert pd.read_csv(output / "losses.csv")["a"].dropna().tolist() == expected
        assert pd.read_csv(output / "mixtures.csv")["a"].tolist() == [1.0, 0.0, 0.5]
        names = sorted(path.name for path in (output / "proxies").iterdir())
        assert names == ["0003", "0005", "0007"] if kept == 3 else names == ["0003", "0007"]
        assert (counts["proxies"], counts["failed"]) == (3, 3 - kept)
