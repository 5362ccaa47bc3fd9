"""Settings, sizes and seeds compared on losses that are known: what is chosen, and what agrees with what."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from builders.choices import write_choice
from builders.corpus import corpus_config, folder_as_artifact
from builders.proxy_groups import FASTER, PROXY, part_of, result, stage_run, two_domains
from mashbill.artifacts import Artifact, StageRun
from mashbill.config import LadderConfig, ValidationConfig
from mashbill.mixtures import LossTable, MixtureTable, SweepRuns
from mashbill.proxies.ladder import collect_ladder, train_rung
from mashbill.proxies.sweep import compare_settings
from mashbill.proxies.validation import collect_validation
from mashbill.tokens import TokenStore

NAN = float("nan")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> TokenStore:
    return two_domains(tmp_path_factory.mktemp("store"))


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
