"""A training's metrics: each step once whatever is gone back to, and no sink that stops a training."""

import json
import resource
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from mashbill.config.recipe import HardwareConfig, MetricsConfig, MlflowConfig, WandbConfig
from mashbill.errors import ConfigError
from mashbill.training.hardware import machine, peak_of_device
from mashbill.training.metrics import (
    METRICS,
    Metrics,
    StepRecord,
    StepSeconds,
    model_flops_utilisation,
    over_ranks,
)
from mashbill.training.sink_thread import WAITING, SinkThread
from mashbill.training.sinks import check_sinks

LIBRARY_WARNINGS = pytest.mark.filterwarnings("default")
FILE_ALONE = MetricsConfig(tensorboard=False)


def record(step: int, loss: float = 2.5) -> StepRecord:
    return StepRecord(
        step=step,
        tokens=step * 1_000,
        loss=loss,
        gradient_norm=1.5,
        learning_rate=1e-3,
        tokens_per_second=4_000.0,
        seconds=StepSeconds(median=0.25, worst=0.5, slowest_rank=3),
        mfu=0.4,
    )


def train(metrics: Metrics, first: int, last: int, loss: float = 2.5) -> None:
    """Steps, with an evaluation at every fifth."""
    for step in range(first, last + 1):
        metrics.stepped(record(step, loss))
        if step % 5 == 0:
            metrics.evaluated(step, step * 1_000, {"wiki": 1.5, "code": 1.25})


def records(folder: Path, kind: str = "step") -> list[dict[str, Any]]:
    lines = (folder / METRICS).read_text().splitlines()
    return [found for found in map(json.loads, lines) if found["kind"] == kind]


def steps(folder: Path, kind: str = "step") -> list[int]:
    return [found["step"] for found in records(folder, kind)]


def test_a_step_and_an_evaluation_are_a_line_each(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path, FILE_ALONE)
    train(metrics, 1, 5)
    metrics.noted(5, "went on")
    metrics.close()
    assert records(tmp_path)[4] == {
        "kind": "step",
        "step": 5,
        "tokens": 5_000,
        "loss": 2.5,
        "gradient_norm": 1.5,
        "learning_rate": 1e-3,
        "tokens_per_second": 4_000.0,
        "data_wait_seconds": 0.0,
        "mfu": 0.4,
        "memory_allocated_bytes": None,
        "memory_peak_bytes": None,
        "step_seconds_median": 0.25,
        "step_seconds_worst": 0.5,
        "step_seconds_slowest_rank": 3,
    }
    (evaluation,) = records(tmp_path, "evaluation")
    assert (evaluation["step"], evaluation["bits_per_byte"]) == (5, {"wiki": 1.5, "code": 1.25})
    assert records(tmp_path, "event") == [{"kind": "event", "step": 5, "event": "went on"}]


def test_a_training_that_goes_on_from_a_checkpoint_has_each_step_once(tmp_path: Path) -> None:
    train(Metrics(tmp_path, FILE_ALONE), 1, 10, loss=3.0)
    with (tmp_path / METRICS).open("a") as file:
        file.write('{"kind": "step", "step": 11, "lo')  # killed as it wrote
    train(Metrics(tmp_path, FILE_ALONE, step=6), 7, 12, loss=2.0)
    assert steps(tmp_path) == list(range(1, 13))
    assert [found["loss"] for found in records(tmp_path)] == [3.0] * 6 + [2.0] * 6
    assert steps(tmp_path, "evaluation") == [5, 10]


def test_a_last_line_without_its_end_is_not_run_into(tmp_path: Path) -> None:
    train(Metrics(tmp_path, FILE_ALONE), 1, 2)
    path = tmp_path / METRICS
    path.write_text(path.read_text().rstrip("\n"))
    train(Metrics(tmp_path, FILE_ALONE, step=2), 3, 3)
    assert steps(tmp_path) == [1, 2, 3]


def test_going_back_within_a_run_has_each_step_once(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path, FILE_ALONE)
    train(metrics, 1, 8)
    metrics.back_to(3)
    train(metrics, 4, 9, loss=1.0)
    assert steps(tmp_path) == list(range(1, 10))
    assert [found["loss"] for found in records(tmp_path)] == [2.5] * 3 + [1.0] * 6


def test_a_loss_that_is_no_number_leaves_json_that_others_read(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path, FILE_ALONE)
    for loss in (float("nan"), float("inf")):
        metrics.stepped(record(1, loss))
        metrics.evaluated(1, 1_000, {"wiki": loss, "code": 1.25})
    told = [
        json.loads(line, parse_constant=pytest.fail) for line in (tmp_path / METRICS).read_text().splitlines()
    ]
    assert [found["loss"] for found in told[::2]] == [None, None]
    assert [found["bits_per_byte"] for found in told[1::2]] == [{"wiki": None, "code": 1.25}] * 2


def test_a_full_disk_is_told_once_and_counted_and_training_goes_on(tmp_path: Path) -> None:
    told: list[str] = []
    metrics = Metrics(tmp_path, FILE_ALONE, tell=told.append)
    train(metrics, 1, 4)
    full = (tmp_path / METRICS).stat().st_size + 100
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (full, before[1]))
        for step in (5, 6, 7):
            metrics.stepped(record(step))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert len(told) == 1
    assert str(tmp_path / METRICS) in told[0]
    assert metrics.failures == {"jsonl": 3}
    metrics.stepped(record(8))
    lines = (tmp_path / METRICS).read_text().splitlines()
    assert json.loads(lines[-1])["step"] == 8
    train(Metrics(tmp_path, FILE_ALONE, step=8), 9, 9)
    assert steps(tmp_path) == [1, 2, 3, 4, 8, 9]


def test_tensorboard_shows_each_step_once(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    settings = MetricsConfig()
    first = Metrics(tmp_path, settings)
    train(first, 1, 10, loss=3.0)
    first.close()
    again = Metrics(tmp_path, settings, step=6)
    train(again, 7, 9, loss=2.0)
    again.back_to(7)
    train(again, 8, 11, loss=1.0)
    again.close()
    assert again.failures == {"jsonl": 0, "tensorboard": 0}
    shown = tensorboard_scalars(tmp_path / "tensorboard")
    assert shown["train/loss"] == [(step, 3.0) for step in range(1, 7)] + [(7, 2.0)] + [
        (step, 1.0) for step in range(8, 12)
    ]
    assert shown["validation/wiki"] == [(5, 1.5), (10, 1.5)]
    assert shown["train/mfu"][0] == (1, pytest.approx(0.4))


def tensorboard_scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard itself reads of a folder."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]
    }


def test_tensorboard_that_cannot_write_or_is_not_there_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "tensorboard").write_text("a file in its place")
    told: list[str] = []
    metrics = Metrics(tmp_path, MetricsConfig(), tell=told.append)
    train(metrics, 1, 5)
    metrics.close()
    assert len(told) == 1
    assert told[0].startswith("metrics: tensorboard ")
    assert metrics.failures == {"jsonl": 0, "tensorboard": 6}
    assert steps(tmp_path) == [1, 2, 3, 4, 5]


def test_a_sink_that_cannot_forget_is_told_no_step_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)  # as if not installed: all that it is told is counted
    settings = MetricsConfig(tensorboard=False, mlflow=MlflowConfig(experiment="mash"))
    metrics = Metrics(tmp_path, settings, tell=lambda words: None)
    train(metrics, 1, 4)
    metrics.back_to(2)
    train(metrics, 3, 6)
    metrics.close()
    steps_told, evaluations_told, told_to_forget = 6, 1, 1
    assert metrics.failures == {"jsonl": 0, "mlflow": steps_told + evaluations_told + told_to_forget}
    for last, fresh in ((5, 0), (8, 2)):  # processes that go on from step 2, the first of them to be killed
        again = Metrics(tmp_path, settings, step=2, tell=lambda words: None)
        train(again, 3, last)
        again.close()
        assert again.failures == {"jsonl": 0, "mlflow": fresh}


@LIBRARY_WARNINGS
def test_mlflow_is_told_each_step_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    settings = MetricsConfig(tensorboard=False, mlflow=MlflowConfig(experiment="mash"))
    first = Metrics(tmp_path, settings, name="chosen", facts={"parameters": 1_000})
    train(first, 1, 10, loss=3.0)
    first.close()
    again = Metrics(tmp_path, settings, name="chosen", step=6)
    train(again, 7, 8, loss=2.0)
    again.close()
    last = Metrics(tmp_path, settings, name="chosen", step=6)
    train(last, 7, 12, loss=1.0)
    last.close()
    assert last.failures == {"jsonl": 0, "mlflow": 0}
    from mlflow.tracking import MlflowClient

    client = MlflowClient()
    (run,) = client.search_runs([client.get_experiment_by_name("mash").experiment_id])
    told = sorted((m.step, m.value) for m in client.get_metric_history(run.info.run_id, "train/loss"))
    assert told == [(step, 3.0) for step in range(1, 11)] + [(11, 1.0), (12, 1.0)]
    assert run.data.params == {"parameters": "1000"}
    assert (run.info.run_name, run.info.status) == ("chosen", "FINISHED")


@LIBRARY_WARNINGS
def test_wandb_writes_a_run_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    metrics = Metrics(tmp_path, MetricsConfig(tensorboard=False, wandb=WandbConfig(project="mash")))
    train(metrics, 1, 5)
    metrics.close(120)
    assert metrics.failures == {"jsonl": 0, "wandb": 0}
    (run,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    assert (tmp_path / "wandb_run.txt").read_text() in run.name
    assert b"train/loss" in run.read_bytes()
    assert b"validation/wiki" in run.read_bytes()


@LIBRARY_WARNINGS
def test_a_server_that_is_away_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    told: list[str] = []
    settings = MetricsConfig(tensorboard=False, mlflow=MlflowConfig(uri="http://127.0.0.1:9"))
    metrics = Metrics(tmp_path, settings, tell=told.append)
    train(metrics, 1, 5)
    metrics.close()
    assert steps(tmp_path) == [1, 2, 3, 4, 5]
    assert metrics.failures == {"jsonl": 0, "mlflow": 6}
    assert len(told) == 1


@pytest.mark.parametrize("package", ["mlflow", "wandb"])
def test_a_sink_whose_package_is_missing_is_refused_before_a_run(package: str) -> None:
    settings = MetricsConfig(**{package: {}})
    (check,) = check_sinks(settings)
    try:
        __import__(package)
    except ImportError:
        with pytest.raises(ConfigError, match=rf"pip install 'airflow-provider-mashbill\[{package}\]'"):
            check.look()
    else:
        assert check.look() == f"{package} is installed"
    assert list(check_sinks(MetricsConfig())) == []


class Stuck:
    """A sink of a server that does not answer, until it is let go."""

    forgets = False

    def __init__(self) -> None:
        self.let_go, self.taken = threading.Event(), 0

    def take(self, step: int, scalars: object) -> None:
        self.let_go.wait()
        self.taken += 1

    def back_to(self, step: int) -> None:
        pass

    def close(self) -> None:
        pass


def test_a_sink_that_does_not_answer_delays_nothing_and_what_it_loses_is_counted() -> None:
    stuck, told = Stuck(), list[str]()
    thread = SinkThread("mlflow", lambda: stuck, told.append)
    for step in range(WAITING + 500):
        thread.take(step, {"train/loss": 1.0})
    assert 499 <= thread.failures <= 500  # one may be in its hands
    assert len(told) == 1
    stuck.let_go.set()
    thread.close(60)
    assert stuck.taken + thread.failures == WAITING + 500


def test_the_slowest_process_is_named() -> None:
    assert over_ranks([0.2, 0.9, 0.3, 0.25]) == StepSeconds(median=0.275, worst=0.9, slowest_rank=1)


@pytest.mark.parametrize(
    "tokens, device, share",
    [
        (24_000, "NVIDIA A100-SXM4-40GB", 0.563),  # TinyLlama, which calls it 56%
        (54_000, "NVIDIA H100 80GB HBM3", 0.40),
        (54_000, "NVIDIA H100 PCIe", 0.522),
        (54_000, "NVIDIA H200", 0.40),
    ],
)
def test_mfu_is_that_of_published_speeds(tokens: int, device: str, share: float) -> None:
    peak = peak_of_device(device, HardwareConfig())
    found = model_flops_utilisation(8 * tokens, 7.314e9, peak_flops=peak, processors=8)
    assert found == pytest.approx(share, abs=0.002)


@pytest.mark.parametrize(
    "name, teraflops, gigabytes",
    [
        ("a100-40gb", 312, 40),
        ("a100-80gb", 312, 80),
        ("h100", 989, 80),
        ("h200", 989, 141),
        ("gh200", 989, 96),
        ("b200", 2_250, 180),
        ("gb200", 2_500, 186),
        ("l40s", 362, 48),
        ("mi300x", 1_307, 192),
    ],
)
def test_cards_are_planned_with_as_their_data_sheets_have_them_without_sparsity(
    name: str, teraflops: int, gigabytes: int
) -> None:
    planned = machine(HardwareConfig(name=name))
    assert planned is not None
    assert planned.peak_flops == pytest.approx(teraflops * 1e12, rel=1e-3)
    assert planned.memory_bytes == gigabytes * 10**9
    assert peak_of_device(f"NVIDIA {planned.name.upper()} 1GB", HardwareConfig()) == planned.peak_flops


def test_a_peak_of_the_config_wins_over_the_cards() -> None:
    given = HardwareConfig(name="h100", peak_tflops=500.0, memory_gb=70.0)
    planned = machine(given)
    assert planned is not None
    assert (planned.peak_flops, planned.memory_bytes, planned.source) == (5e14, 70 * 10**9, "config")
    assert peak_of_device("NVIDIA H200", given) == peak_of_device("cpu", given) == 5e14
    assert machine(HardwareConfig()) is None


def test_a_device_that_is_not_known_has_no_mfu() -> None:
    for device in ("cpu", "", "NVIDIA H20", "NVIDIA A10", "Tesla T4"):
        assert peak_of_device(device, HardwareConfig()) is None
    assert model_flops_utilisation(1e3, 1e9, peak_flops=None, processors=1) is None
