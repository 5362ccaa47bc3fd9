"""Where tasks lie and how many questions are read at once changes no result."""

from pathlib import Path

import boto3
import psutil
import pytest

from builders.corpus import corpus_config
from builders.tasks import write_task
from mashbill.config import EvaluationConfig, PipelineConfig
from mashbill.errors import ConfigError
from mashbill.evaluation.batches import LARGEST, free_memory, rows_within
from mashbill.evaluation.check import check_tasks, task_identity, tasks_folder

ROW = {"context": "c", "choices": ["a", "d"], "gold": 1}


def configured(folder: Path, tasks_path: str) -> PipelineConfig:
    settings = EvaluationConfig(tasks=("quiz",), tasks_path=tasks_path)
    return corpus_config(folder, {"a": "a", "b": "b"}).model_copy(update={"evaluation": settings})


def upload(folder: Path, address: str) -> None:
    bucket, _, prefix = address.removeprefix("s3://").partition("/")
    for path in folder.iterdir():
        boto3.client("s3").put_object(Bucket=bucket, Key=f"{prefix}/{path.name}", Body=path.read_bytes())


def test_tasks_may_lie_in_a_bucket(root: str, tmp_path: Path) -> None:
    address = f"{root.removesuffix('/artifacts')}/tasks"
    for name in ("quiz", "other"):
        write_task(tmp_path / "local", name, [ROW])
    upload(tmp_path / "local", address)
    config = configured(tmp_path, address)
    (check,) = check_tasks(config)
    assert check.look() == "quiz (1 examples, not said)"
    folder = tasks_folder(config)
    assert folder is not None
    assert (folder / "quiz.yaml").read_bytes() == (tmp_path / "local" / "quiz.yaml").read_bytes()
    before = task_identity(config)
    write_task(tmp_path / "local", "quiz", [ROW, ROW])
    upload(tmp_path / "local", address)
    assert task_identity(config) != before
    (check,) = check_tasks(config)
    assert check.look() == "quiz (2 examples, not said)"


def test_a_folder_that_is_not_there_is_told_how_to_be_filled(tmp_path: Path) -> None:
    config = configured(tmp_path, "tasks")
    for look in (lambda: tasks_folder(config), lambda: next(check_tasks(config)).look()):
        with pytest.raises(
            ConfigError, match=r"evaluation.tasks_path: .* does not exist; .* mashbill tasks fetch"
        ):
            look()


def test_larger_models_and_less_memory_read_fewer_questions_at_once() -> None:
    def rows(gigabytes: float, *, context: int = 1_024, vocabulary: int = 32_000) -> int:
        return rows_within(int(gigabytes * 1e9), context=context, vocabulary=vocabulary, width=2_048)

    assert rows(0.001) == 1
    assert rows(10_000) == LARGEST
    assert rows(8) > rows(4) > rows(2) > 1
    assert rows(8, context=4_096) < rows(8)
    assert rows(8, vocabulary=128_000) < rows(8)
    logits = 4 * 1_024 * 32_000  # bytes of one question's, in full precision
    assert rows(8) * logits < 8e9


def test_processes_share_a_quarter_of_the_memory_that_is_free() -> None:
    free = psutil.virtual_memory().available
    assert free_memory("cpu") == pytest.approx(free / 4, rel=0.2)
    assert free_memory("cpu", 4) == pytest.approx(free / 16, rel=0.2)
