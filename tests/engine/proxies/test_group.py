"""Groups of proxies: every row in one group, seeds that are nobody else's, and tables that say what each
proxy's own record says; the ladder and the settings compared on losses that are known."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from builders.choices import write_choice
from builders.corpus import corpus_config, folder_as_artifact
from builders.known_models import bigram_table
from builders.token_stores import markov_stream, write_store
from mashbill.artifacts import Artifact, StageRun
from mashbill.config import LadderConfig, ModelShape, ProxyConfig, ValidationConfig
from mashbill.errors import DataError
from mashbill.mixtures import LossTable, MixtureTable, ScheduleTable, SweepRuns
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
from mashbill.proxies.ladder import collect_ladder, train_rung
from mashbill.proxies.result import ProxyResult
from mashbill.proxies.stacks import Budget, train_planned
from mashbill.proxies.sweep import compare_settings
from mashbill.proxies.validation import collect_validation
from mashbill.tokens import TokenStore

SHAPE = ModelShape(layers=1, width=8, heads=2, kv_heads=2, feed_forward=8, context=16)
PROXY = ProxyConfig(model=SHAPE, batch_sequences=2, precision="fp32", device="cpu")
FASTER = PROXY.model_copy(update={"learning_rate": 2e-2})
NAN = float("nan")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> TokenStore:
    domains = {
        name: (markov_stream(bigram_table(law), 300, 1), markov_stream(bigram_table(law), 40, 2))
        for name, law in (("a", 41), ("b", 42))
    }
    return write_store(tmp_path_factory.mktemp("store"), domains)


def stage_run(
    folder: Path,
    inputs: Mapping[str, Artifact],
    *,
    part: str | None = None,
    parts: Mapping[str, Artifact] | None = None,
    **sections: object,
) -> StageRun:
    config = corpus_config(folder, {"a": "a.jsonl", "b": "b.jsonl"})
    for name in ("output", "scratch"):
        (folder / name).mkdir()
    return StageRun(
        config.model_copy(update={"proxy": PROXY, **sections}),
        inputs,
        folder / "output",
        folder / "scratch",
        lambda *_: None,
        part,
        parts or {},
    )


def result(
    *points: Mapping[str, float], tokens: int = 100, seconds: float = 2.0, failed: str = ""
) -> ProxyResult:
    return ProxyResult([dict(point) for point in points], tokens, seconds, failed)


def part_of(folder: Path, results: Mapping[str, ProxyResult], tokens: int = 0) -> Artifact:
    """A group's artifact with these proxies."""
    for name, found in results.items():
        found.write(folder / "proxies" / name, int(name.split(".")[0]))
    artifact = folder_as_artifact("sweep", folder)
    artifact.manifest.counts["tokens"] = tokens
    return artifact


@pytest.mark.parametrize("proxies, size", [(6, 3), (7, 3), (1, 4), (9, 1)])
def test_every_row_is_trained_in_one_group_and_no_group_is_too_large(proxies: int, size: int) -> None:
    groups = [list(group_rows(name, proxies, size)) for name in group_names(proxies, size)]
    assert [row for rows in groups for row in rows] == list(range(proxies))
    assert all(1 <= len(rows) <= size for rows in groups)
    assert group_names(7, 3) == ["group-0000", "group-0001", "group-0002"]


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
        assert trained.runs.losses.index.tolist() == [4, 7]
        for row, proxy in enumerate(("0004", "0007")):
            record = json.loads((run.output / "proxies" / proxy / "result.json").read_text())
            end = record["trajectory"][-1]
            assert trained.runs.losses.row(row) == {"a": end["a"], "b": end["b"]}
            ends[name, proxy] = end["a"]
            faster = json.loads((run.output / "proxies" / f"{proxy}.1" / "result.json").read_text())
            assert faster["trajectory"][-1]["a"] != end["a"]
    assert len(set(ends.values())) == 6


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


def test_groups_are_gathered_by_their_mixtures_and_settings(tmp_path: Path) -> None:
    table = MixtureTable(np.array([7, 3]), ("a", "b"), np.array([[1.0, 0.0], [0.0, 1.0]]))

    def at(loss: float) -> ProxyResult:
        return result({"step": 1, "tokens": 9, "a": loss, "b": loss})

    parts = {
        "group-0000": part_of(tmp_path / "0", {"0007": at(1.0), "0007.1": at(2.0)}),
        "group-0001": part_of(tmp_path / "1", {"0003": at(3.0), "0003.1": at(4.0)}),
    }
    assert proxy_result(parts["group-0001"], 3).trajectory[-1]["a"] == 3.0
    for place, expected in ((0, [1.0, 3.0]), (1, [2.0, 4.0])):
        output = tmp_path / f"output-{place}"
        collect_groups(parts, table, ("a", "b"), output=output, place=place)
        assert pd.read_csv(output / "losses.csv")["a"].tolist() == expected
        assert sorted(path.name for path in (output / "proxies").iterdir()) == ["0003", "0007"]


def test_the_settings_with_the_fewest_failures_and_then_the_lowest_loss_serve() -> None:
    tables = [
        np.array([[1.0, 5.0], [2.0, 6.0], [3.0, 7.0], [4.0, 9.0]]),
        np.array([[0.5, 4.0], [0.1, 3.0], [2.0, 5.0], [3.0, 6.0]]),  # lower, and of another order
        np.array([[0.1, 0.1], [0.2, 0.2], [0.3, 0.3], [NAN, NAN]]),  # lowest, where it ended
    ]
    found = compare_settings(tables, [PROXY, FASTER, PROXY])
    assert found.chosen == 1
    assert [row.failed for row in found.settings] == [0, 0, 1]
    assert [row.mean_loss for row in found.settings] == pytest.approx(
        [4.0, 14.6 / 6, 0.2]
    )  # of the first three
    assert [row.agreement for row in found.settings] == pytest.approx([0.5, 1.0, 0.5])
    assert [row.learning_rate for row in found.settings] == [3e-3, 2e-2, 3e-3]
    assert (
        compare_settings([table[:2] for table in tables[:2]], [PROXY, FASTER]).settings[0].agreement is None
    )


def swept(folder: Path) -> Artifact:
    """A sweep of seven mixtures, one of which failed."""
    weights = np.linspace(0, 1, 7)
    losses = np.array([3.0, 1.0, 2.0, NAN, 5.0, 4.0, 6.0])
    index = np.arange(7) * 10
    SweepRuns(
        MixtureTable(index, ("a", "b"), np.stack([weights, 1 - weights], axis=1)),
        LossTable(index, ("a", "b"), np.stack([losses, 10 - losses / 2], axis=1)),
    ).write(folder)
    artifact = folder_as_artifact("sweep", folder)
    artifact.manifest.counts["settings"] = 0
    return artifact


RUNGS = [{"tokens": 2_000}, {"tokens": 2_000}]
TARGET = {"a": 0.9, "b": 0.1}


def ladder_run(
    folder: Path, store: TokenStore, part: str | None = None, parts: Mapping[str, Artifact] | None = None
) -> StageRun:
    folder.mkdir()
    config = corpus_config(folder, {"a": "a.jsonl", "b": "b.jsonl"})
    inputs = {"tokenize": folder_as_artifact("tokenize", store.folder), "sweep": swept(folder / "sweep")}
    return stage_run(
        folder,
        inputs,
        part=part,
        parts=parts,
        ladder=LadderConfig.model_validate({"rungs": RUNGS, "mixtures": 3}),
        mix=config.mix.model_copy(update={"target": TARGET}),
    )


def rung_part(folder: Path, losses: Sequence[float]) -> Artifact:
    """A rung on which the mixtures 10, 0 or 50, and 60 end with these losses."""
    points = [{"step": 1, "tokens": 5, "a": 9.0, "b": 9.0}, {"step": 2, "tokens": 10}]
    results = {
        f"{index:04d}": result(points[0], {**points[1], "a": loss, "b": 2 * loss})
        for index, loss in zip((10, 0, 60), losses, strict=True)
    }
    return part_of(folder, results, tokens=1_000)


def test_the_ladder_takes_mixtures_from_best_to_worst_and_says_which_rungs_turn_them_round(
    store: TokenStore, tmp_path: Path
) -> None:
    parts = {
        "rung-0": rung_part(tmp_path / "0", [1.0, 2.0, 3.0]),
        "rung-1": rung_part(tmp_path / "1", [3.0, 2.0, 1.0]),
    }
    run = ladder_run(tmp_path / "run", store, parts=parts)
    counts = collect_ladder(run)
    facts = json.loads((run.output / "ladder.json").read_text())
    small, same, turned = facts["rungs"]
    # of target losses 0.85 x + 1: the least, the middle of six (0, of loss 3), the greatest
    assert small["losses"] == pytest.approx([1.85, 3.55, 6.1])
    assert same["losses"] == pytest.approx([1.1, 2.2, 3.3])
    assert turned["losses"] == pytest.approx([3.3, 2.2, 1.1])
    assert np.array(facts["agreement"]) == pytest.approx(np.array([[1, 1, -1], [1, 1, -1], [-1, -1, 1]]))
    assert counts == {"sizes": 3, "tokens": 2_000, "least_agreement": -1.0}


def test_validation_holds_each_mixtures_seeds_against_its_own_prediction(
    store: TokenStore, tmp_path: Path
) -> None:
    """Predicted 1, 2 and 3; measured the other way round, on a target of which a is nine tenths."""
    losses = {"chosen": [3.0, 3.2], "natural": [2.0, 2.4], "mine": [1.0, 1.4]}
    parts = {
        f"size-0-{name}": part_of(
            tmp_path / name,
            {
                f"{seed:04d}": result({"step": 1, "tokens": 5, "a": loss, "b": 0.0}, tokens=7)
                for seed, loss in enumerate(of_seeds)
            },
            tokens=14,
        )
        for name, of_seeds in losses.items()
    }
    for part in parts.values():
        part.manifest.counts.update({"proxies": 2, "failed": 0})
    choice = tmp_path / "mix"
    choice.mkdir()
    half = {"a": 0.5, "b": 0.5}
    write_choice(choice, half, TARGET, beside={"natural": half, "mine": half})
    record = json.loads((choice / "choice.json").read_text())
    record["predicted"]["loss"], record["baselines"]["natural"]["loss"] = 1.0, 2.0
    (choice / "choice.json").write_text(json.dumps(record))
    (tmp_path / "run").mkdir()
    inputs = {
        "tokenize": folder_as_artifact("tokenize", store.folder),
        "mix": folder_as_artifact("mix", choice),
    }
    run = stage_run(tmp_path / "run", inputs, parts=parts, validation=ValidationConfig(seeds=2, tokens=5_000))
    counts = collect_validation(run)
    (size,) = json.loads((run.output / "validation.json").read_text())["sizes"]
    assert (size["tokens"], size["seeds"], size["spearman"]) == (5_000, 2, pytest.approx(-1))
    rows = {row["name"]: row for row in size["mixtures"]}
    assert {name: row["mean"] for name, row in rows.items()} == pytest.approx(
        {"chosen": 2.79, "natural": 1.98, "mine": 1.08}
    )
    assert {name: row["predicted"] for name, row in rows.items()} == {"chosen": 1, "natural": 2, "mine": 3}
    assert [row["measured_rank"] for row in rows.values()] == [1, 2, 3]  # the best comes first
    gains = {name: tuple(map(row.get, ("gain", "gain_error", "wins"))) for name, row in rows.items()}
    assert gains["natural"] == (None, None, None)
    assert gains["chosen"] == pytest.approx((-0.81, 0.09, 0))  # -0.9 and -0.72
    assert gains["mine"] == pytest.approx((0.9, 0, 2), abs=1e-9)
    assert [pair["predicted_gap"] for pair in size["reversed"]] == [2, 1, 1]
    assert counts == {"proxies": 6, "failed": 0, "tokens": 42, "sizes": 1, "least_agreement": -1.0}


def test_rungs_of_the_same_size_have_seeds_of_their_own(store: TokenStore, tmp_path: Path) -> None:
    ends = []
    for number in range(2):
        run = ladder_run(tmp_path / str(number), store, part=f"rung-{number}")
        assert train_rung(run)["proxies"] == 3
        record = json.loads((run.output / "proxies" / "0010" / "result.json").read_text())
        ends.append(record["trajectory"][-1]["a"])
    assert ends[0] != ends[1]
