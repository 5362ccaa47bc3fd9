"""What the first process of a training says while it runs."""

import csv
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from mashbill.artifacts.progress import read_progress_file
from mashbill.config.recipe import MetricsConfig
from mashbill.launch.torchrun import PROGRESS
from mashbill.mixtures.forecast import Band
from mashbill.training.account import Account
from mashbill.training.pace import Pace

STEPS, BATCH_TOKENS, FLOPS, PEAK, PROCESSORS = 40, 1_000, 1e6, 5e9, 4


def account(folder: Path, *, keeps: bool = True, **servers: object) -> Account:
    """An account of a training on four processors."""
    pace = Pace(
        steps=STEPS,
        batch_tokens=BATCH_TOKENS,
        flops_per_token=FLOPS,
        peak_flops=PEAK,
        processors=PROCESSORS,
    )
    metrics = MetricsConfig.model_validate({"tensorboard": False, **servers})
    return Account(folder, metrics, pace, keeps=keeps, facts={"parameters": 7, "seed": 3})


def step(made: Account, number: int) -> None:
    """A step on which one process of four took thrice as long as the others."""
    by_rank = [0.2, 0.9, 0.3, 0.25]
    made.stepped(number, loss=2.5, norm=1.5, rate=0.1, waited=0.05, seconds=1.0, by_rank=by_rank)


def rows(path: Path) -> list[dict[str, float]]:
    with path.open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_its_progress_has_the_figures_of_the_last_step(tmp_path: Path) -> None:
    step(account(tmp_path), 10)
    state = read_progress_file(tmp_path / PROGRESS)
    assert state is not None
    assert state.done == 0.25
    assert state.figures == {"step": 10, "tokens": 10_000, "loss": 2.5, "tokens_per_second": 1_000}


def test_a_step_is_told_with_its_slowest_process_and_the_share_of_all_processors(tmp_path: Path) -> None:
    made = account(tmp_path)
    made.resumed(9)
    step(made, 10)
    made.close()
    (row,) = rows(tmp_path / "curve.csv")
    assert row == {
        "step": 10,
        "tokens": 10_000,
        "loss": 2.5,
        "learning_rate": 0.1,
        "tokens_per_second": 1_000,
        "gradient_norm": 1.5,
        "data_seconds": 0.05,
        "step_seconds": 1.0,
        "median_rank_seconds": 0.275,
        "slowest_rank_seconds": 0.9,
        "slowest_rank": 1,
    }
    (record,) = lines(tmp_path / "metrics.jsonl")
    same = ("step", "tokens", "loss", "learning_rate", "tokens_per_second", "gradient_norm")
    assert {name: record[name] for name in same} == {name: row[name] for name in same}
    assert (record["step_seconds_median"], record["step_seconds_worst"]) == (0.275, 0.9)
    assert record["step_seconds_slowest_rank"] == 1
    assert record["data_wait_seconds"] == 0.05
    assert record["mfu"] == pytest.approx(1_000 * FLOPS / (PROCESSORS * PEAK))


def test_who_goes_on_from_a_step_finds_nothing_of_later_ones(tmp_path: Path) -> None:
    for attempt in (account(tmp_path), account(tmp_path)):
        attempt.resumed(0)
        for number in range(1, 9):
            step(attempt, number)
            if number % 4 == 0:
                attempt.evaluated(number, {"wiki": 1.0})
                attempt.saved(number, stalled=0.1, seconds=0.2)
    attempt.resumed(4)
    assert [row["step"] for row in rows(tmp_path / "curve.csv")] == [1, 2, 3, 4]
    for table in ("evaluations.csv", "saves.csv"):
        assert [row["step"] for row in rows(tmp_path / table)] == [4]
    kinds = [(one["kind"], one["step"]) for one in lines(tmp_path / "metrics.jsonl")]
    assert kinds == [("step", 1), ("step", 2), ("step", 3), ("step", 4), ("evaluation", 4)]


def test_each_leaving_of_the_forecasts_band_is_told_once(tmp_path: Path) -> None:
    made = account(tmp_path)
    even = Band(steps=(10, 100), expected=(1.5, 1.5), low=(1.0, 1.0), high=(2.0, 2.0))
    made.hold_against(even, {"wiki": 0.75, "code": 0.25})
    measured = [
        (5, 9.0, 9.0),  # before what the forecast speaks of
        (10, 1.5, 1.5),
        (20, 2.1, 1.6),  # 1.975 by weight
        (30, 1.6, 2.9),  # 1.925
        (40, 2.2, 1.6),  # 2.05
        (50, 2.4, 1.6),  # still outside
        (60, 1.5, 1.5),
        (70, 0.8, 1.0),  # 0.85
        (101, 9.0, 9.0),  # after it
    ]
    for number, wiki, code in measured:
        made.evaluated(number, {"other": 7.0, "wiki": wiki, "code": code})
    made.evaluated(80, {"wiki": 9.0})  # a set of the target is missing
    told = lines(tmp_path / "events.jsonl")
    assert [(one["kind"], one["step"]) for one in told] == [("left the band", 40), ("left the band", 70)]
    assert told[0]["words"] == (
        "step 40: the target's loss is 2.0500 bits per byte, outside the forecast's 1.0000 to 2.0000"
    )


def test_another_process_than_the_first_writes_nothing(tmp_path: Path) -> None:
    made = account(tmp_path, keeps=False)
    made.resumed(0)
    step(made, 1)
    made.evaluated(1, {"wiki": 1.0})
    made.event(1, "skipped", "words")
    made.close()
    assert list(tmp_path.iterdir()) == []


class Mlflow(ModuleType):
    """Stands for MLflow's client, of which no package is needed here: notes what it is told."""

    def __init__(self) -> None:
        super().__init__("mlflow")
        self.params: dict[str, object] = {}
        self.told: list[tuple[str, float, int]] = []
        self.MlflowClient = lambda tracking_uri: self
        self.Metric = lambda name, value, now, number: (name, value, number)

    def get_experiment_by_name(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(experiment_id=name)

    def create_run(self, experiment: str, run_name: str) -> SimpleNamespace:
        return SimpleNamespace(info=SimpleNamespace(run_id=f"{experiment}/{run_name}"))

    def log_param(self, run: str, name: str, value: object) -> None:
        self.params[name] = value

    def log_batch(self, run: str, metrics: list[tuple[str, float, int]]) -> None:
        self.told += metrics

    def set_terminated(self, run: str) -> None:
        self.params["ended"] = run


class Wandb(ModuleType):
    """Stands for Weights & Biases, likewise."""

    def __init__(self) -> None:
        super().__init__("wandb")
        self.params: dict[str, object] = {}
        self.told: list[tuple[str, float, int]] = []
        self.Settings = dict

    def init(self, *, project: str, name: str, config: dict[str, object], **others: object) -> "Wandb":
        self.params = {**config}
        self.run = f"{project}/{name}"
        return self

    def log(self, scalars: dict[str, float], step: int) -> None:
        self.told += [(name, value, step) for name, value in scalars.items()]

    def finish(self) -> None:
        self.params["ended"] = self.run


@pytest.mark.parametrize("server", [Mlflow(), Wandb()], ids=["mlflow", "wandb"])
def test_a_server_is_told_the_recipe_and_each_step_under_its_number(
    server: Mlflow | Wandb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = server.__name__
    for name in (kind, f"{kind}.tracking", f"{kind}.entities"):
        monkeypatch.setitem(sys.modules, name, server)
    place = {"experiment": "mash"} if kind == "mlflow" else {"project": "mash"}
    made = account(tmp_path / "chosen", **{kind: place})
    made.resumed(0)
    for number in (1, 2):
        step(made, number)
    made.evaluated(2, {"wiki": 1.25})
    made.close()
    assert server.params == {"parameters": 7, "seed": 3, "ended": "mash/chosen"}
    assert [(v, n) for name, v, n in server.told if name == "train/loss"] == [(2.5, 1), (2.5, 2)]
    assert [(v, n) for name, v, n in server.told if name == "validation/wiki"] == [(1.25, 2)]
